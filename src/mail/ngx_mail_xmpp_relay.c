
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


/* s->mail_state */

typedef enum {
    ngx_mail_xmpp_relay_new = 0,
    ngx_mail_xmpp_relay_lasting
} ngx_mail_xmpp_relay_state_e;


static void ngx_mail_xmpp_relay_handler(ngx_event_t *ev);
static ngx_int_t ngx_mail_xmpp_relay_take(ngx_mail_session_t *s, ngx_buf_t *b);
static void ngx_mail_xmpp_relay_put(ngx_mail_session_t *s, ngx_buf_t *b);


/*
 * A session has a buffer only as long as there is something in it: what is
 * read is sent at once, and if nothing is left, the buffer goes to whoever
 * reads next.  So most of the time one buffer serves a whole worker process.
 */

static u_char  *ngx_mail_xmpp_relay_spare;
static size_t   ngx_mail_xmpp_relay_spare_size;


void
ngx_mail_xmpp_relay(ngx_mail_session_t *s)
{
    ngx_connection_t       *c, *pc;
    ngx_mail_proxy_conf_t  *pcf;

    c = s->connection;
    pc = s->proxy->upstream.connection;

    /* messages are to be passed on as they come */

    if (ngx_tcp_nodelay(c) != NGX_OK || ngx_tcp_nodelay(pc) != NGX_OK) {
        ngx_mail_proxy_close_session(s);
        return;
    }

    s->mail_state = ngx_mail_xmpp_relay_new;

    c->read->handler = ngx_mail_xmpp_relay_handler;
    c->write->handler = ngx_mail_xmpp_relay_handler;
    pc->read->handler = ngx_mail_xmpp_relay_handler;
    pc->write->handler = ngx_mail_xmpp_relay_handler;

    pcf = ngx_mail_get_module_srv_conf(s, ngx_mail_proxy_module);

    ngx_add_timer(c->read, pcf->timeout);
    ngx_del_timer(pc->read);

    if (s->buffer->pos != s->buffer->last || c->read->ready || c->read->eof) {
        ngx_post_event(c->read, &ngx_posted_events);

    } else {
        ngx_mail_xmpp_relay_put(s, s->buffer);
    }

    ngx_mail_xmpp_relay_handler(c->write);
}


static void
ngx_mail_xmpp_relay_handler(ngx_event_t *ev)
{
    ngx_int_t               rc;
    ngx_buf_t              *b;
    ngx_connection_t       *c, *src, *dst;
    ngx_mail_session_t     *s;
    ngx_mail_proxy_conf_t  *pcf;

    c = ev->data;
    s = c->data;

    if (ev->timedout || c->close) {
        c->log->action = "proxying";

        if (c->close) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0, "shutdown timeout");

        } else {
            ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                          "client timed out");
            c->timedout = 1;
        }

        ngx_mail_proxy_close_session(s);
        return;
    }

    if ((c == s->connection) == (ev->write == 0)) {
        src = s->connection;
        dst = s->proxy->upstream.connection;
        b = s->buffer;

        c->log->action = "proxying from client to upstream";

    } else {
        src = s->proxy->upstream.connection;
        dst = s->connection;
        b = s->proxy->buffer;

        c->log->action = "proxying from upstream to client";
    }

    ngx_log_debug3(NGX_LOG_DEBUG_MAIL, ev->log, 0,
                   "xmpp relay handler: %d, #%d > #%d",
                   ev->write, src->fd, dst->fd);

#if (NGX_MAIL_XMPP_TICKET)

    if (s->mail_state == ngx_mail_xmpp_relay_new
        && c == s->connection
        && ngx_mail_xmpp_ticket(s) == NGX_OK)
    {
        s->mail_state = ngx_mail_xmpp_relay_lasting;
    }

