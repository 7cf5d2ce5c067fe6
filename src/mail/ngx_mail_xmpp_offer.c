
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#if (NGX_MAIL_SSL)


static ngx_int_t ngx_mail_xmpp_offer_event(ngx_mail_session_t *s);
static ngx_int_t ngx_mail_xmpp_offer_write(ngx_mail_session_t *s);
static void ngx_mail_xmpp_offer_send(ngx_mail_session_t *s);
static void ngx_mail_xmpp_offer_client_handler(ngx_event_t *rev);
static ngx_int_t ngx_mail_xmpp_offer_client_read(ngx_connection_t *c,
    ngx_buf_t *b);
static ngx_int_t ngx_mail_xmpp_offer_client_event(ngx_mail_xmpp_ctx_t *ctx);
static void ngx_mail_xmpp_offer_upstream_handler(ngx_event_t *rev);
static void ngx_mail_xmpp_offer_starttls(ngx_mail_session_t *s,
    ngx_connection_t *c);
static void ngx_mail_xmpp_offer_relay(ngx_mail_session_t *s);
static void ngx_mail_xmpp_offer_close(ngx_mail_session_t *s);


/*
 * With "starttls on", a stream that is passed on before TLS is the stream of
 * the upstream server from its header on, as the key of dialback depends on
 * the id in it.  STARTTLS is put into the features of this server, and then
 * the first element of the client decides: <starttls/> is for us, and the
 * upstream server is asked anew when the handshake is done; all else is for
 * the upstream server.  What can not be understood is passed on as it is.
 */

ngx_uint_t
ngx_mail_xmpp_offer(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_ssl_conf_t  *sslcf;
    ngx_mail_xmpp_ctx_t  *ctx;

    sslcf = ngx_mail_get_module_srv_conf(s, ngx_mail_ssl_module);

    if (c->ssl || sslcf->starttls != NGX_MAIL_STARTTLS_ON) {
        return 0;
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (!ctx->version) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "not offering STARTTLS: client sent no version");
        return 0;
    }

    ctx->upstream_parser = ngx_palloc(ctx->pool,
                                      sizeof(ngx_mail_xmpp_parser_t));
    if (ctx->upstream_parser == NULL) {
        return 0;
    }

    ngx_mail_xmpp_parse_init(ctx->upstream_parser);

    ctx->features = NULL;
    ctx->starttls = 0;

    return 1;
}


/* the header and the features of the upstream server */

void
ngx_mail_xmpp_offer_read_handler(ngx_event_t *rev)
{
    ngx_int_t             rc;
    ngx_buf_t            *b;
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, rev->log, 0,
                   "mail proxy xmpp offer handler");

    if (ngx_mail_xmpp_proxy_check(rev) != NGX_OK) {
        return;
    }

    c = rev->data;
    s = c->data;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->proxy->buffer;

    for ( ;; ) {

        rc = ngx_mail_xmpp_parse(ctx->upstream_parser, b);

        if (rc == NGX_OK) {
            rc = ngx_mail_xmpp_offer_event(s);

            if (rc == NGX_DONE) {
                ngx_mail_xmpp_offer_send(s);
                return;
            }

        } else if (rc == NGX_AGAIN && b->last != b->end) {
            rc = ngx_mail_xmpp_proxy_recv(s, c);

            if (rc == NGX_AGAIN) {
                if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                    ngx_mail_proxy_internal_server_error(s);
                }

                return;
            }

            if (rc == NGX_ERROR && b->last == b->start) {
                ngx_mail_proxy_internal_server_error(s);
                return;
            }

            if (rc == NGX_ERROR) {
                rev->eof = 1;
            }

        } else {
            rc = NGX_DECLINED;
        }

        if (rc != NGX_OK) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0,
                          "not offering STARTTLS: upstream sent no features");

            b->pos = b->start;

            ngx_mail_xmpp_offer_relay(s);
            return;
        }
    }
}


/* NGX_OK, NGX_DONE after the features, NGX_DECLINED for anything else */

