
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "xmppload.h"
#include "xmppscan.h"


#define LOAD_INPUT  65536            /* of one element before the login */

#define LOAD_STARTTLS  "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


static int load_login_step(load_session_t *s, xmpp_kind_e kind,
    const xmpp_token_t *t);
static int load_login_auth(load_session_t *s, int alone);
static int load_login_bind(load_session_t *s);
static int load_login_bound(load_session_t *s, const xmpp_token_t *t);
static int load_login_add(load_session_t *s, const char *p, size_t len);
static int load_login_wrong(load_session_t *s, const xmpp_token_t *t);


static char    *load_hello;
static size_t   load_hello_len;

/* <auth/> of each user */

static char   **load_auths;


void
load_login_init(void)
{
    int             n;
    char           *name;
    long            i;
    size_t          len;
    unsigned char  *encoded;

    n = asprintf(&load_hello, "<?xml version='1.0'?><stream:stream to='%s' "
                 "xmlns='jabber:client' "
                 "xmlns:stream='http://etherx.jabber.org/streams' "
                 "version='1.0' xml:lang='en'>", load_conf.domain);
    if (n == -1) {
        load_fatal("no memory");
    }

    load_hello_len = n;

    load_auths = calloc(load_conf.users, sizeof(char *));
    if (load_auths == NULL) {
        load_fatal("no memory");
    }

    for (i = 0; i < load_conf.users; i++) {

        n = asprintf(&name, "%c%s%ld%c%s", '\0', load_conf.user, i, '\0',
                     load_conf.password);
        len = n;

        encoded = n == -1 ? NULL : malloc(4 * (len / 3 + 1) + 1);
        if (encoded == NULL) {
            load_fatal("no memory");
        }

        EVP_EncodeBlock(encoded, (unsigned char *) name, len);

        n = asprintf(&load_auths[i],
                     "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                     "mechanism='PLAIN'>%s</auth>", encoded);
        if (n == -1) {
            load_fatal("no memory");
        }

        free(encoded);
        free(name);
    }
}


/* the connection is made */

int
load_login_begin(load_session_t *s)
{
    if (load_conf.tls == load_tls_direct) {
        return load_tls_start(s);
    }

    if (load_conf.tls == load_tls_none) {
        return load_login_stream(s);
    }

    s->state = load_plain_header;

    load_out_add(load_hello, load_hello_len);

    if (load_conf.pipeline) {
        load_out_add(LOAD_STARTTLS, sizeof(LOAD_STARTTLS) - 1);
    }

    return load_session_flush(s);
}


/* TLS is on, where there is TLS */

int
load_login_stream(load_session_t *s)
{
    s->state = load_header;

    if (load_conf.pipeline && load_conf.workload != load_handshake) {
        return load_login_auth(s, 0);
    }

    return load_session_send(s, load_hello, load_hello_len);
}


int
load_login_data(load_session_t *s, const char *p, size_t len)
{
    char          *in;
    int            open;
    const char    *last;
    xmpp_kind_e    kind;
    xmpp_token_t   t;

    /* what came before is looked at once more, which hardly ever is much */

    in = s->in;

    if (in) {

        in = realloc(in, s->in_len + len);
        if (in == NULL) {
            load_fatal("no memory for input");
        }

        memcpy(in + s->in_len, p, len);

        p = in;
        len += s->in_len;

        s->in = NULL;
    }

    last = p + len;

    for ( ;; ) {

        open = s->state != load_plain_header
               && s->state != load_header
               && s->state != load_again_header;

        kind = xmpp_scan(p, last, open, &t);

        if (kind == XMPP_MORE) {

            if (load_login_add(s, t.start, last - t.start) == -1) {
                break;
            }

            free(in);

            return 0;
        }

        if (s->state == load_proceed
            && kind == XMPP_ELEMENT && xmpp_is(&t, "proceed"))
        {
            if (t.end != last) {
                load_session_fail(s, "more came behind <proceed/>");
                break;
            }

            free(in);

            return load_tls_start(s);
        }

        if (load_login_step(s, kind, &t) == -1) {
            break;
        }

        p = t.end;

        if (s->state == load_ready) {

            if (p != last && load_traffic_data(s, p, last - p) == -1) {
                break;
            }

            free(in);

            return 0;
        }
    }

    free(in);

    return -1;
}


static int
load_login_step(load_session_t *s, xmpp_kind_e kind, const xmpp_token_t *t)
{
    size_t       len;
    const char  *id;

    if (kind == XMPP_BAD || kind == XMPP_END) {
        return load_session_fail(s, kind == XMPP_BAD ? "not a stream"
                                                     : "end of the stream");
    }

    if (xmpp_is(t, "error")) {
        return load_login_wrong(s, t);
    }

    switch ((load_state_e) s->state) {

    case load_plain_header:
    case load_header:
    case load_again_header:

        if (!xmpp_is(t, "stream")) {
            return load_login_wrong(s, t);
        }

        s->state++;

        return 0;

    case load_plain_features:

        if (!xmpp_is(t, "features") || !xmpp_find(t, "<starttls")) {
            return load_login_wrong(s, t);
        }

        s->state = load_proceed;

        if (load_conf.pipeline) {
            return 0;
        }

        return load_session_send(s, LOAD_STARTTLS, sizeof(LOAD_STARTTLS) - 1);

    case load_features:

        if (!xmpp_is(t, "features")
            || !xmpp_find(t, "<mechanism>PLAIN</mechanism>"))
        {
            return load_login_wrong(s, t);
        }

        if (load_conf.workload == load_handshake) {
            return load_work_ready(s);
        }

        s->state = load_success;

        return load_conf.pipeline ? 0 : load_login_auth(s, 1);

    case load_success:

        if (!xmpp_is(t, "success")) {
            return load_login_wrong(s, t);
        }

        s->state = load_again_header;

        return load_conf.pipeline ? 0
                                  : load_session_send(s, load_hello,
                                                      load_hello_len);

    case load_again_features:

        if (!xmpp_is(t, "features") || !xmpp_find(t, "<bind")) {
            return load_login_wrong(s, t);
        }

        s->state = load_bound;

        return load_conf.pipeline ? 0 : load_login_bind(s);

    case load_bound:

        id = xmpp_attr(t, "id", &len);

        if (!xmpp_is(t, "iq") || id == NULL || len != 4
            || memcmp(id, "bind", 4) != 0)
        {
            return 0;
        }

        return load_login_bound(s, t);

    case load_probe:

        id = xmpp_attr(t, "id", &len);

        if (!xmpp_is(t, "message") || id == NULL || len != 1 || *id != 'm') {
            return 0;
        }

        id = xmpp_attr(t, "type", &len);

        if (id == NULL || len != 4 || memcmp(id, "chat", 4) != 0
            || !xmpp_find(t, "<body>"))
        {
            return load_login_wrong(s, t);
        }

        return load_work_ready(s);

    default:
        return load_login_wrong(s, t);
    }
}


/* alone, or all of a login at once */

static int
load_login_auth(load_session_t *s, int alone)
{
    char        *text;
    int          n;
    const char  *auth;

    auth = load_auths[s->number % load_conf.users];

    if (alone) {
        return load_session_send(s, auth, strlen(auth));
    }

    n = asprintf(&text, "%s%s%s"
                 "<iq type='set' id='bind'>"
                 "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 "<resource>r%llu</resource></bind></iq>",
                 load_hello, auth, load_hello,
                 (unsigned long long) s->number);
    if (n == -1) {
        load_fatal("no memory");
    }

    n = load_session_send(s, text, n);
    free(text);

    return n;
}


static int
load_login_bind(load_session_t *s)
{
    int   n;
    char  text[256];

    n = snprintf(text, sizeof(text),
                 "<iq type='set' id='bind'>"
                 "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 "<resource>r%llu</resource></bind></iq>",
                 (unsigned long long) s->number);

    return load_session_send(s, text, n);
}


static int
load_login_bound(load_session_t *s, const xmpp_token_t *t)
{
    size_t       len;
    const char  *p;

    p = xmpp_attr(t, "type", &len);

    if (p == NULL || len != 6 || memcmp(p, "result", 6) != 0) {
        return load_login_wrong(s, t);
    }

    p = xmpp_find(t, "<jid>");

    if (p == NULL) {
        return load_login_wrong(s, t);
    }

    len = (const char *) memchr(p, '<', t->end - p) - p;

    if (len == 0) {
        return load_login_wrong(s, t);
    }

    s->jid = strndup(p, len);
    if (s->jid == NULL) {
        load_fatal("no memory");
    }

    return load_work_ready(s);
}


/* what is not complete waits for the rest of it */

static int
load_login_add(load_session_t *s, const char *p, size_t len)
{
    if (len == 0) {
        return 0;
    }

    if (len > LOAD_INPUT) {
        return load_session_fail(s, "an element is too large");
    }

    s->in = malloc(len);
    if (s->in == NULL) {
        load_fatal("no memory for input");
    }

    memcpy(s->in, p, len);
    s->in_len = len;

    return 0;
}


static int
load_login_wrong(load_session_t *s, const xmpp_token_t *t)
{
    int  len;

    len = t->end - t->start;

    return load_session_fail(s, "unexpected: %.*s", len < 200 ? len : 200,
                             t->start);
}
