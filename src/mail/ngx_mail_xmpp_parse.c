
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


typedef enum {
    sw_prolog = 0,
    sw_content,
    sw_markup,
    sw_declaration,
    sw_name,
    sw_local_name,
    sw_tag,
    sw_attr_name,
    sw_attr_local_name,
    sw_attr_equal,
    sw_attr_quote,
    sw_attr_value,
    sw_attr_done,
    sw_empty,
    sw_declaration_done,
    sw_end_name,
    sw_end_done,
    sw_cdata,
    sw_reference,
    sw_character,
    sw_done
} ngx_mail_xmpp_state_e;


static ngx_inline u_char *ngx_mail_xmpp_skip(u_char *pos, u_char *last,
    ngx_uint_t class);
static ngx_inline void ngx_mail_xmpp_attr_start(ngx_mail_xmpp_parser_t *p,
    u_char *start);
static ngx_inline ngx_int_t ngx_mail_xmpp_attr_name(ngx_mail_xmpp_parser_t *p,
    u_char *last);
static ngx_int_t ngx_mail_xmpp_unexpected(ngx_mail_xmpp_parser_t *p,
    ngx_uint_t state);
static ngx_int_t ngx_mail_xmpp_character(ngx_mail_xmpp_parser_t *p);


#define ngx_mail_xmpp_is(ch, class)                                           \
    (ngx_mail_xmpp_class[ch] & (NGX_MAIL_XMPP_CH_##class))


void
ngx_mail_xmpp_parse_init(ngx_mail_xmpp_parser_t *p)
{
    ngx_memzero(p, offsetof(ngx_mail_xmpp_parser_t, attrs));

    p->element = p->elements;
}


ngx_int_t
ngx_mail_xmpp_parse(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b)
{
    u_char                    ch, *pos, *last;
    size_t                    len;
    ngx_int_t                 rc;
    ngx_uint_t                state;
    ngx_mail_xmpp_element_t  *element;

    if (p->empty) {
        return ngx_mail_xmpp_end_tag(p);
    }

    state = p->state;
    pos = b->pos;
    last = b->last;

    /*
     * "break" takes the byte in "ch".  Where a certain byte comes next mostly,
     * it is looked at without another round.
     */

    while (pos < last) {
        ch = *pos++;

        switch (state) {

        /* white space and a declaration before the header of a stream */

        case sw_prolog:
            if (ch == '<') {
                p->markup = pos - 1;
                state = sw_markup;
                break;
            }

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            goto not_markup;

        case sw_content:
            if (ch != '<') {

                if (p->level == 1) {

                    if (ngx_mail_xmpp_is(ch, SPACE)) {
                        break;
                    }

                    goto not_expected;
                }

                if (ngx_mail_xmpp_is(ch, TEXT)) {
                    p->brackets = 0;
                    pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_TEXT);
                    break;
                }

                if (ch == '&') {
                    p->brackets = 0;
                    p->saved = state;
                    p->reference = 0;
                    state = sw_reference;
                    break;
                }

                if (ch == ']') {
                    if (p->brackets < 2) {
                        p->brackets++;
                    }

                    break;
                }

                if (ch == '>' && p->brackets < 2) {
                    p->brackets = 0;
                    break;
                }

                goto not_expected;
            }

            p->markup = pos - 1;
            p->brackets = 0;
            state = sw_markup;

            if (pos == last) {
                break;
            }

            ch = *pos++;

            /* fall through */

        /* "<" */

        case sw_markup:
            if (!ngx_mail_xmpp_is(ch, START)) {

                if (ch == '/' && p->level) {
                    p->start = pos;
                    state = sw_end_name;

                    /* mostly it is the right name, and complete */

                    element = p->element - 1;
                    len = element->name.len;

                    if ((size_t) (last - pos) > len && pos[len] == '>'
                        && ngx_memcmp(pos, element->name.data, len) == 0)
                    {
                        pos += len + 1;
                        goto end_tag;
                    }

                    break;
                }

                if (ch == '!') {
                    p->match = 0;
                    state = sw_cdata;
                    break;
                }

                if (ch != '?') {
                    goto not_markup;
                }

                if (p->begun) {
                    ngx_mail_xmpp_error(p, "restricted-xml");
                    goto failed;
                }

                /* it belongs to the header behind it */
                p->child = p->markup;

                p->begun = 1;
                p->start = pos;
                state = sw_declaration;
                break;
            }

            p->element->prefix = 0;
            p->nattrs = 0;
            p->begun = 1;
            state = sw_name;

            /* fall through */

        case sw_name:
            if (ngx_mail_xmpp_is(ch, NAME)) {
                pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_NAME);

                if (pos == last) {
                    break;
                }

                ch = *pos++;
            }

            if (ch == ':' && p->element->prefix == 0) {
                p->element->prefix = pos - 2 - p->markup;
                state = sw_local_name;
                break;
            }

            if (ch >= 0x80) {
                goto not_expected;
            }

            if (p->level == NGX_MAIL_XMPP_MAX_DEPTH) {
                ngx_mail_xmpp_error(p, "policy-violation");
                goto failed;
            }

            p->element->name.len = pos - 2 - p->markup;

            /* fall through */

        case sw_attr_done:
            if (ngx_mail_xmpp_is(ch, SPACE)) {
                state = sw_tag;

                if (pos == last) {
                    break;
                }

                ch = *pos++;
            }

            /* fall through */

        /* white space in a tag */

        case sw_tag:
            if (state != sw_tag || !ngx_mail_xmpp_is(ch, START)) {

                if (ch == '>' && !p->declaration) {
                    state = sw_content;
                    goto start_tag;
                }

                if (ch == '/' && !p->declaration) {
                    state = sw_empty;
                    break;
                }

                if (ch == '?' && p->declaration) {
                    state = sw_declaration_done;
                    break;
                }

                if (state == sw_tag && ngx_mail_xmpp_is(ch, SPACE)) {
                    break;
                }

                goto not_expected;
            }

            ngx_mail_xmpp_attr_start(p, pos - 1);
            state = sw_attr_name;

            /* fall through */

        case sw_attr_name:
            if (ngx_mail_xmpp_is(ch, NAME)) {
                pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_NAME);

                if (pos == last) {
                    break;
                }

                ch = *pos++;
            }

            if (ch != '=') {

                if (ch == ':' && p->attr->prefix == 0) {
                    p->attr->prefix = pos - 1 - p->attr->name.data;
                    state = sw_attr_local_name;
                    break;
                }

                if (ch >= 0x80) {
                    goto not_expected;
                }
            }

            if (ngx_mail_xmpp_attr_name(p, pos - 1) != NGX_OK) {
                goto failed;
            }

            state = sw_attr_equal;

            /* fall through */

        case sw_attr_equal:
            if (ch != '=') {

                if (ngx_mail_xmpp_is(ch, SPACE)) {
                    break;
                }

                goto not_expected;
            }

            state = sw_attr_quote;

            if (pos == last) {
                break;
            }

            ch = *pos++;

            /* fall through */

        case sw_attr_quote:
            if (ch != '"' && ch != '\'') {

                if (ngx_mail_xmpp_is(ch, SPACE)) {
                    break;
                }

                goto not_expected;
            }

            p->attr->value.data = pos;
            p->quote = ch;
            state = sw_attr_value;

            pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_VALUE);

            if (pos == last) {
                break;
            }

            ch = *pos++;

            /* fall through */

        case sw_attr_value:
            if (ch == p->quote) {
                p->attr->value.len = pos - 1 - p->attr->value.data;
                state = sw_attr_done;
                break;
            }

            if (ngx_mail_xmpp_is(ch, VALUE)) {
                pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_VALUE);
                break;
            }

            if (ch == '"' || ch == '\'') {
                break;
            }

            p->attr->plain = 0;

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            if (ch == '&') {
                p->saved = state;
                p->reference = 0;
                state = sw_reference;
                break;
            }

            goto not_expected;

        /* the first character behind a colon */

        case sw_local_name:
        case sw_attr_local_name:
            if (!ngx_mail_xmpp_is(ch, START)) {
                goto not_expected;
            }

            state = (state == sw_local_name) ? sw_name : sw_attr_name;
            break;

        /* "/" in a tag */

        case sw_empty:
            if (ch != '>') {
                goto not_expected;
            }

            p->empty = 1;
            state = p->level ? sw_content : sw_done;

            goto start_tag;

        /* "<?" */

        case sw_declaration:
            if (pos - p->start <= 3 && ch == "xml"[pos - p->start - 1]) {
                break;
            }

            if (pos - p->start != 4 || !ngx_mail_xmpp_is(ch, SPACE)) {
                goto not_expected;
            }

            p->declaration = 1;
            p->nattrs = 0;
            state = sw_tag;
            break;

        /* "?" in a declaration */

        case sw_declaration_done:
            if (ch != '>') {
                goto not_expected;
            }

            if (ngx_mail_xmpp_declaration(p) != NGX_OK) {
                goto failed;
            }

            p->declaration = 0;
            p->markup = NULL;
            state = sw_prolog;
            break;

        /* "</" */

        case sw_end_name:
            if (ngx_mail_xmpp_is(ch, QNAME)) {
                pos = ngx_mail_xmpp_skip(pos, last, NGX_MAIL_XMPP_CH_QNAME);
                break;
            }

            element = p->element - 1;

            if (ch >= 0x80
                || (size_t) (pos - 1 - p->start) != element->name.len
                || ngx_memcmp(p->start, element->name.data, element->name.len)
                   != 0)
            {
                goto not_expected;
            }

            state = sw_end_done;

            /* fall through */

        case sw_end_done:
            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            if (ch != '>') {
                goto not_expected;
            }

            goto end_tag;

        /* "<!" */

        case sw_cdata:
            if (ch >= 0x80) {
                goto not_expected;
            }

            rc = ngx_mail_xmpp_read_cdata(p, ch);

            if (rc == NGX_ERROR) {
                goto failed;
            }

            if (rc == NGX_OK) {
                p->markup = NULL;
                state = sw_content;
            }

            break;

        /* "&" */

        case sw_reference:
            if (ch >= 0x80) {
                goto not_expected;
            }

            rc = ngx_mail_xmpp_read_reference(p, ch, pos - 1);

            if (rc == NGX_ERROR) {
                goto failed;
            }

            if (rc == NGX_OK) {
                state = p->saved;
            }

            break;

        case sw_character:
        case sw_done:
            goto not_expected;
        }

        continue;

    not_markup:

        /* a NUL at the start, or next to it, is UTF-16 or UTF-32 */

        if (ch == '\0' && !p->begun) {
            ngx_mail_xmpp_error(p, "unsupported-encoding");
            goto failed;
        }

    not_expected:

        if (state != sw_character) {

            if (ch < 0x80) {
                ngx_mail_xmpp_unexpected(p, state);
                goto failed;
            }

            p->code_start = pos - 1;
            p->outer = state;
            state = sw_character;
        }

        rc = ngx_mail_xmpp_utf8(p, ch);

        if (rc == NGX_ERROR) {
            ngx_mail_xmpp_error(p, "unsupported-encoding");
            goto failed;
        }

        if (rc == NGX_OK) {
            p->state = p->outer;

            if (ngx_mail_xmpp_character(p) != NGX_OK) {
                goto failed;
            }

            state = p->state;
        }
    }

    b->pos = pos;
    p->state = state;

    return NGX_AGAIN;