static ngx_int_t
ngx_mail_xmpp_offer_event(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->upstream_parser;

    switch (p->event) {

    case ngx_mail_xmpp_stream_start:

        /* our errors are to come in its stream, they have this prefix */

        if (p->elements[0].name.len != sizeof("stream:stream") - 1
            || ngx_memcmp(p->elements[0].name.data, "stream:stream",
                          sizeof("stream:stream") - 1)
               != 0)
        {
            return NGX_DECLINED;
        }

        /* an older one has no features to wait for */

        return ngx_mail_xmpp_version(ngx_mail_xmpp_parse_attr(p, "version"));

    case ngx_mail_xmpp_element_start:

        if (p->depth == 1) {

            if (!ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_STREAM,
                                        "features"))
            {
                return NGX_DECLINED;
            }

            ctx->features = s->proxy->buffer->pos;
            ctx->features_name = p->elements[1].name;
            ctx->features_empty = ngx_mail_xmpp_parse_pending(p);
        }

        if (p->depth == 2
            && ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_TLS, "starttls"))
        {
            ctx->starttls = 1;
        }

        break;

    case ngx_mail_xmpp_element_end:

        if (p->depth == 1) {
            return ngx_mail_xmpp_offer_write(s);
        }

        break;

    default: /* ngx_mail_xmpp_stream_end */
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_offer_write(ngx_mail_session_t *s)
{
    size_t                len;
    ngx_buf_t            *b;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->proxy->buffer;

    ngx_mail_xmpp_write_clear(&ctx->out);

    len = ctx->features - b->start;

    if (ctx->starttls) {
        ngx_mail_xmpp_write(&ctx->out, b->start, len);

    } else if (ctx->features_empty) {

        /* "/>" becomes ">", and an end tag */

        ngx_mail_xmpp_write(&ctx->out, b->start, len - 2);
        ngx_mail_xmpp_write(&ctx->out, (u_char *) ">", 1);
        ngx_mail_xmpp_write_starttls(&ctx->out, 0);
        ngx_mail_xmpp_write(&ctx->out, (u_char *) "</", 2);
        ngx_mail_xmpp_write(&ctx->out, ctx->features_name.data,
                            ctx->features_name.len);
        ngx_mail_xmpp_write(&ctx->out, (u_char *) ">", 1);

    } else {
        ngx_mail_xmpp_write(&ctx->out, b->start, len);
        ngx_mail_xmpp_write_starttls(&ctx->out, 0);
    }

    ngx_mail_xmpp_write(&ctx->out, ctx->features, b->last - ctx->features);

    b->pos = b->start;
    b->last = b->start;

    ctx->starttls = 0;

    return NGX_DONE;
}


static void
ngx_mail_xmpp_offer_send(ngx_mail_session_t *s)
{
    ngx_connection_t          *c, *pc;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_core_srv_conf_t  *cscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    c = s->connection;
    pc = s->proxy->upstream.connection;

    if (ngx_mail_xmpp_set_out(s) != NGX_OK
        || ngx_handle_read_event(pc->read, 0) != NGX_OK
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        s->out.len = 0;
        ngx_mail_proxy_internal_server_error(s);
        return;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp offer starttls");

    c->log->action = "in auth state";

    ctx->offered = 1;
    ctx->stream = 1;

    pc->read->handler = ngx_mail_xmpp_offer_upstream_handler;
    c->read->handler = ngx_mail_xmpp_offer_client_handler;

    cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);

    ngx_add_timer(c->read, cscf->timeout);
    ngx_add_timer(pc->read, cscf->timeout);

    /* there may be an answer already */

    ngx_post_event(c->read, &ngx_posted_events);

    ngx_mail_send(c->write);
}


