
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static void ngx_mail_xmpp_destroy(ngx_mail_session_t *s);
static void ngx_mail_xmpp_cleanup(void *data);


void
ngx_mail_xmpp_init_session(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_pool_t                *pool;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_core_srv_conf_t  *cscf;

    pool = ngx_create_pool(1024, c->log);
    if (pool == NULL) {
        ngx_mail_session_internal_server_error(s);
        return;
    }

    ctx = ngx_pcalloc(pool, sizeof(ngx_mail_xmpp_ctx_t));
    if (ctx == NULL) {
        ngx_destroy_pool(pool);
        ngx_mail_session_internal_server_error(s);
        return;
    }

    ctx->pool = pool;
    ctx->out.pool = pool;
    ctx->upstream.pool = pool;

    ctx->cleanup = ngx_pool_cleanup_add(c->pool, 0);
    if (ctx->cleanup == NULL) {
        ngx_destroy_pool(pool);
        ngx_mail_session_internal_server_error(s);
        return;
    }

    ngx_mail_set_ctx(s, ctx, ngx_mail_xmpp_module);

    ctx->cleanup->handler = ngx_mail_xmpp_cleanup;
    ctx->cleanup->data = s;

    /* with session tickets on their way, an answer would have to wait */

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_mail_close_connection(c);
        return;
    }

    cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);

    ngx_add_timer(c->read, cscf->timeout);

    /*
     * The header may have come along with the end of an SSL handshake, there
     * will be no event for it.
     */

    ngx_mail_xmpp_init_protocol(c->read);
}


/*
 * There is nothing left but to send what is in s->out.  That may last, as may
 * the end of TLS, and no password has to wait for it.
 */

void
ngx_mail_xmpp_forget(ngx_mail_session_t *s)
{
    ngx_buf_t            *b;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->buffer;

    /* there may be an <auth/> that was never completed */

    if (b) {
        ngx_explicit_memzero(b->start, b->last - b->start);

        b->pos = b->start;
        b->last = b->start;
    }

    ngx_mail_xmpp_sasl_clear(s);
    ngx_mail_xmpp_write_clear(&ctx->upstream);
}


ngx_int_t
ngx_mail_xmpp_release(ngx_mail_session_t *s)
{
    ngx_str_t             login;
    ngx_connection_t     *c;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /* this is all that the log needs for the rest of the session */

    login.len = s->login.len;
    login.data = ngx_pstrdup(c->pool, &s->login);
    if (login.data == NULL) {
        return NGX_ERROR;
    }

    ctx->cleanup->handler = ngx_mail_xmpp_relay_cleanup;

    ngx_mail_xmpp_destroy(s);

#if (NGX_MAIL_SSL && defined SSL_OP_CLEANSE_PLAINTEXT)

    if (c->ssl) {
        SSL_clear_options(c->ssl->connection, SSL_OP_CLEANSE_PLAINTEXT);
    }

#endif

    s->login = login;

    return NGX_OK;
}


static void
ngx_mail_xmpp_destroy(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /* the client may be gone while the upstream server waits for it */

    if (ctx->offered) {
        ngx_close_connection(s->proxy->upstream.connection);
    }

    ngx_mail_xmpp_sasl_clear(s);
    ngx_mail_xmpp_write_clear(&ctx->upstream);

    ngx_mail_delete_ctx(s, ngx_mail_xmpp_module);

    ngx_destroy_pool(ctx->pool);
}


static void
ngx_mail_xmpp_cleanup(void *data)
{
    ngx_mail_session_t *s = data;

    ngx_mail_xmpp_forget(s);
    ngx_mail_xmpp_destroy(s);
}
