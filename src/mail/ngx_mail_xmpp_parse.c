
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>


#define NGX_MAIL_XMPP_CH_SPACE   0x01
#define NGX_MAIL_XMPP_CH_START   0x02    /* may start a name */
#define NGX_MAIL_XMPP_CH_NAME    0x04    /* may stand in a name */
#define NGX_MAIL_XMPP_CH_TEXT    0x08    /* nothing special in a text */
#define NGX_MAIL_XMPP_CH_VALUE   0x10    /* nothing special in a value */


typedef enum {
    sw_prolog = 0,
    sw_content,
    sw_markup,
    sw_declaration,
    sw_name,
    sw_tag,
    sw_attr_name,
    sw_attr_equal,
    sw_attr_quote,
    sw_attr_value,
    sw_attr_done,
    sw_empty,
    sw_declaration_done,
    sw_end_name,
    sw_end_done,
    sw_bang,
    sw_cdata_open,
    sw_cdata,
    sw_reference,
    sw_done
} ngx_mail_xmpp_state_e;


static ngx_int_t ngx_mail_xmpp_character(ngx_mail_xmpp_parser_t *p);
static ngx_int_t ngx_mail_xmpp_end(ngx_mail_xmpp_parser_t *p);


static u_char  ngx_mail_xmpp_class[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x19, 0x19, 0x00, 0x00, 0x19, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x19, 0x18, 0x08, 0x18, 0x18, 0x18, 0x00, 0x08,
    0x18, 0x18, 0x18, 0x18, 0x18, 0x1c, 0x1c, 0x18,
    0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c,
    0x1c, 0x1c, 0x18, 0x18, 0x00, 0x18, 0x10, 0x18,
    0x18, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x18, 0x18, 0x10, 0x18, 0x1e,
    0x18, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e,
    0x1e, 0x1e, 0x1e, 0x18, 0x18, 0x18, 0x18, 0x18
    /* the other half is zeros: no byte above 0x7f is a character by itself */
};


