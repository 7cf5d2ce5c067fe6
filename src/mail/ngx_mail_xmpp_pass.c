
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static void ngx_mail_xmpp_pass_read_handler(ngx_event_t *rev);


ngx_uint_t
ngx_mail_xmpp_pass(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);
    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    if (!ctx->server && !(xscf->auth_methods & NGX_MAIL_AUTH_NONE_ENABLED)) {
        return 0;
    }

#if (NGX_MAIL_SSL)

    if (ngx_mail_starttls_only(s, c)) {
        return 0;
    }

#endif

    return 1;
}


void
ngx_mail_xmpp_pass_init_upstream(ngx_mail_session_t *s)
{
    u_char               *p, *last;
    ngx_buf_t            *b;
    ngx_connection_t     *c;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    c = s->proxy->upstream.connection;
    b = s->buffer;

    /* an XML declaration may not come after white space */

    for (p = b->start; ngx_mail_xmpp_is_space(*p); p++) { /* void */ }

    c->read->handler = ngx_mail_xmpp_pass_read_handler;
    last = b->last;

#if (NGX_MAIL_SSL)

    if (ngx_mail_xmpp_offer(s, s->connection)) {
        c->read->handler = ngx_mail_xmpp_offer_read_handler;
        last = ctx->header_end;
    }

#endif

    ngx_mail_xmpp_write(&ctx->upstream, p, last - p);

    b->pos = last;
}


/*
 * Till the upstream server has answered, the client can still be told that
 * there is no server.
 */

static void
ngx_mail_xmpp_pass_read_handler(ngx_event_t *rev)
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_mail_session_t  *s;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, rev->log, 0,
                   "mail proxy xmpp pass handler");

    if (ngx_mail_xmpp_proxy_check(rev) != NGX_OK) {
        return;
    }

    c = rev->data;
    s = c->data;

    rc = ngx_mail_xmpp_proxy_recv(s, c);

    if (rc == NGX_AGAIN) {
        rc = ngx_handle_read_event(rev, 0);

        if (rc == NGX_OK) {
            return;
        }
    }

    if (rc != NGX_OK) {
        ngx_mail_proxy_internal_server_error(s);
        return;
    }

    ngx_mail_xmpp_pass_relay(s);
}


void
ngx_mail_xmpp_pass_relay(ngx_mail_session_t *s)
{
    if (ngx_mail_xmpp_release(s) != NGX_OK) {
        ngx_mail_proxy_internal_server_error(s);
        return;
    }

    s->connection->log->action = NULL;
    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "client's stream is passed on");

    ngx_mail_xmpp_relay(s);
}
