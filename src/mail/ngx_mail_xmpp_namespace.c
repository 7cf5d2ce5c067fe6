
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


static ngx_uint_t ngx_mail_xmpp_namespace_id(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_binding_t *binding);
static ngx_uint_t ngx_mail_xmpp_ns(ngx_str_t *uri, ngx_uint_t plain);
static uint32_t ngx_mail_xmpp_hash(ngx_str_t *value, ngx_uint_t *plain);
static ngx_uint_t ngx_mail_xmpp_same(ngx_str_t *one, ngx_str_t *two);
static uint32_t ngx_mail_xmpp_value_char(u_char **p, u_char *last);


static struct {
    ngx_str_t   uri;
    ngx_uint_t  ns;
} ngx_mail_xmpp_namespaces[] = {
    { ngx_string("jabber:client"), NGX_MAIL_XMPP_NS_CLIENT },
    { ngx_string("jabber:server"), NGX_MAIL_XMPP_NS_SERVER },
    { ngx_string("http://etherx.jabber.org/streams"),
      NGX_MAIL_XMPP_NS_STREAM },
    { ngx_string("urn:ietf:params:xml:ns:xmpp-tls"), NGX_MAIL_XMPP_NS_TLS },
    { ngx_string("urn:ietf:params:xml:ns:xmpp-sasl"), NGX_MAIL_XMPP_NS_SASL },
    { ngx_string("http://www.w3.org/XML/1998/namespace"),
      NGX_MAIL_XMPP_NS_XML },
    { ngx_string("http://www.w3.org/2000/xmlns/"), NGX_MAIL_XMPP_NS_XMLNS },
    { ngx_null_string, 0 }
};


static ngx_mail_xmpp_binding_t  ngx_mail_xmpp_xml_binding = {
    ngx_string("xml"),
    ngx_string("http://www.w3.org/XML/1998/namespace"),
    NGX_MAIL_XMPP_NS_XML,
    0,
    0,
    0,
    1
};


/* takes a namespace declaration, anything else is passed over */

ngx_int_t
ngx_mail_xmpp_bind(ngx_mail_xmpp_parser_t *p, ngx_mail_xmpp_attr_t *attr)
{
    ngx_str_t                 prefix;
    uint32_t                  hash;
    ngx_uint_t                ns, plain;
    ngx_mail_xmpp_binding_t  *binding;

    if (attr->name.len < 5 || ngx_memcmp(attr->name.data, "xmlns", 5) != 0) {
        return NGX_OK;
    }

    if (attr->prefix == 0 && attr->name.len == 5) {
        ngx_str_null(&prefix);

    } else if (attr->prefix == 5) {
        prefix.data = attr->name.data + 6;
        prefix.len = attr->name.len - 6;

    } else {
        return NGX_OK;
    }

    hash = ngx_mail_xmpp_hash(&attr->value, &plain);
    ns = ngx_mail_xmpp_ns(&attr->value, plain);

    if (prefix.len == 3 && ngx_memcmp(prefix.data, "xml", 3) == 0) {

        if (ns != NGX_MAIL_XMPP_NS_XML) {
            return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
        }

        return NGX_OK;
    }

    if ((prefix.len && ns == NGX_MAIL_XMPP_NS_NONE)
        || ns == NGX_MAIL_XMPP_NS_XML
        || ns == NGX_MAIL_XMPP_NS_XMLNS
        || (prefix.len == 5 && ngx_memcmp(prefix.data, "xmlns", 5) == 0))
    {
        return ngx_mail_xmpp_error(p, "bad-namespace-prefix");
    }

    if (p->nbindings == NGX_MAIL_XMPP_MAX_BINDINGS) {
        return ngx_mail_xmpp_error(p, "policy-violation");
    }

    binding = &p->bindings[p->nbindings];

    binding->prefix = prefix;
    binding->uri = attr->value;
    binding->ns = ns;
    binding->depth = p->level;
    binding->hash = hash;
    binding->plain = plain;
    binding->id = ngx_mail_xmpp_namespace_id(p, binding);

    p->nbindings++;

    return NGX_OK;
}


/*
 * Long namespaces are compared once, and not by each child that has attributes
 * in them.  That of an outer binding outlives those of the inner ones.
 */

static ngx_uint_t
ngx_mail_xmpp_namespace_id(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_binding_t *binding)
{
    ngx_uint_t                i;
    ngx_mail_xmpp_binding_t  *other;

    for (i = 0; i < p->nbindings; i++) {

        other = &p->bindings[i];

        if (other->ns != binding->ns || other->hash != binding->hash) {
            continue;
        }

        if (binding->ns != NGX_MAIL_XMPP_NS_OTHER) {
            return other->id;
        }

        if (binding->plain && other->plain) {

            if (binding->uri.len == other->uri.len
                && ngx_memcmp(binding->uri.data, other->uri.data,
                              other->uri.len)
                   == 0)
            {
                return other->id;
            }

            continue;
        }

        if (ngx_mail_xmpp_same(&binding->uri, &other->uri)) {
            return other->id;
        }
    }

    /* that of "xml" is 0 */

    return i + 1;
}


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
            && (len == 0
                || ngx_memcmp(binding->prefix.data, prefix, len) == 0))
        {
            return binding;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_mail_xmpp_ns(ngx_str_t *uri, ngx_uint_t plain)
{
    ngx_str_t   *known;
    ngx_uint_t   i;

    if (uri->len == 0) {
        return NGX_MAIL_XMPP_NS_NONE;
    }

    for (i = 0; ngx_mail_xmpp_namespaces[i].uri.len; i++) {

        known = &ngx_mail_xmpp_namespaces[i].uri;

        if (plain) {

            if (known->len == uri->len
                && ngx_memcmp(known->data, uri->data, uri->len) == 0)
            {
                return ngx_mail_xmpp_namespaces[i].ns;
            }

            continue;
        }

        if (ngx_mail_xmpp_same(known, uri)) {
            return ngx_mail_xmpp_namespaces[i].ns;
        }
    }

    return NGX_MAIL_XMPP_NS_OTHER;
}


/* "plain" is set if a raw value stands for what is written, in ASCII */

static uint32_t
ngx_mail_xmpp_hash(ngx_str_t *value, ngx_uint_t *plain)
{
    u_char    *p, *last;
    uint32_t   hash;

    hash = 0;
    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        if (*p == '&' || *p < ' ' || *p >= 0x80) {
            break;
        }

        hash = hash * 31 + *p;
    }

    *plain = (p == last);

    while (p < last) {
        hash = hash * 31 + ngx_mail_xmpp_value_char(&p, last);
    }

    return hash;
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