#define ngx_mail_xmpp_is(ch, class)                                           \
    (ngx_mail_xmpp_class[ch] & (NGX_MAIL_XMPP_CH_##class))


static u_char  ngx_mail_xmpp_cdata[] = "[CDATA[";


void
ngx_mail_xmpp_parse_init(ngx_mail_xmpp_parser_t *p)
{
    ngx_memzero(p, sizeof(ngx_mail_xmpp_parser_t));
}


ngx_int_t
ngx_mail_xmpp_parse(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b)
{
    u_char      ch, *pos, *last;
    ngx_int_t   rc;
    ngx_uint_t  state;

    if (p->empty) {
        p->empty = 0;
        return ngx_mail_xmpp_end(p);
    }

    state = p->state;
    last = b->last;

    for (pos = b->pos; pos < last; pos++) {
        ch = *pos;

        if (ch >= 0x80 || p->need) {

            if (p->need == 0) {
                p->code_start = pos;
            }

            rc = ngx_mail_xmpp_utf8(p, ch);

            if (rc == NGX_ERROR) {
                ngx_mail_xmpp_error(p, "unsupported-encoding");
                goto failed;
            }

            if (rc == NGX_OK) {
                p->state = state;

                if (ngx_mail_xmpp_character(p) != NGX_OK) {
                    goto failed;
                }

                state = p->state;
            }

            continue;
        }

        switch (state) {

        /* white space and a declaration before the header of a stream */

        case sw_prolog:
            if (ch == '<') {
                p->markup = pos;
                state = sw_markup;
                break;
            }

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            goto not_markup;

        case sw_content:

            if (p->level == 1) {

                if (ch == '<') {
                    p->markup = pos;
                    state = sw_markup;
                    break;
                }

                if (ngx_mail_xmpp_is(ch, SPACE)) {
                    break;
                }

                ngx_mail_xmpp_error(p, "bad-format");
                goto failed;
            }

            if (ngx_mail_xmpp_is(ch, TEXT)) {
                p->brackets = 0;

                while (pos + 1 < last && ngx_mail_xmpp_is(pos[1], TEXT)) {
                    pos++;
                }

                break;
            }

            switch (ch) {

            case '<':
                p->markup = pos;
                p->brackets = 0;
                state = sw_markup;
                break;

            case '&':
                p->brackets = 0;
                p->saved = state;
                p->reference = 0;
                state = sw_reference;
                break;

            case ']':
                if (p->brackets < 2) {
                    p->brackets++;
                }

                break;

            case '>':
                if (p->brackets == 2) {
                    goto not_well_formed;
                }

                p->brackets = 0;
                break;

            default:
                goto not_well_formed;
            }

            break;

        /* "<" */

        case sw_markup:
            if (ngx_mail_xmpp_is(ch, START)) {
                p->start = pos;
                p->colon = NULL;
                p->nattrs = 0;
                p->begun = 1;
                state = sw_name;
                break;
            }

            switch (ch) {

            case '/':
                if (p->level == 0) {
                    goto not_well_formed;
                }

                p->start = pos + 1;
                state = sw_end_name;
                break;

            case '?':
                if (p->begun) {
                    ngx_mail_xmpp_error(p, "restricted-xml");
                    goto failed;
                }

                /* it belongs to the header behind it */
                p->child = p->markup;

                p->begun = 1;
                p->start = pos + 1;
                state = sw_declaration;
                break;

            case '!':
                state = sw_bang;
                break;

            default:
                goto not_markup;
            }

            break;

        /* "<?" */

        case sw_declaration:
            if (pos - p->start < 3 && ch == "xml"[pos - p->start]) {
                break;
            }

            if (pos - p->start != 3 || !ngx_mail_xmpp_is(ch, SPACE)) {
                ngx_mail_xmpp_error(p, "restricted-xml");
                goto failed;
            }

            p->declaration = 1;
            p->nattrs = 0;
            state = sw_tag;
            break;

        case sw_name:
            if (ngx_mail_xmpp_is(ch, NAME)) {

                if (p->colon == pos - 1 && !ngx_mail_xmpp_is(ch, START)) {
                    goto not_well_formed;
                }

                while (pos + 1 < last && ngx_mail_xmpp_is(pos[1], NAME)) {
                    pos++;
                }

                break;
            }

            if (ch == ':' && p->colon == NULL) {
                p->colon = pos;
                break;
            }

            if (p->colon == pos - 1) {
                goto not_well_formed;
            }

            if (p->level == NGX_MAIL_XMPP_MAX_DEPTH) {
                ngx_mail_xmpp_error(p, "policy-violation");
                goto failed;
            }

            p->elements[p->level].name.data = p->start;
            p->elements[p->level].name.len = pos - p->start;
            p->elements[p->level].prefix = p->colon ? p->colon - p->start : 0;

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                state = sw_tag;
                break;
            }

            if (ch == '>') {
                goto start_tag;
            }

            if (ch == '/') {
                state = sw_empty;
                break;
            }

            goto not_well_formed;

        /* white space in a tag */

        case sw_tag:
            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            if (ngx_mail_xmpp_is(ch, START)) {
                p->start = pos;
                p->colon = NULL;
                state = sw_attr_name;
                break;
            }

            /* fall through */

        case sw_attr_done:
            if (ngx_mail_xmpp_is(ch, SPACE)) {
                state = sw_tag;
                break;
            }

            if (p->declaration) {
                if (ch == '?') {
                    state = sw_declaration_done;
                    break;
                }

                goto not_well_formed;
            }

            if (ch == '>') {
                goto start_tag;
            }

            if (ch == '/') {
                state = sw_empty;
                break;
            }

            goto not_well_formed;

        case sw_attr_name:
            if (ngx_mail_xmpp_is(ch, NAME)) {

                if (p->colon == pos - 1 && !ngx_mail_xmpp_is(ch, START)) {
                    goto not_well_formed;
                }

                while (pos + 1 < last && ngx_mail_xmpp_is(pos[1], NAME)) {
                    pos++;
                }

                break;
            }

            if (ch == ':' && p->colon == NULL) {
                p->colon = pos;
                break;
            }

            if (ngx_mail_xmpp_attr_name(p, pos) != NGX_OK) {
                goto failed;
            }

            state = sw_attr_equal;

            /* fall through */

        case sw_attr_equal:
            if (ch == '=') {
                state = sw_attr_quote;
                break;
            }

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            goto not_well_formed;

        case sw_attr_quote:
            if (ch == '"' || ch == '\'') {
                p->quote = ch;
                p->start = pos + 1;
                state = sw_attr_value;
                break;
            }

            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            goto not_well_formed;

        case sw_attr_value:
            if (ngx_mail_xmpp_is(ch, VALUE)) {

                while (pos + 1 < last && ngx_mail_xmpp_is(pos[1], VALUE)) {
                    pos++;
                }

                break;
            }

            if (ch == p->quote) {
                p->attrs[p->nattrs].value.data = p->start;
                p->attrs[p->nattrs].value.len = pos - p->start;
                p->nattrs++;
                state = sw_attr_done;
                break;
            }

            if (ch == '&') {
                p->saved = state;
                p->reference = 0;
                state = sw_reference;
                break;
            }

            if (ch == '"' || ch == '\'') {
                break;
            }

            goto not_well_formed;

        /* "/" in a tag */

        case sw_empty:
            if (ch != '>') {
                goto not_well_formed;
            }

            p->empty = 1;

            goto start_tag;

        /* "?" in a declaration */

        case sw_declaration_done:
            if (ch != '>') {
                goto not_well_formed;
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
            if (ngx_mail_xmpp_is(ch, NAME) || ch == ':') {
                break;
            }

            if ((size_t) (pos - p->start) != p->elements[p->level - 1].name.len
                || ngx_memcmp(p->start, p->elements[p->level - 1].name.data,
                               pos - p->start)
                   != 0)
            {
                goto not_well_formed;
            }

            state = sw_end_done;

            /* fall through */

        case sw_end_done:
            if (ngx_mail_xmpp_is(ch, SPACE)) {
                break;
            }

            if (ch != '>') {
                goto not_well_formed;
            }

            b->pos = pos + 1;

            return ngx_mail_xmpp_end(p);

        /* "<!" */

        case sw_bang:
            if (ch == '[' && p->level > 1) {
                p->match = 1;
                state = sw_cdata_open;
                break;
            }

            if (ch == '-' || ch == 'D') {
                ngx_mail_xmpp_error(p, "restricted-xml");
                goto failed;
            }

            if (ch == '[' && p->level == 1) {
                ngx_mail_xmpp_error(p, "bad-format");
                goto failed;
            }

            goto not_well_formed;

        case sw_cdata_open:
            if (ch != ngx_mail_xmpp_cdata[p->match]) {
                goto not_well_formed;
            }

            if (++p->match == sizeof(ngx_mail_xmpp_cdata) - 1) {
                p->brackets = 0;
                state = sw_cdata;
            }

            break;

        case sw_cdata:
            if (ch == ']') {
                if (p->brackets < 2) {
                    p->brackets++;
                }

                break;
            }

            if (ch == '>' && p->brackets == 2) {
                p->brackets = 0;
                p->markup = NULL;
                state = sw_content;
                break;
            }

            if (ch < 0x20 && !ngx_mail_xmpp_is(ch, SPACE)) {
                goto not_well_formed;
            }

            p->brackets = 0;
            break;

        /* "&" */

        case sw_reference:
            rc = ngx_mail_xmpp_read_reference(p, ch, pos);

            if (rc == NGX_ERROR) {
                goto failed;
            }

            if (rc == NGX_OK) {
                state = p->saved;
            }

            break;

        case sw_done:
            goto not_well_formed;
        }
    }

    b->pos = pos;
    p->state = state;

    return NGX_AGAIN;

start_tag:

    b->pos = pos + 1;

    p->state = sw_content;
    p->text_start = b->pos;
    p->brackets = 0;

    return ngx_mail_xmpp_start_tag(p);

not_markup:

    /* a NUL at the start, or next to it, is UTF-16 or UTF-32 */

    if (ch == '\0' && !p->begun) {
        ngx_mail_xmpp_error(p, "unsupported-encoding");
        goto failed;
    }

not_well_formed:

    ngx_mail_xmpp_error(p, "not-well-formed");

failed:

    b->pos = pos;

    return NGX_ERROR;
}


/* a character outside of ASCII was read, p->state may be changed */

static ngx_int_t
ngx_mail_xmpp_character(ngx_mail_xmpp_parser_t *p)
{
    switch (p->state) {

    case sw_markup:
    case sw_tag:
        if (!ngx_mail_xmpp_xml_name_start(p->code)) {
            break;
        }

        if (p->state == sw_markup) {
            p->nattrs = 0;
            p->begun = 1;
        }

        p->start = p->code_start;
        p->colon = NULL;
        p->state = (p->state == sw_markup) ? sw_name : sw_attr_name;

        return NGX_OK;

    case sw_name:
    case sw_attr_name:
        if (p->colon == p->code_start - 1
            && !ngx_mail_xmpp_xml_name_start(p->code))
        {
            break;
        }

        /* fall through */

    case sw_end_name:
        if (ngx_mail_xmpp_xml_name(p->code)) {
            return NGX_OK;
        }

        break;

    case sw_declaration:
        return ngx_mail_xmpp_error(p, "restricted-xml");

    case sw_reference:
        return ngx_mail_xmpp_read_reference(p, 0, p->code_start);

    case sw_content:
        if (p->level == 1) {
            return ngx_mail_xmpp_error(p, "bad-format");
        }

        /* fall through */

    case sw_cdata:
    case sw_attr_value:
        p->brackets = 0;

        if (ngx_mail_xmpp_xml_char(p->code)) {
            return NGX_OK;
        }
    }

    return ngx_mail_xmpp_error(p, "not-well-formed");
}


static ngx_int_t
ngx_mail_xmpp_end(ngx_mail_xmpp_parser_t *p)
{
    ngx_mail_xmpp_end_tag(p);

    p->state = p->level ? sw_content : sw_done;

    return NGX_OK;
}
