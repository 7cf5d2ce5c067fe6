
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>
#include <ngx_mail_xmpp_write.h>


#define NGX_MAIL_XMPP_OUT_SIZE  512


static u_char *ngx_mail_xmpp_reserve(ngx_mail_xmpp_out_t *out, size_t len);
static void ngx_mail_xmpp_write_attr(ngx_mail_xmpp_out_t *out, char *name,
    ngx_str_t *value);
static void ngx_mail_xmpp_write_text(ngx_mail_xmpp_out_t *out,
    ngx_str_t *text);
static void ngx_mail_xmpp_write_base64(ngx_mail_xmpp_out_t *out,
    ngx_str_t *data);


#define ngx_mail_xmpp_puts(out, s)                                            \
    ngx_mail_xmpp_write(out, (u_char *) (s), ngx_strlen(s))


void
ngx_mail_xmpp_write_stream(ngx_mail_xmpp_out_t *out, ngx_uint_t server,
    ngx_str_t *id, ngx_str_t *from, ngx_str_t *to)
{
    ngx_mail_xmpp_puts(out, "<?xml version='1.0'?><stream:stream xmlns=");

    /* RFC 6120, 4.8.2; a server has to know that dialback is spoken */

    ngx_mail_xmpp_puts(out, server ? "'jabber:server' "
                                     "xmlns:db='jabber:server:dialback'"
                                   : "'jabber:client'");

    ngx_mail_xmpp_puts(out,
                       " xmlns:stream='http://etherx.jabber.org/streams'");

    ngx_mail_xmpp_write_attr(out, "id", id);
    ngx_mail_xmpp_write_attr(out, "from", from);
    ngx_mail_xmpp_write_attr(out, "to", to);

    ngx_mail_xmpp_puts(out, " version='1.0' xml:lang='en'>");
}


void
ngx_mail_xmpp_write_stream_error(ngx_mail_xmpp_out_t *out, char *condition,
    ngx_str_t *data, ngx_str_t *text)
{
    ngx_mail_xmpp_puts(out, "<stream:error><");
    ngx_mail_xmpp_puts(out, condition);
    ngx_mail_xmpp_puts(out, " xmlns='urn:ietf:params:xml:ns:xmpp-streams'");

    if (data && data->len) {
        ngx_mail_xmpp_puts(out, ">");
        ngx_mail_xmpp_write_text(out, data);
        ngx_mail_xmpp_puts(out, "</");
        ngx_mail_xmpp_puts(out, condition);
        ngx_mail_xmpp_puts(out, ">");

    } else {
        ngx_mail_xmpp_puts(out, "/>");
    }

    if (text && text->len) {
        ngx_mail_xmpp_puts(out, "<text "
                           "xmlns='urn:ietf:params:xml:ns:xmpp-streams' "
                           "xml:lang='en'>");
        ngx_mail_xmpp_write_text(out, text);
        ngx_mail_xmpp_puts(out, "</text>");
    }

    ngx_mail_xmpp_puts(out, "</stream:error>");
    ngx_mail_xmpp_write_stream_end(out);
}


void
ngx_mail_xmpp_write_stream_end(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "</stream:stream>");
}


void
ngx_mail_xmpp_write_features(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "<stream:features>");
}