start_tag:

    b->pos = pos;

    p->state = state;
    p->text_start = pos;

    return ngx_mail_xmpp_start_tag(p);

end_tag:

    b->pos = pos;
    p->state = (p->level == 1) ? sw_done : sw_content;

    return ngx_mail_xmpp_end_tag(p);

failed:

    b->pos = pos - 1;

    return NGX_ERROR;
}


/*
 * The end of a run of characters of one class.  That of the bytes is asked for
 * each eighth of these only: it costs as much as a character.
 */

#define ngx_mail_xmpp_step(n)                                                 \
    if (!(ngx_mail_xmpp_class[pos[n]] & class)) {                             \
        return pos + n;                                                       \
    }


static ngx_inline u_char *
ngx_mail_xmpp_skip(u_char *pos, u_char *last, ngx_uint_t class)
{
    while (pos < last - 7) {
        ngx_mail_xmpp_step(0);
        ngx_mail_xmpp_step(1);
        ngx_mail_xmpp_step(2);
        ngx_mail_xmpp_step(3);
        ngx_mail_xmpp_step(4);
        ngx_mail_xmpp_step(5);
        ngx_mail_xmpp_step(6);
        ngx_mail_xmpp_step(7);

        pos += 8;
    }

    while (pos < last && (ngx_mail_xmpp_class[*pos] & class)) {
        pos++;
    }

    return pos;
}


