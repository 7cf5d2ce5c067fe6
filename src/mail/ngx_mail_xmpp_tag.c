
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


#define ngx_mail_xmpp_move(ptr, n)  if (ptr) ptr -= (n)


ngx_int_t
ngx_mail_xmpp_attr_name(ngx_mail_xmpp_parser_t *p, u_char *pos)
{
    size_t                 len;
    ngx_uint_t             i;
    ngx_mail_xmpp_attr_t  *attr;

    if (p->colon == pos - 1) {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    if (p->nattrs == NGX_MAIL_XMPP_MAX_ATTRS) {
        return ngx_mail_xmpp_error(p, "policy-violation");
    }

    len = pos - p->start;
    attr = p->attrs;

    for (i = 0; i < p->nattrs; i++) {
        if (attr[i].name.len == len
            && ngx_memcmp(attr[i].name.data, p->start, len) == 0)
        {
            return ngx_mail_xmpp_error(p, "not-well-formed");
        }
    }

    attr[i].name.data = p->start;
    attr[i].name.len = len;
    attr[i].prefix = p->colon ? p->colon - p->start : 0;

    return NGX_OK;
}


/* version, encoding and standalone, in this order; the last two optional */

ngx_int_t
ngx_mail_xmpp_declaration(ngx_mail_xmpp_parser_t *p)
{
    ngx_str_t             *value;
    ngx_uint_t             n;
    ngx_mail_xmpp_attr_t  *attr;

    attr = p->attrs;
    n = p->nattrs;

    if (n == 0
        || attr->name.len != sizeof("version") - 1
        || ngx_memcmp(attr->name.data, "version", attr->name.len) != 0)
    {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    value = &attr->value;

    if (value->len != 3 || ngx_memcmp(value->data, "1.0", 3) != 0) {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    attr++;
    n--;

    if (n && attr->name.len == sizeof("encoding") - 1
        && ngx_memcmp(attr->name.data, "encoding", attr->name.len) == 0)
    {
        value = &attr->value;

        if (value->len != sizeof("UTF-8") - 1
            || ngx_strncasecmp(value->data, (u_char *) "UTF-8", value->len)
               != 0)
        {
            return ngx_mail_xmpp_error(p, "unsupported-encoding");
        }

        attr++;
        n--;
    }

    if (n && attr->name.len == sizeof("standalone") - 1
        && ngx_memcmp(attr->name.data, "standalone", attr->name.len) == 0)
    {
        value = &attr->value;

        if ((value->len == 3 && ngx_memcmp(value->data, "yes", 3) == 0)
            || (value->len == 2 && ngx_memcmp(value->data, "no", 2) == 0))
        {
            n--;
        }
    }

    if (n) {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    p->nattrs = 0;

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_start_tag(ngx_mail_xmpp_parser_t *p)
{
    size_t                    len;
    ngx_uint_t                i, j;
    ngx_mail_xmpp_attr_t     *attr, *other;
    ngx_mail_xmpp_binding_t  *binding, *bindings[NGX_MAIL_XMPP_MAX_ATTRS];
    ngx_mail_xmpp_element_t  *element;

    element = &p->elements[p->level];
    attr = p->attrs;

    /* a prefix may be used before its declaration in the same tag */

    for (i = 0; i < p->nattrs; i++) {
        if (ngx_mail_xmpp_bind(p, &attr[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    binding = ngx_mail_xmpp_binding(p, element->name.data, element->prefix);

    if (binding == NULL && element->prefix) {
        return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
    }

    element->ns = binding ? binding->ns : NGX_MAIL_XMPP_NS_NONE;

    for (i = 0; i < p->nattrs; i++) {

        bindings[i] = NULL;

        if (attr[i].prefix == 0
            || (attr[i].prefix == 5
                && ngx_memcmp(attr[i].name.data, "xmlns", 5) == 0))
        {
            continue;
        }

        bindings[i] = ngx_mail_xmpp_binding(p, attr[i].name.data,
                                            attr[i].prefix);
        if (bindings[i] == NULL) {
            return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
        }

        /* names with different prefixes may still be the same */

        len = attr[i].name.len - attr[i].prefix;

        for (j = 0; j < i; j++) {

            other = &attr[j];

            if (bindings[j] == NULL
                || other->name.len - other->prefix != len
                || ngx_memcmp(other->name.data + other->prefix,
                               attr[i].name.data + attr[i].prefix, len)
                   != 0)
            {
                continue;
            }

            if (bindings[j]->id == bindings[i]->id) {
                return ngx_mail_xmpp_error(p, "not-well-formed");
            }
        }
    }

    p->event = p->level ? ngx_mail_xmpp_element_start
                        : ngx_mail_xmpp_stream_start;

    p->depth = p->level++;
    p->ns = element->ns;
    p->name = element->name;

    if (element->prefix) {
        p->name.data += element->prefix + 1;
        p->name.len -= element->prefix + 1;
    }

    if (p->depth == 0) {
        binding = ngx_mail_xmpp_binding(p, NULL, 0);
        p->default_ns = binding ? binding->ns : NGX_MAIL_XMPP_NS_NONE;
    }

    if (p->depth == 1) {
        p->child = p->markup;
    }

    p->leaf = 1;
    p->markup = NULL;

    return NGX_OK;
}


void
ngx_mail_xmpp_end_tag(ngx_mail_xmpp_parser_t *p)
{
    ngx_mail_xmpp_element_t  *element;

    p->depth = --p->level;

    if (p->depth == 0) {
        p->child = NULL;
    }

    element = &p->elements[p->depth];

    p->ns = element->ns;
    p->name = element->name;

    if (element->prefix) {
        p->name.data += element->prefix + 1;
        p->name.len -= element->prefix + 1;
    }

    /* in an empty-element tag there is no markup left to end the text */

    ngx_str_null(&p->text);

    if (p->leaf && p->markup) {
        p->text.data = p->text_start;
        p->text.len = p->markup - p->text_start;
    }

    while (p->nbindings && p->bindings[p->nbindings - 1].depth == p->depth) {
        p->nbindings--;
    }

    p->leaf = 0;
    p->nattrs = 0;
    p->markup = NULL;

    p->event = p->depth ? ngx_mail_xmpp_element_end
                        : ngx_mail_xmpp_stream_end;
}


ngx_int_t
ngx_mail_xmpp_error(ngx_mail_xmpp_parser_t *p, char *error)
{
    p->error = error;

    return NGX_ERROR;
}


ngx_str_t *
ngx_mail_xmpp_parse_attr(ngx_mail_xmpp_parser_t *p, char *name)
{
    size_t                 len;
    ngx_uint_t             i;
    ngx_mail_xmpp_attr_t  *attr;

    len = ngx_strlen(name);
    attr = p->attrs;

    for (i = 0; i < p->nattrs; i++) {
        if (attr[i].name.len == len
            && ngx_memcmp(attr[i].name.data, name, len) == 0)
        {
            return &attr[i].value;
        }
    }

    return NULL;
}


void
ngx_mail_xmpp_parse_compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b,
    u_char *to)
{
    u_char      *from, *last;
    size_t       n;
    ngx_uint_t   i;

    if (p->level != 1 && p->child) {
        from = p->child;

    } else {
        from = p->markup ? p->markup : b->pos;
    }

    if (from == to) {
        return;
    }

    n = from - to;
    last = ngx_movemem(to, from, b->last - from);

    ngx_explicit_memzero(last, b->last - last);

    b->pos -= n;
    b->last = last;

    if (p->level == 1 && p->markup == NULL) {
        return;
    }

    /* all what points to a child, or a tag that is not complete */

    ngx_mail_xmpp_move(p->child, n);
    ngx_mail_xmpp_move(p->markup, n);
    ngx_mail_xmpp_move(p->start, n);
    ngx_mail_xmpp_move(p->colon, n);
    ngx_mail_xmpp_move(p->entity, n);
    ngx_mail_xmpp_move(p->text_start, n);
    ngx_mail_xmpp_move(p->code_start, n);

    for (i = 0; i < p->nbindings; i++) {
        if (p->bindings[i].depth) {
            ngx_mail_xmpp_move(p->bindings[i].prefix.data, n);
            ngx_mail_xmpp_move(p->bindings[i].uri.data, n);
        }
    }

    for (i = p->level ? 1 : 0;
         i <= p->level && i < NGX_MAIL_XMPP_MAX_DEPTH;
         i++)
    {
        ngx_mail_xmpp_move(p->elements[i].name.data, n);
    }

    for (i = 0; i <= p->nattrs && i < NGX_MAIL_XMPP_MAX_ATTRS; i++) {
        ngx_mail_xmpp_move(p->attrs[i].name.data, n);
        ngx_mail_xmpp_move(p->attrs[i].value.data, n);
    }
}
