
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


typedef enum {
    ngx_mail_xmpp_up_header = 0,
    ngx_mail_xmpp_up_features,
    ngx_mail_xmpp_up_auth
} ngx_mail_xmpp_up_state_e;


typedef enum {
    ngx_mail_xmpp_up_other = 0,
    ngx_mail_xmpp_up_offer,
    ngx_mail_xmpp_up_success,
    ngx_mail_xmpp_up_failure,
    ngx_mail_xmpp_up_error
} ngx_mail_xmpp_up_element_e;


static void ngx_mail_xmpp_proxy_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_mail_xmpp_proxy_read(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_event(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_start(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_child(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_end(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_auth(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_success(ngx_mail_session_t *s,
    ngx_connection_t *c);
static void ngx_mail_xmpp_proxy_skip_space(ngx_mail_session_t *s);
static ngx_int_t ngx_mail_xmpp_proxy_failure(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_proxy_keep(ngx_mail_xmpp_ctx_t *ctx,
    ngx_str_t *dst, ngx_str_t *src);


void
ngx_mail_xmpp_init_upstream(ngx_mail_session_t *s)
{
    ngx_connection_t     *c;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    c = s->proxy->upstream.connection;

    c->write->handler = ngx_mail_xmpp_proxy_write_handler;

    if (ctx->pass) {
        ngx_mail_xmpp_pass_init_upstream(s);
        return;
    }

    c->read->handler = ngx_mail_xmpp_proxy_read_handler;

    /* the client's stream is not parsed any more */

    ngx_mail_xmpp_parse_init(ctx->parser);

    ctx->header_end = s->proxy->buffer->start;
    ctx->upstream_state = ngx_mail_xmpp_up_header;

    ngx_mail_xmpp_write_stream(&ctx->upstream, 0, NULL, NULL,
                               &ctx->upstream_domain);
}


void
ngx_mail_xmpp_proxy_write_handler(ngx_event_t *wev)
{
    ssize_t               n, size;
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, wev->log, 0,
                   "mail proxy xmpp write handler");

    c = wev->data;
    s = c->data;

    if (s->proxy->proxy_protocol) {
        if (ngx_mail_proxy_send_proxy_protocol(s) != NGX_OK) {
            return;
        }

        s->proxy->proxy_protocol = 0;
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->upstream.failed) {
        ngx_mail_proxy_internal_server_error(s);
        return;
    }

    size = ctx->upstream.last - ctx->upstream.start - ctx->upstream_sent;

    if (size) {
        n = c->send(c, ctx->upstream.start + ctx->upstream_sent, size);

        if (n == NGX_ERROR) {
            ngx_mail_proxy_internal_server_error(s);
            return;
        }

        if (n > 0) {
            ctx->upstream_sent += n;
        }

        if (n == size) {
            ngx_mail_xmpp_write_clear(&ctx->upstream);
            ctx->upstream_sent = 0;

            s->connection->log->action = "reading response from upstream";
        }
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_mail_proxy_internal_server_error(s);
        return;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


static void
ngx_mail_xmpp_proxy_read_handler(ngx_event_t *rev)
{
    ngx_int_t             rc;
    ngx_uint_t            reads;
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, rev->log, 0,
                   "mail proxy xmpp auth handler");

    if (ngx_mail_xmpp_proxy_check(rev) != NGX_OK) {
        return;
    }

    c = rev->data;
    s = c->data;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    reads = 0;

    for ( ;; ) {

        rc = ngx_mail_xmpp_parse(ctx->parser, s->proxy->buffer);

        if (rc == NGX_AGAIN) {

            if (reads++ == NGX_MAIL_XMPP_READS) {
                ngx_post_event(rev, &ngx_posted_next_events);
                return;
            }

            rc = ngx_mail_xmpp_proxy_read(s, c);

            if (rc == NGX_AGAIN) {
                rc = ngx_handle_read_event(rev, 0);

                if (rc == NGX_OK) {
                    return;
                }
            }

        } else if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, c->log, 0,
                          "upstream sent invalid XML: %s", ctx->parser->error);

        } else {
            rc = ngx_mail_xmpp_proxy_event(s, c);

            if (rc == NGX_DONE) {
                return;
            }
        }

        if (rc != NGX_OK) {
            ngx_mail_proxy_internal_server_error(s);
            return;
        }
    }
}


ngx_int_t
ngx_mail_xmpp_proxy_check(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    if (c->close) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0, "shutdown timeout");
        ngx_mail_proxy_internal_server_error(s);
        return NGX_DONE;
    }

    if (rev->timedout) {
        ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
                      "upstream timed out");
        c->timedout = 1;
        ngx_mail_proxy_internal_server_error(s);
        return NGX_DONE;
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /*
     * nothing is an answer to a client's header that was not sent yet, and
     * for one that there was no memory for, the write handler ends it
     */

    if (s->proxy->proxy_protocol
        || ctx->upstream.failed
        || (ctx->pass && ctx->upstream.last != ctx->upstream.start))
    {
        ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "mail proxy xmpp busy");

        if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            ngx_mail_proxy_internal_server_error(s);
        }

        return NGX_DONE;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_proxy_read(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_buf_t            *b;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->proxy->buffer;

    ngx_mail_xmpp_parse_compact(ctx->parser, b, ctx->header_end);

    if (b->last == b->end) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "upstream sent too large element");
        return NGX_ERROR;
    }

    return ngx_mail_xmpp_proxy_recv(s, c);
}


ngx_int_t
ngx_mail_xmpp_proxy_recv(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ssize_t     n;
    ngx_buf_t  *b;

    b = s->proxy->buffer;

    n = c->recv(c, b->last, b->end - b->last);

    if (n == 0) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "upstream prematurely closed connection");
        return NGX_ERROR;
    }

    if (n > 0) {
        b->last += n;
        return NGX_OK;
    }

    return n;
}