static void
ngx_mail_xmpp_offer_client_handler(ngx_event_t *rev)
{
    ngx_int_t             rc;
    ngx_connection_t     *c, *pc;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp offer client handler");

    if (c->close || rev->timedout) {
        ngx_mail_xmpp_offer_close(s);
        ngx_mail_xmpp_auth_state(rev);
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

    pc = s->proxy->upstream.connection;

    if (pc->read->ready) {
        ngx_post_event(pc->read, &ngx_posted_events);
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    for ( ;; ) {

        rc = ngx_mail_xmpp_parse(ctx->parser, s->buffer);

        if (rc == NGX_OK) {
            rc = ngx_mail_xmpp_offer_client_event(ctx);

            if (rc == NGX_DONE) {
                ngx_mail_xmpp_offer_starttls(s, c);
                return;
            }

        } else if (rc == NGX_AGAIN) {
            rc = ngx_mail_xmpp_offer_client_read(c, s->buffer);

            if (rc == NGX_AGAIN) {
                if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                    ngx_mail_close_connection(c);
                }

                return;
            }
        }

        if (rc != NGX_OK) {
            ngx_mail_xmpp_offer_relay(s);
            return;
        }
    }
}


static ngx_int_t
ngx_mail_xmpp_offer_client_read(ngx_connection_t *c, ngx_buf_t *b)
{
    ssize_t  n;

    /* nothing is moved, all of it may be for the upstream server */

    if (b->last == b->end) {
        return NGX_DECLINED;
    }

    n = c->recv(c, b->last, b->end - b->last);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == NGX_ERROR || n == 0) {
        c->read->eof = 1;
        return NGX_DECLINED;
    }

    b->last += n;

    return NGX_OK;
}


/* NGX_OK, NGX_DONE if it was <starttls/>, NGX_DECLINED if it was not */

static ngx_int_t
ngx_mail_xmpp_offer_client_event(ngx_mail_xmpp_ctx_t *ctx)
{
    ngx_mail_xmpp_parser_t  *p;

    p = ctx->parser;

    if (p->depth > 1) {
        return NGX_OK;
    }

    if (p->event == ngx_mail_xmpp_element_start
        && ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_TLS, "starttls"))
    {
        return NGX_OK;
    }

    return p->event == ngx_mail_xmpp_element_end ? NGX_DONE : NGX_DECLINED;
}


/* it has no reason to go on, but if it does, the client has to know */

static void
ngx_mail_xmpp_offer_upstream_handler(ngx_event_t *rev)
{
    ngx_int_t             rc;
    ngx_buf_t            *b;
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0,
                   "xmpp offer upstream handler");

    if (c->close || rev->timedout) {
        s->connection->close = c->close;
        s->connection->read->timedout = rev->timedout;

        ngx_mail_xmpp_offer_close(s);
        ngx_mail_xmpp_auth_state(s->connection->read);
        return;
    }

    if (s->out.len) {
        s->blocked = 1;

        if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            ngx_mail_close_connection(s->connection);
        }

        return;
    }

    rc = ngx_mail_xmpp_proxy_recv(s, c);

    if (rc == NGX_AGAIN) {
        if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            ngx_mail_close_connection(s->connection);
        }

        return;
    }

    if (rc == NGX_ERROR) {
        rev->eof = 1;

        ngx_mail_xmpp_offer_relay(s);
        return;
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->proxy->buffer;

    ngx_mail_xmpp_write_clear(&ctx->out);
    ngx_mail_xmpp_write(&ctx->out, b->pos, b->last - b->pos);

    b->last = b->start;

    if (ngx_mail_xmpp_set_out(s) != NGX_OK) {
        ngx_mail_close_connection(s->connection);
        return;
    }

    ngx_post_event(rev, &ngx_posted_next_events);

    ngx_mail_send(s->connection->write);
}


static void
ngx_mail_xmpp_offer_starttls(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ngx_mail_xmpp_offer_close(s);

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_mail_xmpp_write_clear(&ctx->out);

    if (ngx_mail_xmpp_starttls_command(s, c) == NGX_OK) {
        ngx_mail_xmpp_flush(s, c);
    }
}


static void
ngx_mail_xmpp_offer_relay(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ctx->offered = 0;

    /* the header was sent */

    s->buffer->pos = ctx->header_end;

    ngx_mail_xmpp_pass_relay(s);
}


static void
ngx_mail_xmpp_offer_close(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ctx->offered = 0;
    ctx->pending = 0;
    ctx->pass = 0;

    ngx_log_debug1(NGX_LOG_DEBUG_MAIL, s->connection->log, 0,
                   "close mail proxy connection: %d",
                   s->proxy->upstream.connection->fd);

    ngx_close_connection(s->proxy->upstream.connection);

    ngx_pfree(s->connection->pool, s->proxy->buffer->start);

    s->proxy = NULL;
    s->login_attempt = 0;

    s->connection->read->handler = ngx_mail_xmpp_auth_state;
}


#endif
