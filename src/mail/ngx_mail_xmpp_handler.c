
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static ngx_int_t ngx_mail_xmpp_read(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_event(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_element(ngx_mail_session_t *s,
    ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_command(ngx_mail_session_t *s,
    ngx_connection_t *c);


void
ngx_mail_xmpp_init_protocol(ngx_event_t *rev)
{
    ngx_connection_t          *c;
    ngx_mail_session_t        *s;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    c = rev->data;
    s = c->data;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (s->buffer == NULL) {
        xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

        s->buffer = ngx_create_temp_buf(c->pool, xscf->client_buffer_size);
        if (s->buffer == NULL) {
            ngx_mail_session_internal_server_error(s);
            return;
        }

        ctx->parser = ngx_palloc(ctx->pool, sizeof(ngx_mail_xmpp_parser_t));
        if (ctx->parser == NULL) {
            ngx_mail_session_internal_server_error(s);
            return;
        }
    }

    /* nothing that was said before STARTTLS counts */

    s->buffer->pos = s->buffer->start;
    s->buffer->last = s->buffer->start;

    ngx_mail_xmpp_parse_init(ctx->parser);
    ngx_mail_xmpp_write_clear(&ctx->out);

    ctx->header_end = s->buffer->start;
    ctx->stream = 0;

    /* an error needs a header too, till it is known what the client sent */
    ctx->server = (ngx_mail_xmpp_streams(s, c) == NGX_MAIL_XMPP_SERVER);

    ngx_str_null(&ctx->domain);
    ngx_str_null(&ctx->from);

    c->log->action = "in auth state";

#if (NGX_MAIL_SSL && defined SSL_OP_CLEANSE_PLAINTEXT)

    /* OpenSSL keeps what it has decrypted till its buffer is used again */

    if (c->ssl) {
        SSL_set_options(c->ssl->connection, SSL_OP_CLEANSE_PLAINTEXT);
    }

#endif

    ngx_mail_xmpp_recv_init(c);

    c->read->handler = ngx_mail_xmpp_auth_state;

    ngx_mail_xmpp_auth_state(rev);
}


void
ngx_mail_xmpp_auth_state(ngx_event_t *rev)
{
    ngx_int_t             rc;
    ngx_uint_t            reads;
    ngx_connection_t     *c;
    ngx_mail_session_t   *s;
    ngx_mail_xmpp_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp auth state");

    if (c->close) {
        (void) ngx_mail_xmpp_stream_error(s, c, "system-shutdown",
                                          "shutdown timeout");
        return;
    }

    if (rev->timedout) {
        c->timedout = 1;
        (void) ngx_mail_xmpp_stream_error(s, c, "connection-timeout",
                                          "client timed out");
        return;
    }

    if (s->out.len) {
        ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0,
                       "xmpp send handler busy");
        s->blocked = 1;

        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            ngx_mail_close_connection(c);
            return;
        }

        return;
    }

    s->blocked = 0;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_mail_xmpp_write_clear(&ctx->out);

    reads = 0;

    for ( ;; ) {

        rc = ngx_mail_xmpp_parse(ctx->parser, s->buffer);

        if (rc == NGX_AGAIN) {

            if (reads++ == NGX_MAIL_XMPP_READS) {
                ngx_post_event(rev, &ngx_posted_next_events);
                return;
            }

            rc = ngx_mail_xmpp_read(s, c);

            if (rc == NGX_OK) {
                continue;
            }

            if (rc == NGX_AGAIN && ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_mail_close_connection(c);
            }

            return;
        }

        if (rc == NGX_ERROR) {
            (void) ngx_mail_xmpp_stream_error(s, c, ctx->parser->error,
                                              "client sent invalid XML");
            return;
        }

        rc = ngx_mail_xmpp_event(s, c);

        if (rc == NGX_DONE) {
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_mail_session_internal_server_error(s);
            return;
        }

        if (ctx->out.failed || ctx->out.last != ctx->out.start) {
            ngx_mail_xmpp_flush(s, c);
            return;
        }
    }
}


/* NGX_DONE: the session is over */

static ngx_int_t
ngx_mail_xmpp_read(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ssize_t               n;
    ngx_buf_t            *b;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    b = s->buffer;

    ngx_mail_xmpp_parse_compact(ctx->parser, b, ctx->header_end);

    if (b->last == b->end) {
        return ngx_mail_xmpp_stream_error(s, c, "policy-violation",
                                          ctx->stream
                                          ? "client sent too large element"
                                          : "client sent too large header");
    }

    n = ngx_mail_xmpp_recv(c, b->last, b->end - b->last);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == NGX_ERROR || n == 0) {
        ngx_mail_close_connection(c);
        return NGX_DONE;
    }

    b->last += n;

    return NGX_OK;
}


/*
 * NGX_OK     go on, or send what was written
 * NGX_DONE   somebody else has the session now, or it is over
 * NGX_ERROR  internal error
 */