/*
 * NGX_OK     go on
 * NGX_DONE   the login is over
 * NGX_ERROR  it can not go on, the reason is logged
 */

static ngx_int_t
ngx_mail_xmpp_proxy_event(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    switch (p->event) {

    case ngx_mail_xmpp_stream_start:

        if (!ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_STREAM, "stream")) {
            ngx_log_error(NGX_LOG_ERR, c->log, 0,
                          "upstream sent invalid stream header");
            return NGX_ERROR;
        }

        /* an older one has no features to wait for */

        if (ngx_mail_xmpp_version(ngx_mail_xmpp_parse_attr(p, "version"))
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, c->log, 0,
                          "upstream does not support XMPP 1.0");
            return NGX_ERROR;
        }

        ctx->header_end = s->proxy->buffer->pos;
        ctx->upstream_state = ngx_mail_xmpp_up_features;

        return NGX_OK;

    case ngx_mail_xmpp_element_start:
        return p->depth == 1 ? ngx_mail_xmpp_proxy_start(s, c)
                             : ngx_mail_xmpp_proxy_child(s, c);

    case ngx_mail_xmpp_element_end:
        return ngx_mail_xmpp_proxy_end(s, c);

    default: /* ngx_mail_xmpp_stream_end */
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "upstream closed stream");
        return NGX_ERROR;
    }
}


/* the start of a child of the stream */

static ngx_int_t
ngx_mail_xmpp_proxy_start(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    ctx->mechanisms = 0;
    ngx_str_null(&ctx->condition);
    ngx_str_null(&ctx->text);

    if (ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_STREAM, "error")) {
        ctx->upstream_element = ngx_mail_xmpp_up_error;
        return NGX_OK;
    }

    if (ctx->upstream_state == ngx_mail_xmpp_up_features
        && ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_STREAM, "features"))
    {
        ctx->upstream_element = ngx_mail_xmpp_up_offer;
        return NGX_OK;
    }

    /* an answer does not come before the request was sent */

    if (ctx->upstream_state == ngx_mail_xmpp_up_auth
        && ctx->upstream.last == ctx->upstream.start)
    {
        if (ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_SASL, "success")) {
            ctx->upstream_element = ngx_mail_xmpp_up_success;
            return NGX_OK;
        }

        if (ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_SASL, "failure")) {
            ctx->upstream_element = ngx_mail_xmpp_up_failure;
            return NGX_OK;
        }
    }

    if (p->ns == NGX_MAIL_XMPP_NS_STREAM || p->ns == NGX_MAIL_XMPP_NS_SASL) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "upstream sent unexpected element");
        return NGX_ERROR;
    }

    ctx->upstream_element = ngx_mail_xmpp_up_other;

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_proxy_child(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    if (p->depth != 2) {
        return NGX_OK;
    }

    switch (ctx->upstream_element) {

    case ngx_mail_xmpp_up_offer:
        ctx->mechanisms = ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_SASL,
                                                 "mechanisms");
        break;

    case ngx_mail_xmpp_up_failure:
    case ngx_mail_xmpp_up_error:
        if (ctx->condition.len == 0
            && !(p->name.len == 4 && ngx_memcmp(p->name.data, "text", 4) == 0))
        {
            return ngx_mail_xmpp_proxy_keep(ctx, &ctx->condition, &p->name);
        }

        break;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_proxy_end(ngx_mail_session_t *s, ngx_connection_t *c)
{
    u_char                   buf[64];
    size_t                   len;
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    if (p->depth > 1) {

        if (p->depth == 3 && ctx->mechanisms
            && ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_SASL, "mechanism")
            && p->text.len <= sizeof(buf))
        {
            len = ngx_mail_xmpp_decode(buf, &p->text);

            if (len == 5 && ngx_memcmp(buf, "PLAIN", 5) == 0) {
                ctx->plain = 1;
            }
        }

        if (p->depth == 2
            && ctx->upstream_element == ngx_mail_xmpp_up_failure
            && ngx_mail_xmpp_proxy_is(p, NGX_MAIL_XMPP_NS_SASL, "text"))
        {
            return ngx_mail_xmpp_proxy_keep(ctx, &ctx->text, &p->text);
        }

        return NGX_OK;
    }

    switch (ctx->upstream_element) {

    case ngx_mail_xmpp_up_offer:
        return ngx_mail_xmpp_proxy_auth(s, c);

    case ngx_mail_xmpp_up_success:
        return ngx_mail_xmpp_proxy_success(s, c);

    case ngx_mail_xmpp_up_failure:
        return ngx_mail_xmpp_proxy_failure(s, c);

    case ngx_mail_xmpp_up_error:
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "upstream sent stream error: %V",
                      &ctx->condition);
        return NGX_ERROR;

    default: /* ngx_mail_xmpp_up_other */
        return NGX_OK;
    }
}