#endif

    rc = ngx_mail_xmpp_relay_move(s, src, dst, b, 0);

    c->log->action = "proxying";

    if (rc == NGX_ERROR) {
        ngx_mail_proxy_close_session(s);
        return;
    }

    if (src->read->eof || dst->error) {
        ngx_mail_xmpp_finish(s);
        return;
    }

    if (ngx_handle_read_event(src->read, 0) != NGX_OK
        || ngx_handle_write_event(dst->write, 0) != NGX_OK)
    {
        ngx_mail_proxy_close_session(s);
        return;
    }

    if (c == s->connection) {
        pcf = ngx_mail_get_module_srv_conf(s, ngx_mail_proxy_module);
        ngx_add_timer(c->read, pcf->timeout);
    }
}


ngx_int_t
ngx_mail_xmpp_relay_move(ngx_mail_session_t *s, ngx_connection_t *src,
    ngx_connection_t *dst, ngx_buf_t *b, ngx_uint_t gone)
{
    ssize_t     n;
    ngx_int_t   rc;
    ngx_uint_t  reads;

    rc = NGX_AGAIN;

    for (reads = 0; /* void */ ; reads++) {

        while (b->pos != b->last && !gone) {

            if (!dst->write->ready) {
                return NGX_AGAIN;
            }

            n = dst->send(dst, b->pos, b->last - b->pos);

            if (n == NGX_ERROR) {
                dst->error = 1;
                gone = 1;
            }

            if (n > 0) {
                b->pos += n;
            }
        }

        if (src->read->eof) {
            rc = NGX_DONE;
            break;
        }

        if (!src->read->ready) {
            break;
        }

        if (reads == NGX_MAIL_XMPP_READS) {
            ngx_post_event(src->read, &ngx_posted_next_events);
            break;
        }

        if (b->start == NULL && ngx_mail_xmpp_relay_take(s, b) != NGX_OK) {
            return NGX_ERROR;
        }

        b->pos = b->start;
        b->last = b->start;

        n = ngx_mail_xmpp_recv(src, b->last, b->end - b->last);

        if (n == 0 || n == NGX_ERROR) {
            src->read->eof = 1;
        }

        if (n > 0) {
            b->last += n;
        }
    }

    ngx_mail_xmpp_relay_put(s, b);

    return rc;
}


static ngx_int_t
ngx_mail_xmpp_relay_take(ngx_mail_session_t *s, ngx_buf_t *b)
{
    size_t                     size;
    u_char                    *p;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    size = xscf->relay_buffer_size;

    p = ngx_mail_xmpp_relay_spare;
    ngx_mail_xmpp_relay_spare = NULL;

    if (p && ngx_mail_xmpp_relay_spare_size != size) {
        ngx_free(p);
        p = NULL;
    }

    if (p == NULL) {
        p = ngx_alloc(size, s->connection->log);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    b->start = p;
    b->pos = p;
    b->last = p;
    b->end = p + size;

    return NGX_OK;
}


static void
ngx_mail_xmpp_relay_put(ngx_mail_session_t *s, ngx_buf_t *b)
{
    if (b->start == NULL) {
        return;
    }

    if (b->temporary) {

        /* a buffer of the login, with the client's password in it */

        ngx_explicit_memzero(b->start, b->end - b->start);
        ngx_pfree(s->connection->pool, b->start);
        b->temporary = 0;

    } else if (ngx_mail_xmpp_relay_spare == NULL) {
        ngx_mail_xmpp_relay_spare = b->start;
        ngx_mail_xmpp_relay_spare_size = b->end - b->start;

    } else {
        ngx_free(b->start);
    }

    b->start = NULL;
    b->pos = NULL;
    b->last = NULL;
    b->end = NULL;
}


void
ngx_mail_xmpp_relay_cleanup(void *data)
{
    ngx_mail_session_t *s = data;

    ngx_mail_xmpp_relay_put(s, s->buffer);
    ngx_mail_xmpp_relay_put(s, s->proxy->buffer);
}