static ngx_int_t
ngx_mail_xmpp_event(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    switch (p->event) {

    case ngx_mail_xmpp_stream_start:
        ctx->header_end = s->buffer->pos;

        return ngx_mail_xmpp_stream_header(s, c);

    case ngx_mail_xmpp_element_start:

        if (p->depth == 1) {
            return ngx_mail_xmpp_element(s, c);
        }

        ctx->children = 1;

        return NGX_OK;

    case ngx_mail_xmpp_element_end:

        if (p->depth == 1) {
            return ngx_mail_xmpp_command(s, c);
        }

        return NGX_OK;

    default: /* ngx_mail_xmpp_stream_end */

        ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, 0,
                       "xmpp client closed stream");

        ngx_mail_xmpp_write_stream_end(&ctx->out);
        s->quit = 1;

        return NGX_OK;
    }
}


/* the start of a child of the stream */

static ngx_int_t
ngx_mail_xmpp_element(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_uint_t               i;
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    static struct {
        ngx_str_t                name;
        ngx_uint_t               ns;
        ngx_mail_xmpp_command_e  command;
    } commands[] = {
        { ngx_string("auth"), NGX_MAIL_XMPP_NS_SASL, ngx_mail_xmpp_auth },
        { ngx_string("response"), NGX_MAIL_XMPP_NS_SASL,
          ngx_mail_xmpp_response },
        { ngx_string("abort"), NGX_MAIL_XMPP_NS_SASL, ngx_mail_xmpp_abort },
        { ngx_string("starttls"), NGX_MAIL_XMPP_NS_TLS,
          ngx_mail_xmpp_starttls },
        { ngx_null_string, 0, 0 }
    };

    static ngx_str_t  stanzas[] = {
        ngx_string("message"),
        ngx_string("presence"),
        ngx_string("iq"),
        ngx_null_string
    };

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    for (i = 0; commands[i].name.len; i++) {

        if (p->ns == commands[i].ns
            && p->name.len == commands[i].name.len
            && ngx_memcmp(p->name.data, commands[i].name.data, p->name.len)
               == 0)
        {
            if (ctx->server && commands[i].command != ngx_mail_xmpp_starttls) {
                break;
            }

            ctx->command = commands[i].command;
            ctx->children = 0;

            if (ctx->command == ngx_mail_xmpp_auth) {
                ctx->mechanism = ngx_mail_xmpp_sasl_mechanism(
                                 ngx_mail_xmpp_parse_attr(p, "mechanism"));
            }

            return NGX_OK;
        }
    }

    /* all that a server may do here */

    if (ctx->server) {
        return ngx_mail_xmpp_stream_error(s, c, "policy-violation",
                                          "connection is not encrypted");
    }

    for (i = 0; stanzas[i].len; i++) {

        if (p->ns == NGX_MAIL_XMPP_NS_CLIENT
            && p->name.len == stanzas[i].len
            && ngx_memcmp(p->name.data, stanzas[i].data, p->name.len) == 0)
        {
            return ngx_mail_xmpp_stream_error(s, c, "not-authorized",
                                           "client sent stanza before login");
        }
    }

    return ngx_mail_xmpp_stream_error(s, c, "unsupported-stanza-type",
                                      "client sent unknown element");
}


/* the end of a child of the stream */

static ngx_int_t
ngx_mail_xmpp_command(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_int_t                  rc;
    ngx_str_t                 *data;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_core_srv_conf_t  *cscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_log_debug1(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp auth command: %d",
                   ctx->command);

    data = ctx->parser->text.len ? &ctx->parser->text : NULL;

    switch (ctx->command) {

    case ngx_mail_xmpp_auth:
        rc = ngx_mail_xmpp_sasl_auth(s, c, data);
        break;

    case ngx_mail_xmpp_response:
        rc = ngx_mail_xmpp_sasl_response(s, c, data);
        break;

    case ngx_mail_xmpp_abort:
        rc = ngx_mail_xmpp_sasl_abort(s, c);
        break;

    default: /* ngx_mail_xmpp_starttls */
        return ngx_mail_xmpp_starttls_command(s, c);
    }

    /* there may have been a password in it */

    ngx_mail_xmpp_parse_compact(ctx->parser, s->buffer, ctx->header_end);

    if (rc == NGX_DONE) {
        ngx_mail_xmpp_auth_init(s, c);

        return NGX_DONE;
    }

    if (rc == NGX_DECLINED) {

        cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);

        if (++s->errors >= cscf->max_errors) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0,
                          "client sent too many invalid commands");

            ngx_mail_xmpp_write_stream_error(&ctx->out, "policy-violation",
                                             NULL, NULL);
            s->quit = 1;
        }

        return NGX_OK;
    }

    return rc;
}


void
ngx_mail_xmpp_flush(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (s->quit) {
        ngx_mail_xmpp_forget(s);
    }

    if (ngx_mail_xmpp_set_out(s) != NGX_OK) {
        ngx_mail_close_connection(c);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_mail_close_connection(c);
        return;
    }

    /* there may be more elements in the buffer, or in the socket */

    if (!s->quit
        && (s->buffer->pos != s->buffer->last || c->read->ready
            || ngx_mail_xmpp_parse_pending(ctx->parser)))
    {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_mail_send(c->write);
}


ngx_int_t
ngx_mail_xmpp_set_out(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->out.failed) {
        return NGX_ERROR;
    }

    s->out.data = ctx->out.start;
    s->out.len = ctx->out.last - ctx->out.start;

    return NGX_OK;
}
