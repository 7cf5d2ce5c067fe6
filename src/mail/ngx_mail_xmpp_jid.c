
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#define NGX_MAIL_XMPP_JID_PART   1023
#define NGX_MAIL_XMPP_DNS_LABEL  63


static ngx_uint_t ngx_mail_xmpp_jid_char(uint32_t code);


/*
 * what neither RFC 7622 nor the older RFC 6122 lets stand in a local part or
 * a domain: controls, spaces, invisible and directional characters, private
 * use, noncharacters, tags
 */

static struct {
    uint32_t  first;
    uint32_t  last;
} ngx_mail_xmpp_jid_prohibited[] = {
    { 0x0000, 0x0020 },
    { 0x007f, 0x00a0 },
    { 0x0340, 0x0341 },
    { 0x06dd, 0x06dd },
    { 0x070f, 0x070f },
    { 0x1680, 0x1680 },
    { 0x180e, 0x180e },
    { 0x2000, 0x200b },
    { 0x200e, 0x200f },
    { 0x2028, 0x202f },
    { 0x205f, 0x2064 },
    { 0x2066, 0x206f },
    { 0x2ff0, 0x2ffb },
    { 0x3000, 0x3000 },
    { 0xe000, 0xf8ff },
    { 0xfdd0, 0xfdef },
    { 0xfeff, 0xfeff },
    { 0xfff9, 0xffff },
    { 0x1d173, 0x1d17a },
    { 0xe0000, 0x10ffff }
};


ngx_int_t
ngx_mail_xmpp_jid_local(ngx_str_t *local)
{
    u_char    *p, *last;
    uint32_t   code;

    if (local->len == 0 || local->len > NGX_MAIL_XMPP_JID_PART) {
        return NGX_DECLINED;
    }

    p = local->data;
    last = local->data + local->len;

    while (p < last) {

        code = ngx_mail_xmpp_utf8_decode(&p, last);

        switch (code) {

        /* RFC 7622, 3.3.1 */

        case '"':
        case '&':
        case '\'':
        case '/':
        case ':':
        case '<':
        case '>':
        case '@':
            return NGX_DECLINED;

        default:
            if (!ngx_mail_xmpp_jid_char(code)) {
                return NGX_DECLINED;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_jid_domain(ngx_str_t *domain)
{
    u_char      *p, *start, *last;
    size_t       len;
    uint32_t     code;
    ngx_uint_t   ascii;

    if (domain->len && domain->data[domain->len - 1] == '.') {
        domain->len--;
    }

    if (domain->len == 0 || domain->len > NGX_MAIL_XMPP_JID_PART) {
        return NGX_DECLINED;
    }

    p = domain->data;
    last = domain->data + domain->len;

#if (NGX_HAVE_INET6)

    if (*p == '[') {
        u_char  addr6[16];

        if (last[-1] != ']'
            || ngx_inet6_addr(p + 1, domain->len - 2, addr6) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        ngx_strlow(p, p, domain->len);

        return NGX_OK;
    }

#endif

    while (p <= last) {

        /* a label: letters, digits and hyphens, but no hyphen at an end */

        ascii = 1;

        for (start = p; p < last && *p != '.'; /* void */ ) {

            if (*p >= 0x80) {
                ascii = 0;
                code = ngx_mail_xmpp_utf8_decode(&p, last);

                /* other dots separate labels for some, and not for us */

                if (!ngx_mail_xmpp_jid_char(code)
                    || code == 0x3002 || code == 0xff0e || code == 0xff61)
                {
                    return NGX_DECLINED;
                }

                continue;
            }

            *p = ngx_tolower(*p);

            if ((*p < 'a' || *p > 'z') && (*p < '0' || *p > '9') && *p != '-')
            {
                return NGX_DECLINED;
            }

            p++;
        }

        len = p - start;

        if (len == 0 || *start == '-' || start[len - 1] == '-'
            || (ascii && len > NGX_MAIL_XMPP_DNS_LABEL))
        {
            return NGX_DECLINED;
        }

        /* the dot */
        p++;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_jid_split(ngx_str_t *jid, ngx_str_t *local, ngx_str_t *domain)
{
    u_char  *p, *last;

    last = ngx_strlchr(jid->data, jid->data + jid->len, '/');
    if (last == NULL) {
        last = jid->data + jid->len;
    }

    ngx_str_null(local);
    domain->data = jid->data;

    p = ngx_strlchr(jid->data, last, '@');

    if (p) {
        local->data = jid->data;
        local->len = p - jid->data;

        if (ngx_mail_xmpp_jid_local(local) != NGX_OK) {
            return NGX_DECLINED;
        }

        domain->data = p + 1;
    }

    domain->len = last - domain->data;

    return ngx_mail_xmpp_jid_domain(domain);
}


static ngx_uint_t
ngx_mail_xmpp_jid_char(uint32_t code)
{
    ngx_uint_t  i, n;

    if (code == NGX_MAIL_XMPP_INVALID || (code & 0xfffe) == 0xfffe) {
        return 0;
    }

    if (code > 0x20 && code < 0x7f) {
        return 1;
    }

    n = sizeof(ngx_mail_xmpp_jid_prohibited)
        / sizeof(ngx_mail_xmpp_jid_prohibited[0]);

    for (i = 0; i < n; i++) {
        if (code >= ngx_mail_xmpp_jid_prohibited[i].first
            && code <= ngx_mail_xmpp_jid_prohibited[i].last)
        {
            return 0;
        }
    }

    return 1;
}
