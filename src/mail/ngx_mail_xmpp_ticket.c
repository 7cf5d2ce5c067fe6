
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#if (NGX_MAIL_SSL && OPENSSL_VERSION_NUMBER >= 0x30000000L)


/*
 * With TLS 1.3, OpenSSL sends two session tickets at the end of a handshake,
 * which is up to a fifth of its cost.  A client uses one of them at best, and
 * who never logs in, or leaves at once, has no use for it.  So there is one
 * when a session has lasted for a while, and not while all the others that
 * were cut off with it want to log in again.
 */

#define NGX_MAIL_XMPP_TICKET_DELAY  3000


void
ngx_mail_xmpp_ticket_init(ngx_conf_t *cf, ngx_mail_xmpp_srv_conf_t *xscf)
{
    ssize_t               builtin;
    ngx_uint_t            i;
    ngx_keyval_t         *command;
    ngx_mail_ssl_conf_t  *sscf;

    sscf = ngx_mail_conf_get_module_srv_conf(cf, ngx_mail_ssl_module);

    if (sscf->ssl.ctx == NULL) {
        return;
    }

    if (sscf->conf_commands) {
        command = sscf->conf_commands->elts;

        for (i = 0; i < sscf->conf_commands->nelts; i++) {
            if (ngx_strcasecmp(command[i].key.data, (u_char *) "NumTickets")
                == 0)
            {
                return;
            }
        }
    }

    SSL_CTX_set_num_tickets(sscf->ssl.ctx, 0);

    /* without tickets, there has to be a cache that it is the key of */

    builtin = sscf->builtin_session_cache;

    xscf->ticket = sscf->session_tickets
                   || sscf->shm_zone
                   || builtin == NGX_SSL_DFLT_BUILTIN_SCACHE
                   || builtin > 0;
}


/*
 * It goes along with what is sent next, or before what is read next.
 * NGX_AGAIN if it is too early.
 */

ngx_int_t
ngx_mail_xmpp_ticket(ngx_mail_session_t *s)
{
    ngx_connection_t          *c;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    c = s->connection;

    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    if (!xscf->ticket || c->ssl == NULL) {
        return NGX_OK;
    }

    if (ngx_current_msec - c->start_time < NGX_MAIL_XMPP_TICKET_DELAY) {
        return NGX_AGAIN;
    }

    /* this does nothing with TLS 1.2, nor in the middle of a key update */

    (void) SSL_new_session_ticket(c->ssl->connection);

    return NGX_OK;
}


#endif
