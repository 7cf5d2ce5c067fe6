
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


static ngx_uint_t ngx_mail_xmpp_equal(ngx_mail_xmpp_binding_t *one,
    ngx_mail_xmpp_binding_t *two);
static uint32_t ngx_mail_xmpp_hash(ngx_mail_xmpp_binding_t *binding);
static ngx_uint_t ngx_mail_xmpp_same(ngx_str_t *one, ngx_str_t *two);
static uint32_t ngx_mail_xmpp_value_char(u_char **p, u_char *last);


/* the longest one that is known */

#define NGX_MAIL_XMPP_MAX_NS                                                  \
    (sizeof("http://www.w3.org/XML/1998/namespace") - 1)


#define ngx_mail_xmpp_is_ns(uri, ns)                                          \
    (ngx_memcmp((uri)->data, ns, sizeof(ns) - 1) == 0)


static ngx_mail_xmpp_binding_t  ngx_mail_xmpp_xml_binding = {
    ngx_string("xml"),
    ngx_string("http://www.w3.org/XML/1998/namespace"),
    NGX_MAIL_XMPP_NS_XML,
    1,
    0,
    NGX_MAIL_XMPP_MAX_BINDINGS + 1,
    0
};


ngx_mail_xmpp_binding_t *
ngx_mail_xmpp_binding(ngx_mail_xmpp_parser_t *p, u_char *prefix, size_t len)
{
    ngx_uint_t                i;
    ngx_mail_xmpp_binding_t  *binding;

    if (len == 3 && ngx_memcmp(prefix, "xml", 3) == 0) {
        return &ngx_mail_xmpp_xml_binding;
    }

    for (i = p->nbindings; i > 0; i--) {
        binding = &p->bindings[i - 1];

        if (binding->prefix.len == len
            && ngx_memcmp(binding->prefix.data, prefix, len) == 0)
        {
            return binding;
        }
    }

    return NULL;
}


/*
 * Long namespaces are compared once, and not by each child that has attributes
 * in them.  That of an outer binding outlives those of the inner ones.
 */

ngx_uint_t
ngx_mail_xmpp_namespace_id(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_binding_t *binding)
{
    ngx_mail_xmpp_binding_t  *other;

    if (binding->id == 0) {

        for (other = p->bindings; other < binding; other++) {
            if (other->prefix.len && ngx_mail_xmpp_equal(other, binding)) {
                break;
            }
        }

        binding->id = other - p->bindings + 1;
    }

    return binding->id;
}


ngx_uint_t
ngx_mail_xmpp_ns(ngx_str_t *uri)
{
    ngx_uint_t  ns;

    ns = NGX_MAIL_XMPP_NS_OTHER;

    switch (uri->len) {

    case 0:
        ns = NGX_MAIL_XMPP_NS_NONE;
        break;

    case sizeof("jabber:client") - 1:

        if (ngx_mail_xmpp_is_ns(uri, "jabber:client")) {
            ns = NGX_MAIL_XMPP_NS_CLIENT;

        } else if (ngx_mail_xmpp_is_ns(uri, "jabber:server")) {
            ns = NGX_MAIL_XMPP_NS_SERVER;
        }

        break;

    case sizeof("http://www.w3.org/2000/xmlns/") - 1:

        if (ngx_mail_xmpp_is_ns(uri, "http://www.w3.org/2000/xmlns/")) {
            ns = NGX_MAIL_XMPP_NS_XMLNS;
        }

        break;

    case sizeof("urn:ietf:params:xml:ns:xmpp-tls") - 1:

        if (ngx_mail_xmpp_is_ns(uri, "urn:ietf:params:xml:ns:xmpp-tls")) {
            ns = NGX_MAIL_XMPP_NS_TLS;
        }

        break;

    /* two that are of the same length */

    case sizeof("http://etherx.jabber.org/streams") - 1:

        if (ngx_mail_xmpp_is_ns(uri, "http://etherx.jabber.org/streams")) {
            ns = NGX_MAIL_XMPP_NS_STREAM;

        } else if (ngx_mail_xmpp_is_ns(uri,
                                       "urn:ietf:params:xml:ns:xmpp-sasl"))
        {
            ns = NGX_MAIL_XMPP_NS_SASL;
        }

        break;

    case sizeof("http://www.w3.org/XML/1998/namespace") - 1:

        if (ngx_mail_xmpp_is_ns(uri, "http://www.w3.org/XML/1998/namespace"))
        {
            ns = NGX_MAIL_XMPP_NS_XML;
        }

        break;
    }

    return ns;
}


/* of a value that is not plain */

ngx_uint_t
ngx_mail_xmpp_ns_decoded(ngx_str_t *uri)
{
    u_char     *p, *last, buf[NGX_MAIL_XMPP_MAX_NS];
    uint32_t    code;
    ngx_str_t   decoded;

    p = uri->data;
    last = uri->data + uri->len;

    decoded.data = buf;
    decoded.len = 0;

    while (p < last) {
        code = ngx_mail_xmpp_value_char(&p, last);

        /* all that are known are shorter, and in ASCII */

        if (code >= 0x80 || decoded.len == NGX_MAIL_XMPP_MAX_NS) {
            return NGX_MAIL_XMPP_NS_OTHER;
        }

        buf[decoded.len++] = (u_char) code;
    }

    return ngx_mail_xmpp_ns(&decoded);
}


static ngx_uint_t
ngx_mail_xmpp_equal(ngx_mail_xmpp_binding_t *one,
    ngx_mail_xmpp_binding_t *two)
{
    if (one->ns != two->ns || one->ns != NGX_MAIL_XMPP_NS_OTHER) {
        return one->ns == two->ns;
    }

    if (one->plain && two->plain) {
        return one->uri.len == two->uri.len
               && ngx_memcmp(one->uri.data, two->uri.data, one->uri.len) == 0;
    }

    return ngx_mail_xmpp_hash(one) == ngx_mail_xmpp_hash(two)
           && ngx_mail_xmpp_same(&one->uri, &two->uri);
}


static uint32_t
ngx_mail_xmpp_hash(ngx_mail_xmpp_binding_t *binding)
{
    u_char  *p, *last;

    if (!binding->hashed) {

        last = binding->uri.data + binding->uri.len;

        binding->hash = 0;
        binding->hashed = 1;

        p = binding->uri.data;

        while (p < last) {
            binding->hash = binding->hash * 31
                            + ngx_mail_xmpp_value_char(&p, last);
        }
    }

    return binding->hash;
}


/* compares what two raw values stand for */

static ngx_uint_t
ngx_mail_xmpp_same(ngx_str_t *one, ngx_str_t *two)
{
    u_char  *p, *q, *p_last, *q_last;

    p = one->data;
    p_last = one->data + one->len;
    q = two->data;
    q_last = two->data + two->len;

    while (p < p_last && q < q_last) {
        if (ngx_mail_xmpp_value_char(&p, p_last)
            != ngx_mail_xmpp_value_char(&q, q_last))
        {
            return 0;
        }
    }

    return p == p_last && q == q_last;
}


/* Extensible Markup Language 1.0, 3.3.3: white space becomes a space */

static uint32_t
ngx_mail_xmpp_value_char(u_char **p, u_char *last)
{
    u_char  ch;

    ch = **p;

    if (ch == '&') {
        return ngx_mail_xmpp_reference(p, last);
    }

    if (ch != CR && ch != LF && ch != '\t') {
        return ngx_mail_xmpp_utf8_decode(p, last);
    }

    (*p)++;

    if (ch == CR && *p < last && **p == LF) {
        (*p)++;
    }

    return ' ';
}