static ngx_inline void
ngx_mail_xmpp_attr_start(ngx_mail_xmpp_parser_t *p, u_char *start)
{
    ngx_mail_xmpp_attr_t  *attr;

    attr = &p->attrs[p->nattrs];

    attr->name.data = start;
    attr->prefix = 0;
    attr->value.data = NULL;
    attr->plain = 1;

    p->attr = attr;
    p->nattrs++;
}


static ngx_inline ngx_int_t
ngx_mail_xmpp_attr_name(ngx_mail_xmpp_parser_t *p, u_char *last)
{
    uint32_t               bit;
    ngx_mail_xmpp_attr_t  *attr;

    attr = p->attr;
    attr->name.len = last - attr->name.data;

    /* names are compared if there was one that is as long */

    bit = (uint32_t) 1 << (attr->name.len & 31);

    if (p->nattrs == 1) {
        p->lens = bit;
        return NGX_OK;
    }

    if (p->nattrs > NGX_MAIL_XMPP_MAX_ATTRS) {
        return ngx_mail_xmpp_error(p, "policy-violation");
    }

    if ((p->lens & bit) && ngx_mail_xmpp_attr_again(p, attr)) {
        return ngx_mail_xmpp_error(p, "not-well-formed");
    }

    p->lens |= bit;

    return NGX_OK;
}


