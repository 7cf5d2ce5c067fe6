
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xmppstub.h"


static void stub_features(stub_conn_t *c, const xmpp_token_t *t);
static int stub_element(stub_conn_t *c, const xmpp_token_t *t);
static int stub_plain(stub_login_t *l, const xmpp_token_t *t);
static void stub_bound(stub_conn_t *c, const xmpp_token_t *t);


static unsigned  stub_sessions;


/* -1: to be closed when the answer is sent */

int
stub_login(stub_conn_t *c, const char *p, const char *last)
{
    xmpp_token_t  t;

    for ( ;; ) {

        switch (xmpp_scan(p, last, c->state != stub_header, &t)) {

        case XMPP_MORE:
            return stub_keep(c, t.start, last);

        case XMPP_HEADER:
            stub_features(c, &t);
            break;

        case XMPP_ELEMENT:
            if (stub_element(c, &t) == -1) {
                return -1;
            }

            if (c->state == stub_echo) {
                stub_answer.rest = t.end;
                stub_answer.rest_len = last - t.end;
                return 0;
            }

            break;

        default:
            stub_say("</stream:stream>");
            return -1;
        }

        p = t.end;
    }
}


static void
stub_features(stub_conn_t *c, const xmpp_token_t *t)
{
    size_t         len;
    const char    *to;
    stub_login_t  *l;

    l = c->u.login;

    to = xmpp_attr(t, "to", &len);

    if (to == NULL || len >= STUB_NAME) {
        to = "localhost";
        len = strlen(to);
    }

    memcpy(l->domain, to, len);
    l->domain[len] = '\0';

    stub_say("<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
             "xmlns:stream='http://etherx.jabber.org/streams' "
             "id='%08x%08x' from='%s' version='1.0' xml:lang='en'>"
             "<stream:features>%s</stream:features>",
             (unsigned) getpid(), ++stub_sessions, l->domain,
             l->again ? "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                        "<required/></bind>"
                      : "<mechanisms "
                        "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                        "<mechanism>PLAIN</mechanism></mechanisms>");

    c->state = l->again ? stub_bind : stub_auth;
}


static int
stub_element(stub_conn_t *c, const xmpp_token_t *t)
{
    stub_login_t  *l;

    l = c->u.login;

    if (c->state == stub_auth) {

        if (!xmpp_is(t, "auth")) {
            stub_say("</stream:stream>");
            return -1;
        }

        if (stub_plain(l, t) == -1) {
            stub_say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                     "<malformed-request/></failure></stream:stream>");
            return -1;
        }

        stub_say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");

        l->again = 1;
        c->state = stub_header;

    } else if (xmpp_is(t, "iq")
               && xmpp_find(t, "urn:ietf:params:xml:ns:xmpp-bind"))
    {
        stub_bound(c, t);
        stub_logged_in(c);
    }

    return 0;
}


/* the user is what stands between the two zeroes, without a domain */

static int
stub_plain(stub_login_t *l, const xmpp_token_t *t)
{
    int          ch, bits, zeroes, domain;
    size_t       len;
    uint32_t     value;
    const char  *p, *digit;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    len = 0;
    value = 0;
    bits = 0;
    zeroes = 0;
    domain = 0;

    for (p = t->tag_end; p < t->end && *p != '<'; p++) {

        digit = *p ? strchr(digits, *p) : NULL;
        if (digit == NULL) {
            continue;
        }

        value = value << 6 | (uint32_t) (digit - digits);
        bits += 6;

        if (bits < 8) {
            continue;
        }

        bits -= 8;
        ch = value >> bits & 0xff;

        if (ch == '\0') {
            zeroes++;
            continue;
        }

        if (zeroes != 1) {
            continue;
        }

        if (ch == '@') {
            domain = 1;
        }

        if (domain) {
            continue;
        }

        if (len == STUB_NAME - 1 || strchr("<>&'\"", ch)) {
            return -1;
        }

        l->user[len++] = ch;
    }

    l->user[len] = '\0';

    return zeroes == 2 && len ? 0 : -1;
}


static void
stub_bound(stub_conn_t *c, const xmpp_token_t *t)
{
    int            id_len, resource_len;
    char           own[32];
    size_t         len;
    const char    *id, *resource;
    stub_login_t  *l;

    l = c->u.login;

    id = xmpp_attr(t, "id", &len);
    id_len = id ? len : 0;

    resource = xmpp_find(t, "<resource>");

    if (resource) {
        resource_len = (const char *) memchr(resource, '<',
                                             t->end - resource) - resource;

    } else {
        resource = own;
        resource_len = snprintf(own, sizeof(own), "%x-%x",
                                (unsigned) getpid(), stub_sessions);
    }

    /* a name that is as long as its element could be would not fit */

    if (id_len > STUB_NAME || resource_len > STUB_NAME) {
        id_len = 0;
        resource_len = 0;
    }

    stub_say("<iq type='result' id='%.*s'>"
             "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
             "<jid>%s@%s/%.*s</jid></bind></iq>",
             id_len, id ? id : "", l->user, l->domain,
             resource_len, resource);
}
