
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#if (NGX_MAIL_SSL)
static void ngx_mail_xmpp_starttls_handler(ngx_event_t *rev);
#endif


ngx_int_t
ngx_mail_xmpp_starttls_command(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;
#if (NGX_MAIL_SSL)
    u_char               *p;
    ngx_buf_t            *b;
    ngx_mail_ssl_conf_t  *sslcf;
#endif

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

#if (NGX_MAIL_SSL)

    sslcf = ngx_mail_get_module_srv_conf(s, ngx_mail_ssl_module);

    if (c->ssl == NULL && sslcf->starttls != NGX_MAIL_STARTTLS_OFF
        && ctx->sasl == ngx_mail_xmpp_sasl_none)
    {
        b = s->buffer;

        for (p = b->pos; p < b->last; p++) {
            if (!ngx_mail_xmpp_is_space(*p)) {
                ngx_log_error(NGX_LOG_INFO, c->log, 0,
                              "client sent plaintext after <starttls/>");
                ngx_mail_close_connection(c);
                return NGX_DONE;
            }
        }

        b->pos = b->last;

        ngx_mail_xmpp_write_proceed(&ctx->out);

        c->read->handler = ngx_mail_xmpp_starttls_handler;

        return NGX_OK;
    }

#endif

    ngx_log_error(NGX_LOG_INFO, c->log, 0,
                  "client sent <starttls/> which was not offered");

    ngx_mail_xmpp_write_tls_failure(&ctx->out);
    ngx_mail_xmpp_write_stream_end(&ctx->out);
    s->quit = 1;

    return NGX_OK;
}


#if (NGX_MAIL_SSL)

/*
 * White space may still be on the way to us, nothing of the handshake may be
 * taken with it.
 */

static void
ngx_mail_xmpp_starttls_handler(ngx_event_t *rev)
{
    u_char                    *p, buf[256];
    ssize_t                    n, size;
    ngx_err_t                  err;
    ngx_connection_t          *c;
    ngx_mail_session_t        *s;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    c = rev->data;
    s = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp starttls handler");

    /* an error can not be told any more: the client waits for a handshake */

    if (c->close || rev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, rev->timedout ? NGX_ETIMEDOUT : 0,
                      rev->timedout ? "client timed out" : "shutdown timeout");
        c->timedout = rev->timedout;
        ngx_mail_close_connection(c);
        return;
    }

    if (s->out.len) {
        ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0,
                       "xmpp send handler busy");
        s->blocked = 1;

        if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            ngx_mail_close_connection(c);
        }

        return;
    }

    s->blocked = 0;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);
    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    for ( ;; ) {

        n = recv(c->fd, (char *) buf, sizeof(buf), MSG_PEEK);

        err = ngx_socket_errno;

        ngx_log_debug1(NGX_LOG_DEBUG_MAIL, c->log, 0, "recv(): %z", n);

        if (n == -1) {

            if (err == NGX_EAGAIN) {
                rev->ready = 0;

                if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                    ngx_mail_close_connection(c);
                }

                return;
            }

            ngx_connection_error(c, err, "recv() failed");
            ngx_mail_close_connection(c);
            return;
        }

        if (n == 0) {
            ngx_mail_close_connection(c);
            return;
        }

        for (p = buf; p < buf + n; p++) {
            if (!ngx_mail_xmpp_is_space(*p)) {
                break;
            }
        }

        size = p - buf;

        /* c->recv() may not know yet that there is something to read */

        if (size && recv(c->fd, (char *) buf, size, 0) != size) {
            ngx_mail_close_connection(c);
            return;
        }

        if (size < n) {
            break;
        }

        ctx->white_space += size;

        if (ctx->white_space > xscf->client_buffer_size) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0,
                          "client sent too much white space after "
                          "<starttls/>");
            ngx_mail_close_connection(c);
            return;
        }
    }

    /* a record of the handshake */

    if (*p != 0x16) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client sent plaintext after <starttls/>");
        ngx_mail_close_connection(c);
        return;
    }

    /* there is no stream till the handshake is done */

    ctx->stream = 0;

    ngx_mail_starttls_handler(rev);
}

#endif
