/*
 * What has to be true of a session, whatever the sides say.
 */


#include "session.h"


#define FUZZ_SUCCESS   "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
#define FUZZ_PROCEED   "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define FUZZ_STARTTLS  "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define FUZZ_ERROR     "<stream:error>"
#define FUZZ_PROXY     "PROXY "


static ngx_uint_t fuzz_is_prefix(const u_char *a, size_t alen,
    const u_char *b, size_t blen);
static ngx_uint_t fuzz_offered(const u_char *out, size_t len,
    const u_char *in, size_t in_len);
static ngx_uint_t fuzz_whole(fuzz_peer_t *up, size_t len);
static void fuzz_check_client(fuzz_peer_t *p);
static size_t fuzz_proxy_header(fuzz_peer_t *p);
static void fuzz_check_backend(fuzz_peer_t *p);
static void fuzz_well_formed(fuzz_xml_t *x, const char *what, fuzz_peer_t *p,
    size_t from, size_t to);


static ngx_int_t   fuzz_pools_before;
static ngx_uint_t  fuzz_free_before;


void
fuzz_check_init(void)
{
    fuzz_pools_before = fuzz_pools;
    fuzz_free_before = ngx_cycle->free_connection_n;
}


/* nothing is left of a session that is over */

void
fuzz_check_end(void)
{
    if (fuzz_pools != fuzz_pools_before) {
        fuzz_fail("%d pools are left",
                  (int) (fuzz_pools - fuzz_pools_before));
    }

    if (ngx_cycle->free_connection_n != fuzz_free_before) {
        fuzz_fail("%d connections are left",
                  (int) (fuzz_free_before - ngx_cycle->free_connection_n));
    }

    if (ngx_event_no_timers_left() != NGX_OK) {
        fuzz_fail("a timer is left");
    }

    if (!ngx_queue_empty(&ngx_posted_events)
        || !ngx_queue_empty(&ngx_posted_next_events))
    {
        fuzz_fail("a posted event is left");
    }
}


/* what was said before TLS does not count: all of this is checked twice */

void
fuzz_check_handshake(ngx_connection_t *c)
{
    size_t               len;
    fuzz_peer_t         *p;
    const u_char        *data;
    ngx_mail_session_t  *s;

    p = &peers[fuzz_client];
    s = c->data;

    if (s->starttls) {

        len = sizeof(FUZZ_PROCEED) - 1;

        if (p->out_len < len
            || ngx_memcmp(p->out + p->out_len - len, FUZZ_PROCEED, len) != 0)
        {
            fuzz_fail("handshake without <proceed/>");
        }

        /* only white space may be between <starttls/> and the handshake */

        for (data = p->in + p->in_len - 1; *data != 0x16; data--) {
            if (data == p->in) {
                fuzz_fail("handshake without a record");
            }
        }

        fuzz_check_client(p);
    }

    p->in_base = p->in_len;
    p->out_base = p->out_len;

    run.handshaked = 1;
    run.foreign = 0;
}


void
fuzz_check_first_read(ngx_connection_t *c, u_char *buf)
{
    fuzz_peer_t          *p;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    run.handshaked = 0;

    s = c->data;
    p = &peers[fuzz_client];
    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (buf != s->buffer->start || s->buffer->pos != s->buffer->start
        || s->buffer->last != s->buffer->start)
    {
        fuzz_fail("there is something in the buffer after the handshake");
    }

    if (ctx->parser->begun || ctx->parser->level || ctx->parser->markup
        || ctx->header_end != s->buffer->start || ctx->stream)
    {
        fuzz_fail("the parser is in a stream after the handshake");
    }

    if (ctx->domain.len || ctx->from.len || ctx->pass || ctx->pending
        || ctx->offered || ctx->sasl != ngx_mail_xmpp_sasl_none
        || ctx->secret.len || ctx->authcid.len || s->login.len
        || s->passwd.len || s->salt.len || s->proxy)
    {
        fuzz_fail("something is known after the handshake");
    }

    if (s->out.len || ctx->out.last != ctx->out.start
        || p->out_len != p->out_base)
    {
        fuzz_fail("something is said after the handshake");
    }
}


/* with STARTTLS in it, the upstream server's stream is the client's, too */

void
fuzz_check_write(ngx_connection_t *c)
{
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    s = c->data;

    if (s->ctx) {
        ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

        if (ctx && ctx->offered) {
            run.foreign = 1;
        }
    }
}