void
ngx_mail_xmpp_write_starttls(ngx_mail_xmpp_out_t *out, ngx_uint_t required)
{
    ngx_mail_xmpp_puts(out, "<starttls "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-tls'");
    ngx_mail_xmpp_puts(out, required ? "><required/></starttls>" : "/>");
}


void
ngx_mail_xmpp_write_mechanisms(ngx_mail_xmpp_out_t *out, ngx_str_t *names,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    ngx_mail_xmpp_puts(out, "<mechanisms "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");

    for (i = 0; i < n; i++) {
        ngx_mail_xmpp_puts(out, "<mechanism>");
        ngx_mail_xmpp_write_text(out, &names[i]);
        ngx_mail_xmpp_puts(out, "</mechanism>");
    }

    ngx_mail_xmpp_puts(out, "</mechanisms>");
}


void
ngx_mail_xmpp_write_features_end(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "</stream:features>");
}


void
ngx_mail_xmpp_write_proceed(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "<proceed "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}


void
ngx_mail_xmpp_write_tls_failure(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "<failure "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}


void
ngx_mail_xmpp_write_challenge(ngx_mail_xmpp_out_t *out, ngx_str_t *data)
{
    ngx_mail_xmpp_puts(out, "<challenge "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'");

    if (data->len == 0) {
        ngx_mail_xmpp_puts(out, "/>");
        return;
    }

    ngx_mail_xmpp_puts(out, ">");
    ngx_mail_xmpp_write_base64(out, data);
    ngx_mail_xmpp_puts(out, "</challenge>");
}


void
ngx_mail_xmpp_write_success(ngx_mail_xmpp_out_t *out)
{
    ngx_mail_xmpp_puts(out, "<success "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}


void
ngx_mail_xmpp_write_failure(ngx_mail_xmpp_out_t *out, ngx_str_t *condition,
    ngx_str_t *text)
{
    ngx_mail_xmpp_puts(out, "<failure "
                       "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><");
    ngx_mail_xmpp_write(out, condition->data, condition->len);
    ngx_mail_xmpp_puts(out, "/>");

    if (text && text->len) {
        ngx_mail_xmpp_puts(out, "<text xml:lang='en'>");
        ngx_mail_xmpp_write_text(out, text);
        ngx_mail_xmpp_puts(out, "</text>");
    }

    ngx_mail_xmpp_puts(out, "</failure>");
}


void
ngx_mail_xmpp_write_auth_plain(ngx_mail_xmpp_out_t *out, ngx_str_t *user,
    ngx_str_t *passwd)
{
    u_char     *p;
    ngx_str_t   plain;

    plain.len = 1 + user->len + 1 + passwd->len;

    plain.data = ngx_pnalloc(out->pool, plain.len);
    if (plain.data == NULL) {
        out->failed = 1;
        return;
    }

    p = plain.data;

    *p++ = '\0';
    p = ngx_cpymem(p, user->data, user->len);
    *p++ = '\0';
    ngx_memcpy(p, passwd->data, passwd->len);

    ngx_mail_xmpp_puts(out, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                       "mechanism='PLAIN'>");
    ngx_mail_xmpp_write_base64(out, &plain);
    ngx_mail_xmpp_puts(out, "</auth>");

    ngx_explicit_memzero(plain.data, plain.len);
}


void
ngx_mail_xmpp_write(ngx_mail_xmpp_out_t *out, u_char *data, size_t len)
{
    u_char  *p;

    p = ngx_mail_xmpp_reserve(out, len);
    if (p == NULL) {
        return;
    }

    out->last = ngx_cpymem(p, data, len);
}


void
ngx_mail_xmpp_write_clear(ngx_mail_xmpp_out_t *out)
{
    if (out->start) {
        ngx_explicit_memzero(out->start, out->last - out->start);
    }

    out->last = out->start;
    out->failed = 0;
}


static u_char *
ngx_mail_xmpp_reserve(ngx_mail_xmpp_out_t *out, size_t len)
{
    u_char  *p;
    size_t   size, used;

    if ((size_t) (out->end - out->last) >= len && out->start) {
        return out->last;
    }

    used = out->last - out->start;

    for (size = NGX_MAIL_XMPP_OUT_SIZE; size < used + len; size *= 2) {
        /* void */
    }

    p = ngx_pnalloc(out->pool, size);
    if (p == NULL) {
        out->failed = 1;
        return NULL;
    }

    if (out->start) {
        ngx_memcpy(p, out->start, used);
        ngx_explicit_memzero(out->start, used);
        ngx_pfree(out->pool, out->start);
    }

    out->start = p;
    out->last = p + used;
    out->end = p + size;

    return out->last;
}


static void
ngx_mail_xmpp_write_attr(ngx_mail_xmpp_out_t *out, char *name,
    ngx_str_t *value)
{
    if (value == NULL || value->len == 0) {
        return;
    }

    ngx_mail_xmpp_puts(out, " ");
    ngx_mail_xmpp_puts(out, name);
    ngx_mail_xmpp_puts(out, "='");
    ngx_mail_xmpp_write_text(out, value);
    ngx_mail_xmpp_puts(out, "'");
}


static void
ngx_mail_xmpp_write_text(ngx_mail_xmpp_out_t *out, ngx_str_t *text)
{
    u_char    *p, *start, *last;
    uint32_t   code;

    p = text->data;
    last = text->data + text->len;

    while (p < last) {

        start = p;
        code = ngx_mail_xmpp_utf8_decode(&p, last);

        switch (code) {

        case '<':
            ngx_mail_xmpp_puts(out, "&lt;");
            break;

        case '>':
            ngx_mail_xmpp_puts(out, "&gt;");
            break;

        case '&':
            ngx_mail_xmpp_puts(out, "&amp;");
            break;

        case '\'':
            ngx_mail_xmpp_puts(out, "&apos;");
            break;

        case '"':
            ngx_mail_xmpp_puts(out, "&quot;");
            break;

        /* white space that would not get through as it is */

        case '\t':
            ngx_mail_xmpp_puts(out, "&#9;");
            break;

        case LF:
            ngx_mail_xmpp_puts(out, "&#10;");
            break;

        case CR:
            ngx_mail_xmpp_puts(out, "&#13;");
            break;

        default:
            if (code == NGX_MAIL_XMPP_INVALID || !ngx_mail_xmpp_xml_char(code))
            {
                ngx_mail_xmpp_puts(out, "\xef\xbf\xbd");
                break;
            }

            ngx_mail_xmpp_write(out, start, p - start);
        }
    }
}


static void
ngx_mail_xmpp_write_base64(ngx_mail_xmpp_out_t *out, ngx_str_t *data)
{
    ngx_str_t  encoded;

    encoded.data = ngx_mail_xmpp_reserve(out,
                                       ngx_base64_encoded_length(data->len));
    if (encoded.data == NULL) {
        return;
    }

    ngx_encode_base64(&encoded, data);

    out->last += encoded.len;
}
