/*
 * The auth server: what it is asked, and that nobody gets in without it.
 */


#include "session.h"


typedef struct {
    const char    *name;
    unsigned       escaped:1;        /* no space in it */
} fuzz_header_t;


typedef struct {
    size_t         len;
    u_char         data[65536];
} fuzz_value_t;


static void fuzz_keep(fuzz_value_t *value, ngx_str_t *str);
static void fuzz_check_line(u_char *line, size_t len, ngx_uint_t *seen);
static ngx_uint_t fuzz_unescaped(u_char *data, size_t len,
    fuzz_value_t *value);


static const fuzz_header_t  fuzz_headers[] = {
    { "Host", 1 },
    { "Auth-Method", 1 },
    { "Auth-User", 1 },
    { "Auth-Pass", 1 },
    { "Auth-Salt", 1 },
    { "Auth-Protocol", 1 },
    { "Auth-Login-Attempt", 1 },
    { "Client-IP", 1 },
    { "Proxy-Protocol-Addr", 1 },
    { "Proxy-Protocol-Port", 1 },
    { "Proxy-Protocol-Server-Addr", 1 },
    { "Proxy-Protocol-Server-Port", 1 },
    { "Auth-SSL", 1 },
    { "Auth-SSL-Protocol", 0 },
    { "Auth-SSL-Cipher", 0 },
    { "Auth-SSL-Verify", 0 },
    { "Auth-SSL-Subject", 0 },
    { "Auth-SSL-Issuer", 0 },
    { "Auth-SSL-Serial", 1 },
    { "Auth-SSL-Fingerprint", 1 },
    { "Auth-SSL-Cert", 1 },
    { "Auth-SSL-XMPP-Addr", 0 },
    { "Auth-XMPP-Domain", 1 },
    { "Auth-XMPP-From", 1 },
    { "Auth-XMPP-Stream", 1 },
    { "X-Key", 1 },
    { NULL, 0 }
};

#define FUZZ_USER      2
#define FUZZ_PASS      3
#define FUZZ_DOMAIN    22
#define FUZZ_FROM      23

static fuzz_value_t  fuzz_login, fuzz_passwd, fuzz_domain, fuzz_from;


void __wrap_ngx_mail_auth_http_init(ngx_mail_session_t *s);
void __wrap_ngx_mail_proxy_init(ngx_mail_session_t *s, ngx_addr_t *peer);
void __wrap_ngx_mail_xmpp_relay(ngx_mail_session_t *s);

void __real_ngx_mail_auth_http_init(ngx_mail_session_t *s);
void __real_ngx_mail_proxy_init(ngx_mail_session_t *s, ngx_addr_t *peer);
void __real_ngx_mail_xmpp_relay(ngx_mail_session_t *s);


/* somebody is to be let in */

void
__wrap_ngx_mail_auth_http_init(ngx_mail_session_t *s)
{
    ngx_connection_t     *c;
    const fuzz_server_t  *server;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = s->connection;
    server = &fuzz_servers[run.server];
    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    run.logins++;
    run.repeated = 0;
    run.pass = (s->auth_method == NGX_MAIL_AUTH_NONE);

    if (c->ssl == NULL && (server->tls || server->starttls == 2)) {
        fuzz_fail("login without TLS");
    }

    if (run.pass != (ctx->server || server->none)) {
        fuzz_fail("a wrong way of login");
    }

    if (ctx->server && !server->s2s) {
        fuzz_fail("a server where none is expected");
    }

    if (s->auth_method == NGX_MAIL_AUTH_EXTERNAL
        && (c->ssl == NULL || run.certificate == 0))
    {
        fuzz_fail("EXTERNAL without a certificate");
    }

    if (fuzz_find((u_char *) server->conf, strlen(server->conf),
                  "xmpp_domain")
        && !(ctx->server && ctx->domain.len == 0)
        && !fuzz_known_domain(&ctx->domain))
    {
        fuzz_fail("unknown domain");
    }

    fuzz_keep(&fuzz_login, &s->login);
    fuzz_keep(&fuzz_passwd, &s->passwd);
    fuzz_keep(&fuzz_domain, &ctx->domain);
    fuzz_keep(&fuzz_from, &ctx->from);

    run.login_in = peers[fuzz_client].in_len
                   - (s->buffer->last - s->buffer->pos);

    __real_ngx_mail_auth_http_init(s);
}


