
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


static u_char *ngx_mail_xmpp_utf8_encode(u_char *dst, uint32_t code);


u_char  ngx_mail_xmpp_class[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x09, 0x09, 0x00, 0x00, 0x09, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x19, 0x18, 0x08, 0x18, 0x18, 0x18, 0x00, 0x08,
    0x18, 0x18, 0x18, 0x18, 0x18, 0x3c, 0x3c, 0x18,
    0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c,
    0x3c, 0x3c, 0x38, 0x18, 0x00, 0x18, 0x10, 0x18,
    0x18, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x18, 0x18, 0x10, 0x18, 0x3e,
    0x18, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
    0x3e, 0x3e, 0x3e, 0x18, 0x18, 0x18, 0x18, 0x18
    /* the other half is zeros: no byte above 0x7f is a character by itself */
};


static struct {
    ngx_str_t   name;
    u_char      ch;
} ngx_mail_xmpp_entities[] = {
    { ngx_string("lt"), '<' },
    { ngx_string("gt"), '>' },
    { ngx_string("amp"), '&' },
    { ngx_string("apos"), '\'' },
    { ngx_string("quot"), '"' },
    { ngx_null_string, 0 }
};


/* Extensible Markup Language 1.0, Char */

ngx_uint_t
ngx_mail_xmpp_xml_char(uint32_t code)
{
    if (code < 0x20) {
        return code == 0x9 || code == 0xa || code == 0xd;
    }

    return code <= 0xd7ff
           || (code >= 0xe000 && code <= 0xfffd)
           || (code >= 0x10000 && code <= 0x10ffff);
}


/* Extensible Markup Language 1.0, NameStartChar, outside of ASCII */

ngx_uint_t
ngx_mail_xmpp_xml_name_start(uint32_t code)
{
    return (code >= 0xc0 && code <= 0x2ff && code != 0xd7 && code != 0xf7)
           || (code >= 0x370 && code <= 0x1fff && code != 0x37e)
           || code == 0x200c || code == 0x200d
           || (code >= 0x2070 && code <= 0x218f)
           || (code >= 0x2c00 && code <= 0x2fef)
           || (code >= 0x3001 && code <= 0xd7ff)
           || (code >= 0xf900 && code <= 0xfdcf)
           || (code >= 0xfdf0 && code <= 0xfffd)
           || (code >= 0x10000 && code <= 0xeffff);
}


/* NameChar */

ngx_uint_t
ngx_mail_xmpp_xml_name(uint32_t code)
{
    return ngx_mail_xmpp_xml_name_start(code)
           || code == 0xb7
           || (code >= 0x300 && code <= 0x36f)
           || code == 0x203f || code == 0x2040;
}


/* RFC 3629, the table in section 4 */

ngx_int_t
ngx_mail_xmpp_utf8(ngx_mail_xmpp_parser_t *p, u_char ch)
{
    if (p->need == 0) {

        p->low = 0x80;
        p->high = 0xbf;

        if (ch >= 0xc2 && ch <= 0xdf) {
            p->need = 1;
            p->code = ch & 0x1f;

        } else if (ch >= 0xe0 && ch <= 0xef) {
            p->need = 2;
            p->code = ch & 0x0f;

            if (ch == 0xe0) {
                p->low = 0xa0;

            } else if (ch == 0xed) {
                p->high = 0x9f;
            }

        } else if (ch >= 0xf0 && ch <= 0xf4) {
            p->need = 3;
            p->code = ch & 0x07;

            if (ch == 0xf0) {
                p->low = 0x90;

            } else if (ch == 0xf4) {
                p->high = 0x8f;
            }

        } else {
            return NGX_ERROR;
        }

        return NGX_AGAIN;
    }

    if (ch < p->low || ch > p->high) {
        return NGX_ERROR;
    }

    p->low = 0x80;
    p->high = 0xbf;

    p->code = (p->code << 6) | (ch & 0x3f);

    return --p->need ? NGX_AGAIN : NGX_OK;
}


/* takes what comes behind "<!", NGX_OK is the end of a CDATA section */