void
fuzz_check_closed(fuzz_peer_t *p)
{
    switch (p - peers) {

    case fuzz_client:
        fuzz_check_client(p);
        break;

    case fuzz_auth:
        fuzz_check_request(p);
        break;

    default: /* fuzz_backend */
        fuzz_check_backend(p);
    }
}


static void
fuzz_check_client(fuzz_peer_t *p)
{
    size_t        in_len, n;
    u_char       *out;
    fuzz_xml_t    x;
    fuzz_peer_t  *up;

    up = &peers[fuzz_backend];
    in_len = ngx_min(up->in_len, FUZZ_RECORD);

    out = p->out + p->out_base;
    n = p->out_len - p->out_base;

    if (run.relayed && run.pass) {

        if (!fuzz_offered(out, n, up->in, in_len)) {
            fuzz_fail("the client does not get what the upstream server says");
        }

        return;
    }

    if (run.relayed) {

        fuzz_well_formed(&x, "client", p, p->out_base, run.relay_out);

        out = p->out + run.relay_out;
        n = p->out_len - run.relay_out;

        if (!fuzz_is_prefix(out, ngx_min(n, sizeof(FUZZ_SUCCESS) - 1),
                            (u_char *) FUZZ_SUCCESS, sizeof(FUZZ_SUCCESS) - 1))
        {
            fuzz_fail("relaying does not start with <success/>");
        }

        if (n > sizeof(FUZZ_SUCCESS) - 1
            && !fuzz_is_prefix(out + sizeof(FUZZ_SUCCESS) - 1,
                               n - (sizeof(FUZZ_SUCCESS) - 1),
                               up->in + run.success_end,
                               in_len - run.success_end))
        {
            fuzz_fail("the client does not get what the upstream server says");
        }

        return;
    }

    if (run.foreign
        && (fuzz_offered(out, n, up->in, in_len) || !fuzz_whole(up, in_len)))
    {
        return;
    }

    /* an error that there was no memory for has no header */

    if (run.out_of_memory) {
        return;
    }

    fuzz_well_formed(&x, "client", p, p->out_base, p->out_len);

    if (x.stream_error && !x.complete && !p->pending) {
        fuzz_fail("a stream error without an end");
    }
}


/*
 * What the client got is what the upstream server said, with STARTTLS in the
 * features, or an error of ours behind it.
 */

static ngx_uint_t
fuzz_offered(const u_char *out, size_t len, const u_char *in, size_t in_len)
{
    size_t         i, j, k, m, tls;
    const u_char  *p;

    for (m = 0; m < len && m < in_len && out[m] == in[m]; m++) { /* void */ }

    if (m == len) {
        return 1;
    }

    tls = sizeof(FUZZ_STARTTLS) - 1;

    if (!run.relayed && m < len
        && fuzz_find(out, len, FUZZ_ERROR)
        && fuzz_find(out, len, FUZZ_ERROR) <= out + m)
    {
        return 1;
    }

    if (fuzz_servers[run.server].starttls != 1) {
        return 0;
    }

    /* the first bytes of it may be those that come next anyway */

    for (k = m; k + tls > m; k--) {

        i = k;
        j = k;

        if (len - k >= tls
            && ngx_memcmp(out + k, FUZZ_STARTTLS, tls) == 0)
        {
            i += tls;

        } else if (k > 0 && len > k && out[k] == '>' && in_len > k + 1
                   && in[k] == '/' && len - k - 1 >= tls
                   && ngx_memcmp(out + k + 1, FUZZ_STARTTLS, tls) == 0)
        {
            /* "/>" became an end tag */

            p = ngx_strlchr((u_char *) out + k + 1 + tls,
                            (u_char *) out + len, '>');
            if (p == NULL) {
                return 1;
            }

            i = p + 1 - out;
            j = k + 2;
        }

        if (i > k) {

            if (fuzz_is_prefix(out + i, len - i, in + j, in_len - j)) {
                return 1;
            }

            p = fuzz_find(out + i, len - i, FUZZ_ERROR);

            if (!run.relayed && p
                && fuzz_is_prefix(out + i, p - out - i, in + j, in_len - j))
            {
                return 1;
            }
        }

        if (k == 0) {
            break;
        }
    }

    /* it is cut */

    for (k = m; k + tls > m; k--) {

        if (fuzz_is_prefix(out + k, len - k, (u_char *) FUZZ_STARTTLS, tls)
            || (out[k] == '>'
                && fuzz_is_prefix(out + k + 1, len - k - 1,
                                  (u_char *) FUZZ_STARTTLS, tls)))
        {
            return 1;
        }

        if (k == 0) {
            break;
        }
    }

    return 0;
}


