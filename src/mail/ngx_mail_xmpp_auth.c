
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static ngx_int_t ngx_mail_xmpp_auth_location(ngx_mail_session_t *s,
    ngx_str_t *value);
static void ngx_mail_xmpp_auth_stream_error(ngx_mail_session_t *s,
    ngx_str_t *code, ngx_str_t *text);
static u_char *ngx_mail_xmpp_auth_line(u_char *p, char *name,
    ngx_str_t *value);


void
ngx_mail_xmpp_auth_init(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ctx->pending = 1;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    s->login_attempt++;

    ngx_mail_auth_http_init(s);
}


ngx_int_t
ngx_mail_xmpp_auth_request(ngx_mail_session_t *s, ngx_pool_t *pool,
    ngx_str_t *headers)
{
    u_char               *p;
    size_t                len;
    ngx_str_t             stream, names;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_str_null(&ctx->location);
    ngx_str_null(&names);

    /* an answer may have had a user in it, and that we have to ask again */

    if (ctx->pass) {
        ngx_mail_xmpp_sasl_clear(s);
    }

    /* nginx takes a digest away when it has sent it */

    if (ctx->digest.data) {

        if (s->passwd.data && s->passwd.data != ctx->digest.data) {
            ngx_explicit_memzero(s->passwd.data, s->passwd.len);
        }

        s->passwd = ctx->digest;
    }

#if (NGX_MAIL_SSL)

    if (ngx_mail_xmpp_certificate_names(s, pool, &names) != NGX_OK) {
        return NGX_ERROR;
    }

#endif

    if (ctx->server) {
        ngx_str_set(&stream, "s2s");

    } else {
        ngx_str_set(&stream, "c2s");
    }

    len = sizeof("Auth-XMPP-Domain: " CRLF) - 1 + 3 * ctx->domain.len
          + sizeof("Auth-XMPP-From: " CRLF) - 1 + 3 * ctx->from.len
          + sizeof("Auth-XMPP-Stream: " CRLF) - 1 + stream.len
          + sizeof("Auth-SSL-XMPP-Addr: " CRLF) - 1 + names.len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    headers->data = p;

    p = ngx_mail_xmpp_auth_line(p, "Auth-XMPP-Domain: ", &ctx->domain);
    p = ngx_mail_xmpp_auth_line(p, "Auth-XMPP-From: ", &ctx->from);
    p = ngx_mail_xmpp_auth_line(p, "Auth-XMPP-Stream: ", &stream);

    if (names.len) {
        p = ngx_cpymem(p, "Auth-SSL-XMPP-Addr: ",
                       sizeof("Auth-SSL-XMPP-Addr: ") - 1);
        p = ngx_cpymem(p, names.data, names.len);
        *p++ = CR;
        *p++ = LF;
    }

    headers->len = p - headers->data;

    return NGX_OK;
}


static u_char *
ngx_mail_xmpp_auth_line(u_char *p, char *name, ngx_str_t *value)
{
    if (value->len == 0) {
        return p;
    }

    p = ngx_cpymem(p, name, ngx_strlen(name));
    p = (u_char *) ngx_escape_uri(p, value->data, value->len,
                                  NGX_ESCAPE_MAIL_AUTH);
    *p++ = CR;
    *p++ = LF;

    return p;
}


ngx_int_t
ngx_mail_xmpp_auth_header(ngx_mail_session_t *s, ngx_str_t *name,
    ngx_str_t *value)
{
    if (name->len == sizeof("Auth-XMPP-Location") - 1
        && ngx_strncasecmp(name->data, (u_char *) "Auth-XMPP-Location",
                           name->len)
           == 0)
    {
        return ngx_mail_xmpp_auth_location(s, value);
    }

    return NGX_OK;
}


/* RFC 6120, 4.9.3.19: a name or an address, and a port */

