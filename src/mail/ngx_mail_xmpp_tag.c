
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


#define ngx_mail_xmpp_move(ptr, n)  if (ptr) ptr -= (n)

/* "xmlns", or a name with this prefix */

#define ngx_mail_xmpp_is_xmlns(attr)                                          \
    (((attr)->prefix ? (attr)->prefix : (attr)->name.len) == 5                \
     && ngx_memcmp((attr)->name.data, "xmlns", 5) == 0)

/* a name with the prefix "xml", which needs no declaration */

#define ngx_mail_xmpp_is_xml(attr)                                            \
    ((attr)->prefix == 3 && ngx_memcmp((attr)->name.data, "xml", 3) == 0)


static ngx_int_t ngx_mail_xmpp_bind(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_attr_t *attr);
static ngx_int_t ngx_mail_xmpp_prefixed(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_attr_t **attrs, ngx_uint_t n);


/* true if the name is that of an attribute before it */

ngx_uint_t
ngx_mail_xmpp_attr_again(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_attr_t *attr)
{
    ngx_mail_xmpp_attr_t  *other;

    for (other = p->attrs; other < attr; other++) {
        if (other->name.len == attr->name.len
            && ngx_memcmp(other->name.data, attr->name.data, attr->name.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
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
    ngx_uint_t                i, n;
    ngx_mail_xmpp_attr_t     *attr, *prefixed[NGX_MAIL_XMPP_MAX_ATTRS];
    ngx_mail_xmpp_binding_t  *binding;
    ngx_mail_xmpp_element_t  *element;

    element = p->element;

    element->outer = p->nbindings;
    element->outer_ns = p->inner_ns;

    /* a prefix may be used before its declaration in the same tag */

    n = 0;

    for (i = p->nattrs, attr = p->attrs; i; i--, attr++) {

        if (ngx_mail_xmpp_is_xmlns(attr)) {

            if (ngx_mail_xmpp_bind(p, attr) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (attr->prefix && !ngx_mail_xmpp_is_xml(attr)) {
            prefixed[n++] = attr;
        }
    }

    p->name.data = p->markup + 1;
    p->name.len = element->name.len;
    p->ns = p->inner_ns;

    element->name.data = p->name.data;

    if (element->prefix) {
        binding = ngx_mail_xmpp_binding(p, p->name.data, element->prefix);

        if (binding == NULL) {
            return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
        }

        p->ns = binding->ns;
        p->name.data += element->prefix + 1;
        p->name.len -= element->prefix + 1;
    }

    element->ns = p->ns;

    if (n && ngx_mail_xmpp_prefixed(p, prefixed, n) != NGX_OK) {
        return NGX_ERROR;
    }

    p->event = ngx_mail_xmpp_element_start;

    if (p->level == 0) {
        p->event = ngx_mail_xmpp_stream_start;
        p->default_ns = p->inner_ns;

    } else if (p->level == 1) {
        p->child = p->markup;
    }

    p->depth = p->level++;
    p->element = element + 1;
    p->leaf = 1;
    p->markup = NULL;

    return NGX_OK;
}


/* takes a namespace declaration */

static ngx_int_t
ngx_mail_xmpp_bind(ngx_mail_xmpp_parser_t *p, ngx_mail_xmpp_attr_t *attr)
{
    size_t                    len;
    u_char                   *prefix;
    ngx_uint_t                ns;
    ngx_mail_xmpp_binding_t  *binding;

    ns = attr->plain ? ngx_mail_xmpp_ns(&attr->value)
                     : ngx_mail_xmpp_ns_decoded(&attr->value);

    prefix = attr->name.data + sizeof("xmlns:") - 1;
    len = attr->prefix ? attr->name.len - (sizeof("xmlns:") - 1) : 0;

    if (len == 3 && ngx_memcmp(prefix, "xml", 3) == 0) {

        if (ns != NGX_MAIL_XMPP_NS_XML) {
            return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
        }

        return NGX_OK;
    }

    if ((len && ns == NGX_MAIL_XMPP_NS_NONE)
        || ns == NGX_MAIL_XMPP_NS_XML
        || ns == NGX_MAIL_XMPP_NS_XMLNS
        || (len == 5 && ngx_memcmp(prefix, "xmlns", 5) == 0))
    {
        return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
    }

    if (p->nbindings == NGX_MAIL_XMPP_MAX_BINDINGS) {
        return ngx_mail_xmpp_error(p, "policy-violation");
    }

    binding = &p->bindings[p->nbindings++];

    binding->prefix.len = len;

    if (len == 0) {
        p->inner_ns = ns;
        return NGX_OK;
    }

    binding->prefix.data = prefix;
    binding->ns = ns;
    binding->uri = attr->value;
    binding->plain = attr->plain;
    binding->id = 0;
    binding->hashed = 0;

    return NGX_OK;
}


/* attributes with different prefixes may still have the same name */

static ngx_int_t
ngx_mail_xmpp_prefixed(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_attr_t **attrs, ngx_uint_t n)
{
    size_t                    len;
    ngx_uint_t                i, j;
    ngx_mail_xmpp_attr_t     *attr, *other;
    ngx_mail_xmpp_binding_t  *bindings[NGX_MAIL_XMPP_MAX_ATTRS];

    for (i = 0; i < n; i++) {

        attr = attrs[i];

        bindings[i] = ngx_mail_xmpp_binding(p, attr->name.data, attr->prefix);

        if (bindings[i] == NULL) {
            return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
        }

        len = attr->name.len - attr->prefix;

        for (j = 0; j < i; j++) {

            other = attrs[j];

            if (other->name.len - other->prefix != len
                || ngx_memcmp(other->name.data + other->prefix,
                              attr->name.data + attr->prefix, len)
                   != 0)
            {
                continue;
            }

            if (ngx_mail_xmpp_namespace_id(p, bindings[j])
                == ngx_mail_xmpp_namespace_id(p, bindings[i]))
            {
                return ngx_mail_xmpp_error(p, "not-well-formed");
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_end_tag(ngx_mail_xmpp_parser_t *p)
{
    ngx_mail_xmpp_element_t  *element;

    p->depth = --p->level;
    p->event = ngx_mail_xmpp_element_end;

    if (p->depth == 0) {
        p->child = NULL;
        p->event = ngx_mail_xmpp_stream_end;
    }

    element = --p->element;

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

    p->nbindings = element->outer;
    p->inner_ns = element->outer_ns;
    p->leaf = 0;
    p->empty = 0;
    p->nattrs = 0;
    p->markup = NULL;

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_error(ngx_mail_xmpp_parser_t *p, char *error)
{
    p->error = error;

    return NGX_ERROR;
}


ngx_str_t *
ngx_mail_xmpp_attr(ngx_mail_xmpp_parser_t *p, char *name, size_t len)
{
    ngx_uint_t             i;
    ngx_mail_xmpp_attr_t  *attr;

    for (i = p->nattrs, attr = p->attrs; i; i--, attr++) {
        if (attr->name.len == len
            && ngx_memcmp(attr->name.data, name, len) == 0)
        {
            return &attr->value;
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
    ngx_mail_xmpp_move(p->entity, n);
    ngx_mail_xmpp_move(p->text_start, n);
    ngx_mail_xmpp_move(p->code_start, n);

    for (i = 1; i < p->level; i++) {
        p->elements[i].name.data -= n;
    }

    /* the first ones belong to the header */

    for (i = p->level > 1 ? p->elements[1].outer : p->nbindings;
         i < p->nbindings;
         i++)
    {
        if (p->bindings[i].prefix.len) {
            p->bindings[i].prefix.data -= n;
            p->bindings[i].uri.data -= n;
        }
    }

    for (i = 0; i < p->nattrs; i++) {
        p->attrs[i].name.data -= n;
        ngx_mail_xmpp_move(p->attrs[i].value.data, n);
    }
}