static ngx_int_t
ngx_mail_xmpp_proxy_auth(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (!ctx->plain) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "upstream does not offer PLAIN");
        return NGX_ERROR;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "mail proxy send auth");

    c->log->action = "sending authentication to upstream";

    ctx->upstream_state = ngx_mail_xmpp_up_auth;

    ngx_mail_xmpp_write_auth_plain(&ctx->upstream, &ctx->upstream_user,
                                   &s->passwd);

    /* an answer to what could not be written must not count as one */

    if (ctx->upstream.failed) {
        return NGX_ERROR;
    }

    ngx_post_event(c->write, &ngx_posted_events);

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_proxy_success(ngx_mail_session_t *s, ngx_connection_t *c)
{
    size_t                len;
    ngx_buf_t            *b;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /*
     * what the upstream server has sent is bound to the prefixes of its own
     * stream, so the client gets ours, and then all that follows as it is
     */

    ngx_mail_xmpp_write_clear(&ctx->out);
    ngx_mail_xmpp_write_success(&ctx->out);

    len = ctx->out.last - ctx->out.start;
    b = s->proxy->buffer;

    /* there is always enough room, a header is longer than that */

    if (ctx->out.failed || (size_t) (b->pos - b->start) < len) {
        return NGX_ERROR;
    }

    b->pos -= len;
    ngx_memcpy(b->pos, ctx->out.start, len);

    ngx_mail_xmpp_proxy_skip_space(s);

    if (ngx_mail_xmpp_release(s) != NGX_OK) {
        return NGX_ERROR;
    }

    s->connection->log->action = NULL;
    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0, "client logged in");

    ngx_mail_xmpp_relay(s);

    return NGX_DONE;
}


/*
 * White space behind <auth/> belongs to the stream that ends here.  For the
 * upstream server, it would be the start of the next one, where an XML
 * declaration may not come after it.
 */

static void
ngx_mail_xmpp_proxy_skip_space(ngx_mail_session_t *s)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    c = s->connection;
    b = s->buffer;

    while (b->pos < b->last && ngx_mail_xmpp_is_space(*b->pos)) {
        b->pos++;
    }

    if (b->pos != b->last || !c->read->ready) {
        return;
    }

    b->pos = b->start;
    b->last = b->start;

    n = c->recv(c, b->last, b->end - b->last);

    if (n == NGX_AGAIN) {
        return;
    }

    if (n == NGX_ERROR || n == 0) {
        c->read->eof = 1;
        return;
    }

    b->last += n;

    while (b->pos < b->last && ngx_mail_xmpp_is_space(*b->pos)) {
        b->pos++;
    }
}


static ngx_int_t
ngx_mail_xmpp_proxy_failure(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_str_t              *condition, *text;
    ngx_mail_xmpp_ctx_t    *ctx;
    ngx_mail_proxy_conf_t  *pcf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    condition = ngx_mail_xmpp_sasl_condition(&ctx->condition);

    ngx_log_error(NGX_LOG_INFO, c->log, 0, "upstream refused login: %V",
                  condition);

    text = NULL;

    pcf = ngx_mail_get_module_srv_conf(s, ngx_mail_proxy_module);

    if (pcf->pass_error_message) {
        text = &ctx->text;
        text->len = ngx_mail_xmpp_decode(text->data, text);
    }

    ngx_mail_xmpp_write_clear(&ctx->out);
    ngx_mail_xmpp_write_failure(&ctx->out, condition, text);
    ngx_mail_xmpp_write_stream_end(&ctx->out);

    if (ngx_mail_xmpp_set_out(s) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_mail_xmpp_forget(s);
    ngx_mail_proxy_upstream_error(s);

    return NGX_DONE;
}


/* what is in the buffer may be moved before the element is complete */

static ngx_int_t
ngx_mail_xmpp_proxy_keep(ngx_mail_xmpp_ctx_t *ctx, ngx_str_t *dst,
    ngx_str_t *src)
{
    if (src->len == 0) {
        return NGX_OK;
    }

    dst->len = src->len;
    dst->data = ngx_pstrdup(ctx->pool, src);

    return dst->data ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_mail_xmpp_proxy_is(ngx_mail_xmpp_parser_t *p, ngx_uint_t ns, char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    return p->ns == ns
           && p->name.len == len
           && ngx_memcmp(p->name.data, name, len) == 0;
}