/* the condition of an error at a byte that is not expected */

static ngx_int_t
ngx_mail_xmpp_unexpected(ngx_mail_xmpp_parser_t *p, ngx_uint_t state)
{
    if (state == sw_declaration) {
        return ngx_mail_xmpp_error(p, "restricted-xml");
    }

    if (state == sw_content && p->level == 1) {
        return ngx_mail_xmpp_error(p, "bad-format");
    }

    return ngx_mail_xmpp_error(p, "not-well-formed");
}


/* a character outside of ASCII was read, p->state may be changed */

static ngx_int_t
ngx_mail_xmpp_character(ngx_mail_xmpp_parser_t *p)
{
    switch (p->state) {

    case sw_markup:
        if (!ngx_mail_xmpp_xml_name_start(p->code)) {
            break;
        }

        p->element->prefix = 0;
        p->nattrs = 0;
        p->begun = 1;
        p->state = sw_name;

        return NGX_OK;

    case sw_tag:
        if (!ngx_mail_xmpp_xml_name_start(p->code)) {
            break;
        }

        ngx_mail_xmpp_attr_start(p, p->code_start);
        p->state = sw_attr_name;

        return NGX_OK;

    case sw_local_name:
    case sw_attr_local_name:
        if (!ngx_mail_xmpp_xml_name_start(p->code)) {
            break;
        }

        p->state = (p->state == sw_local_name) ? sw_name : sw_attr_name;

        return NGX_OK;

    case sw_name:
    case sw_attr_name:
    case sw_end_name:
        if (ngx_mail_xmpp_xml_name(p->code)) {
            return NGX_OK;
        }

        break;

    case sw_reference:
        return ngx_mail_xmpp_read_reference(p, 0, p->code_start);

    case sw_cdata:
        if (p->match < NGX_MAIL_XMPP_CDATA) {
            break;
        }

        /* fall through */

    case sw_content:
        if (p->level == 1) {
            break;
        }

        /* fall through */

    case sw_attr_value:
        p->brackets = 0;

        if (ngx_mail_xmpp_xml_char(p->code)) {
            return NGX_OK;
        }
    }

    return ngx_mail_xmpp_unexpected(p, p->state);
}
