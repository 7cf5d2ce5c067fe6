
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <string.h>

#include "xmppscan.h"


static const char *xmpp_tag_end(const char *p, const char *last);


#define xmpp_is_space(c)                                                      \
    ((c) == ' ' || (c) == '\n' || (c) == '\r' || (c) == '\t')


/*
 * What comes next in a stream: its header, a whole child of it, or its end.
 * It is enough for streams of one's own: no comments, no CDATA, and end tags
 * are counted, not compared.  With XMPP_MORE everything from t->start on has
 * to come again, with more behind it.
 */

xmpp_kind_e
xmpp_scan(const char *p, const char *last, int open, xmpp_token_t *t)
{
    int          depth;
    const char  *tag;

    depth = 0;
    t->start = p;

    for ( ;; ) {

        if (depth == 0) {

            while (p < last && xmpp_is_space(*p)) {
                p++;
            }

            t->start = p;

            if (p < last && *p != '<') {
                return XMPP_BAD;
            }
        }

        tag = memchr(p, '<', last - p);
        if (tag == NULL) {
            return XMPP_MORE;
        }

        p = xmpp_tag_end(tag, last);
        if (p == NULL) {
            return XMPP_MORE;
        }

        switch (tag[1]) {

        case '!':
            return XMPP_BAD;

        case '?':
            if (depth) {
                return XMPP_BAD;
            }

            continue;

        case '/':
            if (depth == 0) {
                t->end = p;
                return XMPP_END;
            }

            if (--depth == 0) {
                t->end = p;
                return XMPP_ELEMENT;
            }

            continue;
        }

        if (depth == 0) {
            t->tag_end = p;
            t->end = p;

            t->name = tag + 1;
            t->name_len = strcspn(t->name, " \n\r\t/>");

            tag = memchr(t->name, ':', t->name_len);

            if (tag) {
                t->name_len -= tag + 1 - t->name;
                t->name = tag + 1;
            }

            if (!open) {
                return XMPP_HEADER;
            }
        }

        if (p[-2] != '/') {
            depth++;

        } else if (depth == 0) {
            return XMPP_ELEMENT;
        }
    }
}


/* a ">" may stand in an attribute */

static const char *
xmpp_tag_end(const char *p, const char *last)
{
    char  quote;

    quote = '\0';

    for ( /* void */ ; p < last; p++) {

        if (quote) {

            if (*p == quote) {
                quote = '\0';
            }

        } else if (*p == '\'' || *p == '"') {
            quote = *p;

        } else if (*p == '>') {
            return p + 1;
        }
    }

    return NULL;
}


int
xmpp_is(const xmpp_token_t *t, const char *name)
{
    return strlen(name) == t->name_len
           && memcmp(t->name, name, t->name_len) == 0;
}


/* the value of an attribute of the start tag, as it is written there */

const char *
xmpp_attr(const xmpp_token_t *t, const char *name, size_t *len)
{
    char         quote;
    size_t       n;
    const char  *p, *last, *value;

    n = strlen(name);
    last = t->tag_end;

    for (p = t->name + t->name_len; p < last; p = value + *len + 1) {

        while (p < last && xmpp_is_space(*p)) {
            p++;
        }

        value = p;

        while (value < last && *value != '\'' && *value != '"') {
            value++;
        }

        if (value == last) {
            return NULL;
        }

        quote = *value++;
        *len = (const char *) memchr(value, quote, last - value) - value;

        if ((size_t) (value - p) > n
            && memcmp(p, name, n) == 0
            && (p[n] == '=' || xmpp_is_space(p[n])))
        {
            return value;
        }
    }

    return NULL;
}


/* behind the first "what" of an element, or NULL */

const char *
xmpp_find(const xmpp_token_t *t, const char *what)
{
    size_t       n;
    const char  *p;

    n = strlen(what);
    p = memmem(t->start, t->end - t->start, what, n);

    return p ? p + n : NULL;
}