static ngx_int_t
ngx_mail_xmpp_auth_location(ngx_mail_session_t *s, ngx_str_t *value)
{
    size_t                i;
    ngx_mail_xmpp_ctx_t  *ctx;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] == 0x7f) {
            ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                          "auth http server sent invalid location");
            return NGX_OK;
        }
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /* the response is gone when the error is written */

    ctx->location.len = value->len;
    ctx->location.data = ngx_pstrdup(ctx->pool, value);

    return ctx->location.data ? NGX_OK : NGX_ERROR;
}


/* the user and the password that the upstream server will be given */

ngx_int_t
ngx_mail_xmpp_auth_response(ngx_mail_session_t *s)
{
    ngx_int_t             rc;
    ngx_str_t             login, jid;
    ngx_log_t            *log;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->pass) {
        /* there is no login, whatever the auth server has sent */
        ngx_mail_xmpp_sasl_clear(s);
        return NGX_OK;
    }

    log = s->connection->log;
    login = s->login;

    if (login.len == 0) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth http server did not send user");
        return NGX_ERROR;
    }

    jid.len = login.len;
    jid.data = ngx_pstrdup(ctx->pool, &login);
    if (jid.data == NULL) {
        return NGX_ERROR;
    }

    if (ngx_strlchr(jid.data, jid.data + jid.len, '@')) {
        rc = ngx_mail_xmpp_jid_split(&jid, &ctx->upstream_user,
                                     &ctx->upstream_domain);

    } else {
        ctx->upstream_user = jid;
        ctx->upstream_domain = ctx->domain;

        rc = ngx_mail_xmpp_jid_local(&jid);
    }

    if (rc != NGX_OK || ngx_strlchr(jid.data, jid.data + jid.len, '/')) {

        /* what is not a name is not for the log either */
        ngx_str_null(&s->login);

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth http server sent invalid user");
        return NGX_ERROR;
    }

    if (s->passwd.data == NULL || s->passwd.len == 0) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth http server did not send password");
        return NGX_ERROR;
    }

    if (ngx_strlchr(s->passwd.data, s->passwd.data + s->passwd.len, '\0')) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth http server sent invalid password");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_auth_error(ngx_mail_session_t *s, ngx_str_t *code,
    ngx_str_t *text, ngx_str_t *err)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ctx->pending = 0;

    ngx_mail_xmpp_sasl_clear(s);

    ngx_mail_xmpp_write_clear(&ctx->out);

    if (ctx->pass) {
        ngx_mail_xmpp_auth_stream_error(s, code, text);

    } else {
        ngx_mail_xmpp_write_failure(&ctx->out,
                                    ngx_mail_xmpp_sasl_condition(code), text);

        if (s->quit) {
            ngx_mail_xmpp_write_stream_end(&ctx->out);
        }
    }

    if (s->quit) {
        ngx_mail_xmpp_forget(s);
    }

    if (ctx->out.failed) {
        return NGX_ERROR;
    }

    err->data = ctx->out.start;
    err->len = ctx->out.last - ctx->out.start;

    /* the next try may be in the buffer already, there is no event for it */

    if (s->buffer->pos != s->buffer->last) {
        s->connection->read->ready = 1;
    }

    return NGX_OK;
}


/* nothing can follow a stream error */

static void
ngx_mail_xmpp_auth_stream_error(ngx_mail_session_t *s, ngx_str_t *code,
    ngx_str_t *text)
{
    char                 *condition;
    ngx_str_t            *location;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    s->quit = 1;

    condition = ngx_mail_xmpp_stream_condition(code);
    location = NULL;

    if (ngx_strcmp(condition, "see-other-host") == 0) {

        if (ctx->location.len) {
            location = &ctx->location;

        } else {
            ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                          "auth http server did not send location");
            condition = "not-authorized";
        }
    }

    ngx_mail_xmpp_write_header(s, &ctx->out);
    ngx_mail_xmpp_write_stream_error(&ctx->out, condition, location, text);

    /* whatever is sent in the place of it needs a header, too */

    ctx->stream = 0;
}
