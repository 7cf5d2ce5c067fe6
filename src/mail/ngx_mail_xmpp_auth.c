
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static void ngx_mail_xmpp_auth_escape(u_char **p, ngx_str_t *value);


ngx_int_t
ngx_mail_xmpp_auth_request(ngx_mail_session_t *s, ngx_pool_t *pool,
    ngx_str_t *headers)
{
    u_char               *p;
    size_t                len;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    len = sizeof("Auth-XMPP-Domain: " CRLF) - 1 + 3 * ctx->domain.len
          + sizeof("Auth-XMPP-From: " CRLF) - 1 + 3 * ctx->from.len
          + sizeof("Auth-XMPP-Stream: c2s" CRLF) - 1;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    headers->data = p;

    p = ngx_cpymem(p, "Auth-XMPP-Domain: ", sizeof("Auth-XMPP-Domain: ") - 1);
    ngx_mail_xmpp_auth_escape(&p, &ctx->domain);

    if (ctx->from.len) {
        p = ngx_cpymem(p, "Auth-XMPP-From: ", sizeof("Auth-XMPP-From: ") - 1);
        ngx_mail_xmpp_auth_escape(&p, &ctx->from);
    }

    p = ngx_cpymem(p, "Auth-XMPP-Stream: c2s" CRLF,
                   sizeof("Auth-XMPP-Stream: c2s" CRLF) - 1);

    headers->len = p - headers->data;

    return NGX_OK;
}


static void
ngx_mail_xmpp_auth_escape(u_char **p, ngx_str_t *value)
{
    *p = (u_char *) ngx_escape_uri(*p, value->data, value->len,
                                   NGX_ESCAPE_MAIL_AUTH);

    *(*p)++ = CR;
    *(*p)++ = LF;
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
    ngx_mail_xmpp_write_failure(&ctx->out, ngx_mail_xmpp_sasl_condition(code),
                                text);

    if (s->quit) {
        ngx_mail_xmpp_write_stream_end(&ctx->out);
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