ngx_int_t
ngx_mail_xmpp_read_cdata(ngx_mail_xmpp_parser_t *p, u_char ch)
{
    if (p->match < NGX_MAIL_XMPP_CDATA) {

        if (ch == "[CDATA["[p->match] && p->level > 1) {
            p->match++;
            return NGX_AGAIN;
        }

        if (p->match == 0 && (ch == '-' || ch == 'D')) {
            return ngx_mail_xmpp_error(p, "restricted-xml");
        }

        if (p->match == 0 && ch == '[' && p->level == 1) {
            return ngx_mail_xmpp_error(p, "bad-format");
        }

        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    if (ch == ']') {
        if (p->brackets < 2) {
            p->brackets++;
        }

        return NGX_AGAIN;
    }

    if (ch == '>' && p->brackets == 2) {
        p->brackets = 0;
        return NGX_OK;
    }

    if (ch < 0x20 && ch != '\t' && ch != CR && ch != LF) {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    p->brackets = 0;

    return NGX_AGAIN;
}


/*
 * takes what comes behind "&"; a character outside of ASCII is passed as a
 * NUL, there is no place for either of them
 */

ngx_int_t
ngx_mail_xmpp_read_reference(ngx_mail_xmpp_parser_t *p, u_char ch,
    u_char *pos)
{
    u_char  c;

    enum {
        sw_start = 0,
        sw_name,
        sw_number,
        sw_decimal,
        sw_hexadecimal
    } state;

    state = p->reference;

    switch (state) {

    case sw_start:
        if (ch == '#') {
            p->code = 0;
            p->match = 0;
            p->reference = sw_number;
            return NGX_AGAIN;
        }

        p->entity = pos;
        p->reference = sw_name;

        /* fall through */

    case sw_name:
        c = ch | 0x20;

        if ((c >= 'a' && c <= 'z') || ch == '_' || ch == ':'
            || (pos > p->entity
                && ((ch >= '0' && ch <= '9') || ch == '-' || ch == '.')))
        {
            return NGX_AGAIN;
        }

        if (ch == '\0' && p->code_start == pos) {
            return ngx_mail_xmpp_error(p, "restricted-xml");
        }

        if (ch != ';' || pos == p->entity || p->declaration) {
            break;
        }

        if (ngx_mail_xmpp_entity(p->entity, pos - p->entity) == 0) {
            return ngx_mail_xmpp_error(p, "restricted-xml");
        }

        return NGX_OK;

    case sw_number:
        if (ch == 'x') {
            p->reference = sw_hexadecimal;
            return NGX_AGAIN;
        }

        p->reference = sw_decimal;

        /* fall through */

    case sw_decimal:
    case sw_hexadecimal:

        if (ch == ';') {

            if (p->match == 0 || p->declaration
                || !ngx_mail_xmpp_xml_char(p->code))
            {
                break;
            }

            return NGX_OK;
        }

        c = ch | 0x20;

        if (ch >= '0' && ch <= '9') {
            c = ch - '0';

        } else if (p->reference == sw_hexadecimal && c >= 'a' && c <= 'f') {
            c = c - 'a' + 10;

        } else {
            break;
        }

        p->code = p->code * (p->reference == sw_hexadecimal ? 16 : 10) + c;

        if (p->code > 0x10ffff) {
            break;
        }

        p->match = 1;

        return NGX_AGAIN;
    }

    return ngx_mail_xmpp_error(p, "not-well-formed");
}


/* returns 0 for a name that is not predefined */

u_char
ngx_mail_xmpp_entity(u_char *name, size_t len)
{
    ngx_uint_t  i;

    for (i = 0; ngx_mail_xmpp_entities[i].name.len; i++) {
        if (ngx_mail_xmpp_entities[i].name.len == len
            && ngx_memcmp(ngx_mail_xmpp_entities[i].name.data, name, len) == 0)
        {
            break;
        }
    }

    return ngx_mail_xmpp_entities[i].ch;
}


size_t
ngx_mail_xmpp_decode(u_char *dst, ngx_str_t *src)
{
    u_char  *p, *d, *last, *end;

    p = src->data;
    last = src->data + src->len;
    d = dst;

    while (p < last) {

        if (*p == '&') {
            d = ngx_mail_xmpp_utf8_encode(d,
                                          ngx_mail_xmpp_reference(&p, last));
            continue;
        }

        if (*p != '<') {
            *d++ = *p++;
            continue;
        }

        /* no other markup than a CDATA section stands in a text */

        p += sizeof("<![CDATA[") - 1;

        end = ngx_strnstr(p, "]]>", last - p);
        if (end == NULL) {
            break;
        }

        d = ngx_movemem(d, p, end - p);
        p = end + 3;
    }

    return d - dst;
}


/* a reference that was found to be right before */

uint32_t
ngx_mail_xmpp_reference(u_char **p, u_char *last)
{
    u_char      *pos, *end;
    uint32_t     code;
    ngx_uint_t   base;

    pos = *p + 1;

    end = ngx_strlchr(pos, last, ';');
    if (end == NULL) {
        end = last - 1;
    }

    *p = end + 1;

    if (*pos != '#') {
        return ngx_mail_xmpp_entity(pos, end - pos);
    }

    base = 10;

    if (*++pos == 'x') {
        base = 16;
        pos++;
    }

    for (code = 0; pos < end; pos++) {
        code = code * base + (*pos <= '9' ? *pos - '0'
                                          : (*pos | 0x20) - 'a' + 10);
    }

    return code;
}


static u_char *
ngx_mail_xmpp_utf8_encode(u_char *dst, uint32_t code)
{
    if (code < 0x80) {
        *dst++ = (u_char) code;
        return dst;
    }

    if (code < 0x800) {
        *dst++ = (u_char) (0xc0 | (code >> 6));

    } else {

        if (code < 0x10000) {
            *dst++ = (u_char) (0xe0 | (code >> 12));

        } else {
            *dst++ = (u_char) (0xf0 | (code >> 18));
            *dst++ = (u_char) (0x80 | ((code >> 12) & 0x3f));
        }

        *dst++ = (u_char) (0x80 | ((code >> 6) & 0x3f));
    }

    *dst++ = (u_char) (0x80 | (code & 0x3f));

    return dst;
}


uint32_t
ngx_mail_xmpp_utf8_decode(u_char **p, u_char *last)
{
    u_char      ch;
    uint32_t    code, min;
    ngx_uint_t  need;

    ch = *(*p)++;

    if (ch < 0x80) {
        return ch;
    }

    if (ch >= 0xf0) {
        code = ch & 0x07;
        min = 0x10000;
        need = 3;

    } else if (ch >= 0xe0) {
        code = ch & 0x0f;
        min = 0x800;
        need = 2;

    } else {
        code = ch & 0x1f;
        min = 0x80;
        need = 1;
    }

    if (ch < 0xc0 || ch > 0xf7) {
        return NGX_MAIL_XMPP_INVALID;
    }

    while (need) {

        if (*p == last || (**p & 0xc0) != 0x80) {
            return NGX_MAIL_XMPP_INVALID;
        }

        code = (code << 6) | (*(*p)++ & 0x3f);
        need--;
    }

    if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return NGX_MAIL_XMPP_INVALID;
    }

    return code;
}
