
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _XMPPSCAN_H_INCLUDED_
#define _XMPPSCAN_H_INCLUDED_


#include <stddef.h>


typedef enum {
    XMPP_MORE = 0,
    XMPP_HEADER,
    XMPP_ELEMENT,
    XMPP_END,
    XMPP_BAD
} xmpp_kind_e;


typedef struct {
    const char  *start;          /* of what was found, or is not complete */
    const char  *tag_end;        /* of the start tag */
    const char  *end;
    const char  *name;           /* without its prefix */
    size_t       name_len;
} xmpp_token_t;


xmpp_kind_e xmpp_scan(const char *p, const char *last, int open,
    xmpp_token_t *t);
int xmpp_is(const xmpp_token_t *t, const char *name);
const char *xmpp_attr(const xmpp_token_t *t, const char *name, size_t *len);
const char *xmpp_find(const xmpp_token_t *t, const char *what);


#endif /* _XMPPSCAN_H_INCLUDED_ */
