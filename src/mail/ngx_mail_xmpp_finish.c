
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


/* s->mail_state, what was shut down for writing */

#define NGX_MAIL_XMPP_CLIENT_SHUTDOWN    0x01
#define NGX_MAIL_XMPP_UPSTREAM_SHUTDOWN  0x02


static void ngx_mail_xmpp_finish_handler(ngx_event_t *ev);
static void ngx_mail_xmpp_finish_shutdown(ngx_connection_t *c);
static ngx_int_t ngx_mail_xmpp_finish_events(ngx_connection_t *c);


/*
 * One of the sides has closed its connection.  What it has sent is delivered,
 * then the other side is told that there is no more, and has "timeout" to
 * close its connection as well: closing a socket with unread data in it would
 * reset the connection, and drop what is still on the way.
 */

void
ngx_mail_xmpp_finish(ngx_mail_session_t *s)
{
    ngx_connection_t          *c, *pc;
    ngx_mail_core_srv_conf_t  *cscf;

    c = s->connection;
    pc = s->proxy->upstream.connection;

    ngx_log_debug2(NGX_LOG_DEBUG_MAIL, c->log, 0,
                   "xmpp finish, client eof:%d, upstream eof:%d",
                   c->read->eof, pc->read->eof);

    s->mail_state = 0;

    c->read->handler = ngx_mail_xmpp_finish_handler;
    c->write->handler = ngx_mail_xmpp_finish_handler;
    pc->read->handler = ngx_mail_xmpp_finish_handler;
    pc->write->handler = ngx_mail_xmpp_finish_handler;

    cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_add_timer(c->read, cscf->timeout);

    ngx_mail_xmpp_finish_handler(c->read);
}


static void
ngx_mail_xmpp_finish_handler(ngx_event_t *ev)
{
    off_t                      sent;
    ngx_int_t                  client, upstream;
    ngx_connection_t          *c, *pc;
    ngx_mail_session_t        *s;
    ngx_mail_core_srv_conf_t  *cscf;

    c = ev->data;
    s = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_MAIL, ev->log, 0, "xmpp finish handler");

    if (ev->timedout || c->close) {
        c->log->action = "finishing";

        ngx_log_error(NGX_LOG_INFO, c->log, 0, "%s",
                      c->close ? "shutdown timeout"
                               : "connection was not closed in time");

        /* it is not waited for a close_notify then */
        s->connection->timedout = 1;

        ngx_mail_proxy_close_session(s);
        return;
    }

    c = s->connection;
    pc = s->proxy->upstream.connection;

    c->log->action = "finishing";

    sent = c->sent + pc->sent;

    /* a server that has closed its side does not read either */

    client = ngx_mail_xmpp_relay_move(s, c, pc, s->buffer,
                                      pc->error || pc->read->eof);

    upstream = ngx_mail_xmpp_relay_move(s, pc, c, s->proxy->buffer, c->error);

    if (client == NGX_ERROR || upstream == NGX_ERROR) {
        ngx_mail_proxy_close_session(s);
        return;
    }

    if (client == NGX_DONE && upstream == NGX_DONE) {
        c->log->action = NULL;
        ngx_log_error(NGX_LOG_INFO, c->log, 0, "proxied session done");
        c->log->action = "finishing";

        ngx_mail_proxy_close_session(s);
        return;
    }

    /* who still has something to say may go on */

    if (c->sent + pc->sent != sent) {
        cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);
        ngx_add_timer(c->read, cscf->timeout);
    }

    if (client == NGX_DONE
        && !(s->mail_state & NGX_MAIL_XMPP_UPSTREAM_SHUTDOWN))
    {
        s->mail_state |= NGX_MAIL_XMPP_UPSTREAM_SHUTDOWN;
        ngx_mail_xmpp_finish_shutdown(pc);
    }

    if (upstream == NGX_DONE
        && !(s->mail_state & NGX_MAIL_XMPP_CLIENT_SHUTDOWN))
    {
        s->mail_state |= NGX_MAIL_XMPP_CLIENT_SHUTDOWN;
        ngx_mail_xmpp_finish_shutdown(c);
    }

    if (ngx_mail_xmpp_finish_events(c) != NGX_OK
        || ngx_mail_xmpp_finish_events(pc) != NGX_OK)
    {
        ngx_mail_proxy_close_session(s);
    }
}


static void
ngx_mail_xmpp_finish_shutdown(ngx_connection_t *c)
{
    if (c->error) {
        return;
    }

#if (NGX_MAIL_SSL)

    if (c->ssl) {
        ERR_clear_error();

        if (SSL_shutdown(c->ssl->connection) < 0) {
            ERR_clear_error();
        }

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
    }

#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_log_debug0(NGX_LOG_DEBUG_MAIL, c->log, ngx_socket_errno,
                       ngx_shutdown_socket_n " failed");
        c->error = 1;
    }
}


static ngx_int_t
ngx_mail_xmpp_finish_events(ngx_connection_t *c)
{
    if (ngx_handle_read_event(c->read, c->read->eof ? NGX_CLOSE_EVENT : 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_handle_write_event(c->write, 0);
}