static void
fuzz_keep(fuzz_value_t *value, ngx_str_t *str)
{
    if (str->len > sizeof(value->data)) {
        fuzz_fail("value of %d bytes", (int) str->len);
    }

    value->len = str->len;

    if (str->len) {
        ngx_memcpy(value->data, str->data, str->len);
    }
}


ngx_uint_t
fuzz_known_domain(ngx_str_t *domain)
{
    ngx_uint_t  i;

    static ngx_str_t  known[] = {
        ngx_string("example.test"),
        ngx_string("example.org"),
        ngx_string("xn--4ca.test"),
        ngx_null_string
    };

    for (i = 0; known[i].len; i++) {
        if (known[i].len == domain->len
            && ngx_memcmp(known[i].data, domain->data, domain->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* it was let in */

void
__wrap_ngx_mail_proxy_init(ngx_mail_session_t *s, ngx_addr_t *peer)
{
    size_t        n;
    u_char       *p, *last;
    fuzz_peer_t  *auth;

    auth = &peers[fuzz_auth];
    n = ngx_min(auth->in_len, FUZZ_RECORD);
    last = auth->in + n;

    for (p = auth->in; p + 12 < last; p++) {

        if (ngx_strncasecmp(p, (u_char *) "Auth-Status:", 12) != 0) {
            continue;
        }

        for (p += 12; p < last && *p == ' '; p++) { /* void */ }

        if (p + 2 < last && p[0] == 'O' && p[1] == 'K'
            && (p[2] == CR || p[2] == LF || p[2] == ' '))
        {
            run.allowed = 1;
            break;
        }
    }

    if (!run.allowed) {
        fuzz_fail("let in without an OK");
    }

    if (auth->c) {
        fuzz_fail("auth server is connected yet");
    }

    run.in_proxy = 1;

    __real_ngx_mail_proxy_init(s, peer);

    run.in_proxy = 0;
}


/* it is the upstream server's from here on */

void
__wrap_ngx_mail_xmpp_relay(ngx_mail_session_t *s)
{
    size_t                i;
    fuzz_xml_t            x;
    fuzz_peer_t          *p, *up;
    const u_char         *data;
    const fuzz_server_t  *server;

    p = &peers[fuzz_client];
    up = &peers[fuzz_backend];
    server = &fuzz_servers[run.server];

    if (run.relayed || !run.allowed || up->c == NULL || p->c == NULL) {
        fuzz_fail("relaying that can not be");
    }

    if (p->c->ssl == NULL && (server->tls || server->starttls == 2)) {
        fuzz_fail("relaying without TLS");
    }

    if (up->pending) {
        fuzz_fail("relaying before all was written");
    }

    run.relayed = 1;
    run.relay_in = p->in_len - (s->buffer->last - s->buffer->pos);
    run.relay_out = p->out_len;
    run.relay_upstream_out = up->out_len;

    if (run.pass) {
        __real_ngx_mail_xmpp_relay(s);
        return;
    }

    /* what expat thinks of what the upstream server has sent */

    fuzz_xml(&x, up->in, ngx_min(up->in_len, FUZZ_RECORD));

    if (!x.success || !x.plain) {
        fuzz_fail("relaying without <success/>");
    }

    run.success_end = x.success;

    data = up->out;
    i = up->out_len;

    if (server->proxy) {
        data = fuzz_find(up->out, up->out_len, "\r\n");

        if (data == NULL) {
            fuzz_fail("no PROXY header");
        }

        data += 2;
        i -= data - up->out;
    }

    fuzz_xml(&x, data, i);

    if (x.error != (size_t) -1 || x.auth == 0 || x.auths != 1) {
        fuzz_fail("relaying without a login");
    }

    /* nothing of the client is lost but white space */

    if (run.relay_in < run.login_in) {
        fuzz_fail("bytes of the client come back");
    }

    for (i = run.login_in; i < run.relay_in; i++) {
        if (!ngx_mail_xmpp_is_space(p->in[i])) {
            fuzz_fail("bytes of the client are lost");
        }
    }

    __real_ngx_mail_xmpp_relay(s);
}


/* the request has only known lines, each once, and nothing breaks one */

void
fuzz_check_request(fuzz_peer_t *p)
{
    u_char      *line, *last, *end;
    ngx_uint_t   seen[sizeof(fuzz_headers) / sizeof(fuzz_headers[0])];

    if (p->pending || p->out_len == 0) {
        return;
    }

    ngx_memzero(seen, sizeof(seen));

    line = p->out;
    last = p->out + p->out_len;

    for ( ;; ) {
        end = (u_char *) fuzz_find(line, last - line, "\r\n");

        if (end == NULL) {
            fuzz_fail("auth request does not end");
        }

        if (end == line) {
            break;
        }

        if (line == p->out) {
            if (end - line != 18
                || ngx_memcmp(line, "GET /auth HTTP/1.0", 18) != 0)
            {
                fuzz_fail("no auth request: %.*s", (int) (end - line), line);
            }

        } else {
            fuzz_check_line(line, end - line, seen);
        }

        line = end + 2;
    }

    run.repeated = 1;

    if (end + 2 != last) {
        fuzz_fail("auth request goes on behind its end");
    }

    if (!seen[0] || !seen[1] || !seen[FUZZ_USER] || !seen[FUZZ_PASS]) {
        fuzz_fail("auth request is not complete");
    }
}


static void
fuzz_check_line(u_char *line, size_t len, ngx_uint_t *seen)
{
    size_t         n;
    u_char        *value, *p, *last;
    ngx_uint_t     i;
    fuzz_value_t  *expected;

    last = line + len;

    for (i = 0; fuzz_headers[i].name; i++) {
        n = strlen(fuzz_headers[i].name);

        if (len >= n + 2
            && ngx_memcmp(line, fuzz_headers[i].name, n) == 0
            && ngx_memcmp(line + n, ": ", 2) == 0)
        {
            break;
        }
    }

    if (fuzz_headers[i].name == NULL || seen[i]++) {
        fuzz_fail("line in auth request: %.*s", (int) len, line);
    }

    value = line + n + 2;

    for (p = value; p < last; p++) {
        if (*p < ' ' || (*p == ' ' && fuzz_headers[i].escaped))
        {
            fuzz_fail("%02x in auth request: %.*s", *p, (int) len, line);
        }
    }

    switch (i) {

    case FUZZ_USER:
        expected = &fuzz_login;
        break;

    case FUZZ_PASS:
        expected = &fuzz_passwd;
        break;

    case FUZZ_DOMAIN:
        expected = &fuzz_domain;
        break;

    case FUZZ_FROM:
        expected = &fuzz_from;
        break;

    default:
        return;
    }

    /* an answer may have had another user, or nginx has forgotten a digest */

    if (run.repeated && i <= FUZZ_PASS) {
        return;
    }

    if (!fuzz_unescaped(value, last - value, expected)) {
        fuzz_fail("wrong value in auth request: %.*s", (int) len, line);
    }
}


static ngx_uint_t
fuzz_unescaped(u_char *data, size_t len, fuzz_value_t *value)
{
    u_char     ch, *last, *p, *end;
    ngx_int_t  n;

    last = data + len;
    p = value->data;
    end = value->data + value->len;

    while (data < last) {
        ch = *data++;

        if (ch == '%') {
            if (last - data < 2) {
                return 0;
            }

            n = ngx_hextoi(data, 2);
            if (n == NGX_ERROR) {
                return 0;
            }

            ch = n;
            data += 2;
        }

        if (p == end || *p++ != ch) {
            return 0;
        }
    }

    return p == end;
}
