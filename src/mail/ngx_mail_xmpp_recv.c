
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


/*
 * ngx_ssl_recv() reads till the socket has nothing more, so each message takes
 * two reads, and the second one is in vain.  But if the first one got less
 * than it asked for, the socket is empty, and whatever comes later is an event
 * of its own, as for ngx_unix_recv().  What OpenSSL asks its socket for is
 * only seen there, so this is where the second read is answered.
 */


#if (NGX_MAIL_SSL && NGX_HAVE_EPOLLRDHUP                                      \
     && OPENSSL_VERSION_NUMBER >= 0x30000000L)


static long ngx_mail_xmpp_recv_callback(BIO *bio, int oper, const char *argp,
    size_t len, int argi, long argl, int ret, size_t *processed);


static ngx_uint_t  ngx_mail_xmpp_recv_active;
static ngx_uint_t  ngx_mail_xmpp_recv_empty;


void
ngx_mail_xmpp_recv_init(ngx_connection_t *c)
{
    BIO  *bio;

    if (c->ssl == NULL
        || !ngx_use_epoll_rdhup
        || !(ngx_event_flags & NGX_USE_EPOLL_EVENT))
    {
        return;
    }

    bio = SSL_get_rbio(c->ssl->connection);

    if (bio) {
        BIO_set_callback_ex(bio, ngx_mail_xmpp_recv_callback);
    }
}


ssize_t
ngx_mail_xmpp_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    ssize_t  n;

    /* the end of the stream is not an event of its own */

    ngx_mail_xmpp_recv_active = !c->read->pending_eof;
    ngx_mail_xmpp_recv_empty = 0;

    n = c->recv(c, buf, size);

    ngx_mail_xmpp_recv_active = 0;

    return n;
}


static long
ngx_mail_xmpp_recv_callback(BIO *bio, int oper, const char *argp, size_t len,
    int argi, long argl, int ret, size_t *processed)
{
    switch (oper) {

    case BIO_CB_READ:

        if (ngx_mail_xmpp_recv_active && ngx_mail_xmpp_recv_empty) {
            BIO_set_retry_read(bio);
            return -1;
        }

        break;

    case BIO_CB_READ|BIO_CB_RETURN:

        ngx_mail_xmpp_recv_empty = (ret > 0 && *processed < len);
        break;
    }

    return ret;
}


#else


void
ngx_mail_xmpp_recv_init(ngx_connection_t *c)
{
}


ssize_t
ngx_mail_xmpp_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    return c->recv(c, buf, size);
}


#endif