/* more of ours can follow what the upstream server has said */

static ngx_uint_t
fuzz_whole(fuzz_peer_t *up, size_t len)
{
    fuzz_xml_t  x;

    static u_char  buf[FUZZ_RECORD + 4];

    ngx_memcpy(buf, up->in, len);
    ngx_memcpy(buf + len, "<a/>", 4);

    fuzz_xml(&x, buf, len + 4);

    return x.error == (size_t) -1;
}


/* where the header ends; one that was not taken at once is not gone on with */

static size_t
fuzz_proxy_header(fuzz_peer_t *p)
{
    const u_char  *end;

    if (!fuzz_is_prefix(p->out, ngx_min(p->out_len, sizeof(FUZZ_PROXY) - 1),
                        (u_char *) FUZZ_PROXY, sizeof(FUZZ_PROXY) - 1))
    {
        fuzz_fail("no PROXY header");
    }

    end = fuzz_find(p->out, p->out_len, "\r\n");

    if (end) {
        return end + 2 - p->out;
    }

    if (!p->pending || p->out_len != p->taken) {
        fuzz_fail("the PROXY header has no end");
    }

    return p->out_len;
}


static void
fuzz_check_backend(fuzz_peer_t *p)
{
    size_t        from, to, n;
    u_char       *data, *last;
    ngx_str_t     text, plain;
    fuzz_xml_t    x;
    fuzz_peer_t  *client;
    u_char        buf[4096];

    client = &peers[fuzz_client];
    from = 0;

    if (fuzz_servers[run.server].proxy && p->out_len) {

        from = fuzz_proxy_header(p);
    }

    if (run.pass) {

        data = client->in + client->in_base;
        n = ngx_min(client->in_len, FUZZ_RECORD) - client->in_base;

        while (n && ngx_mail_xmpp_is_space(*data)) {
            data++;
            n--;
        }

        if (!fuzz_is_prefix(p->out + from, p->out_len - from, data, n)) {
            fuzz_fail("the upstream server does not get what the client says");
        }

        return;
    }

    to = run.relayed ? run.relay_upstream_out : p->out_len;

    fuzz_well_formed(&x, "upstream server", p, from, to);

    if (x.auths > 1) {
        fuzz_fail("%d logins on a stream", (int) x.auths);
    }

    if (x.auth) {
        text.data = x.text;
        text.len = x.text_len;
        plain.data = buf;

        if (x.text_len < sizeof(buf)
            && ngx_decode_base64(&plain, &text) == NGX_OK)
        {
            data = plain.data;
            last = data + plain.len;
            n = 0;

            for ( /* void */ ; data < last; data++) {
                n += (*data == '\0');
            }

            if (n != 2 || plain.data[0] != '\0') {
                fuzz_fail("PLAIN is not two fields");
            }

        } else if (x.text_len < sizeof(buf)) {
            fuzz_fail("PLAIN is not base64");
        }
    }

    if (run.relayed
        && !fuzz_is_prefix(p->out + to, p->out_len - to,
                           client->in + run.relay_in,
                           ngx_min(client->in_len, FUZZ_RECORD)
                           - run.relay_in))
    {
        fuzz_fail("the upstream server does not get what the client says");
    }
}


static void
fuzz_well_formed(fuzz_xml_t *x, const char *what, fuzz_peer_t *p,
    size_t from, size_t to)
{
    fuzz_xml(x, p->out + from, to - from);

    if (x->error != (size_t) -1) {
        fuzz_fail("the %s gets no XML: %s at %d of \"%.*s\"", what, x->reason,
                  (int) x->error, (int) (to - from), p->out + from);
    }
}


static ngx_uint_t
fuzz_is_prefix(const u_char *a, size_t alen, const u_char *b, size_t blen)
{
    return alen <= blen && ngx_memcmp(a, b, alen) == 0;
}


const u_char *
fuzz_find(const u_char *data, size_t len, const char *what)
{
    return memmem(data, len, what, strlen(what));
}
