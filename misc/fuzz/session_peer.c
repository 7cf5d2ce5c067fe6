/*
 * The connections: what nginx reads from them, and writes to them.
 *
 * Events are those of epoll with EPOLLET: something new is told once, and only
 * to a side that is watched.
 */


#include "session.h"


/* reads and writes of a session; no input of 32 KB needs so many */
#define FUZZ_MAX_CALLS  200000


static ssize_t fuzz_recv(ngx_connection_t *c, u_char *buf, size_t size);
static ssize_t fuzz_send(ngx_connection_t *c, u_char *buf, size_t size);
static ssize_t fuzz_recv_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit);
static ngx_chain_t *fuzz_send_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit);
static ngx_int_t fuzz_add_event(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags);
static ngx_int_t fuzz_del_event(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags);
static ngx_int_t fuzz_add_conn(ngx_connection_t *c);
static ngx_int_t fuzz_del_conn(ngx_connection_t *c, ngx_uint_t flags);


static int  fuzz_last_fd = FUZZ_FD;

static ngx_os_io_t  fuzz_io = {
    fuzz_recv,
    fuzz_recv_chain,
    NULL,
    fuzz_send,
    NULL,
    NULL,
    fuzz_send_chain,
    0
};

ngx_event_actions_t  fuzz_actions = {
    fuzz_add_event,
    fuzz_del_event,
    fuzz_add_event,
    fuzz_del_event,
    fuzz_add_conn,
    fuzz_del_conn,
    NULL,
    NULL,
    NULL,
    NULL
};


void
fuzz_peer_init(void)
{
    ngx_io = fuzz_io;

    ngx_event_flags = NGX_USE_CLEAR_EVENT|NGX_USE_GREEDY_EVENT
                      |NGX_USE_EPOLL_EVENT;
}


ngx_connection_t *
fuzz_peer_open(fuzz_role_e role, ngx_log_t *log)
{
    fuzz_peer_t  *p;

    p = &peers[role];

    if (p->c) {
        fuzz_fail("a second connection to the %s", fuzz_role_names[role]);
    }

    p->head = p->tail = p->taken = 0;
    p->in_len = p->out_len = p->in_base = p->out_base = p->mark = 0;
    p->rnew = p->eof = p->reset = p->blocked = p->broken = 0;
    p->pending = p->shut = p->connecting = p->tls = p->relayed = 0;
    p->wnew = 0;

    p->fd = ++fuzz_last_fd;
    p->c = ngx_get_connection(p->fd, log);

    if (p->c == NULL) {
        fuzz_fail("no connection left");
    }

    p->c->type = SOCK_STREAM;
    p->c->recv = fuzz_recv;
    p->c->send = fuzz_send;
    p->c->recv_chain = fuzz_recv_chain;
    p->c->send_chain = fuzz_send_chain;
    p->c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    return p->c;
}


fuzz_peer_t *
fuzz_peer(int fd)
{
    ngx_uint_t  i;

    for (i = 0; i < fuzz_roles; i++) {
        if (peers[i].c && peers[i].fd == fd) {
            return &peers[i];
        }
    }

    fuzz_fail("descriptor %d is used and not open", fd);
}


void
fuzz_peer_chunk(fuzz_peer_t *p, const u_char *data, size_t len)
{
    if (len == 0 || p->tail == FUZZ_CHUNKS || p->eof || p->reset) {
        return;
    }

    p->queue[p->tail].data = data;
    p->queue[p->tail++].len = len;
}


void
fuzz_peer_arrived(fuzz_peer_t *p)
{
    if (p->c) {
        p->rnew = 1;
    }
}


void
fuzz_peer_writable(fuzz_peer_t *p)
{
    if (p->c && !p->c->write->ready) {
        p->wnew = 1;
    }
}


/* tells nginx what is new, returns 1 if there was something */

ngx_uint_t
fuzz_peer_events(fuzz_peer_t *p)
{
    ngx_uint_t         done;
    ngx_connection_t  *c;

    done = 0;
    c = p->c;

    if (c == NULL) {
        return 0;
    }

    if (p->connecting && run.connect[p - peers] != fuzz_connect_never) {
        p->connecting = 0;

        if (run.connect[p - peers] == fuzz_connect_failed) {
            p->reset = 1;
            p->broken = 1;
            p->rnew = 1;
        }

        p->wnew = 1;

        /* what it says at once is told together with the connection */

        (void) fuzz_play(p - peers);
    }

    if (p->connecting) {
        return 0;
    }

    if (p->rnew && c->read->active) {
        p->rnew = 0;
        c->read->ready = 1;
        c->read->available = -1;

        if (p->eof || p->reset) {
            c->read->pending_eof = 1;
        }

        run.events++;
        done = 1;

        c->read->handler(c->read);
    }

    if (p->c == c && p->wnew && c->write->active && !p->blocked) {
        p->wnew = 0;
        c->write->ready = 1;

        run.events++;
        done = 1;

        c->write->handler(c->write);
    }

    return done;
}


ssize_t
fuzz_peer_take(fuzz_peer_t *p, u_char *buf, size_t size, int peek)
{
    size_t         n;
    fuzz_chunk_t  *chunk;

    if (++run.calls > FUZZ_MAX_CALLS) {
        fuzz_fail("too many reads and writes");
    }

    if (p->connecting) {
        errno = EAGAIN;
        return -1;
    }

    if (p->head == p->tail) {

        if (p->reset) {
            errno = ECONNRESET;
            return -1;
        }

        if (p->eof) {
            return 0;
        }

        errno = EAGAIN;
        return -1;
    }

    chunk = &p->queue[p->head];
    n = ngx_min(chunk->len, size);

    ngx_memcpy(buf, chunk->data, n);

    if (peek) {
        return n;
    }

    if (p->in_len + n <= FUZZ_RECORD) {
        ngx_memcpy(p->in + p->in_len, buf, n);
    }

    p->in_len += n;

    chunk->data += n;
    chunk->len -= n;

    if (chunk->len == 0) {
        p->head++;

        if (p->head == p->tail) {
            p->head = p->tail = 0;
        }
    }

    return n;
}


static ssize_t
fuzz_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    ssize_t       n;
    fuzz_peer_t  *p;

    p = fuzz_peer(c->fd);

    if (size == 0) {

        /* this is how nginx learns that a response of it is too large */

        if (p == &peers[fuzz_auth]) {
            c->read->ready = 0;
            c->read->eof = 1;
            return 0;
        }

        fuzz_fail("read of nothing from the %s", fuzz_role_names[p - peers]);
    }

    if (p == peers && run.handshaked) {
        fuzz_check_first_read(c, buf);
    }

    n = fuzz_peer_take(p, buf, size, 0);

    if (n > 0) {

        if ((size_t) n < size && !c->read->pending_eof) {
            c->read->ready = 0;

            /* it has come in the meantime */
            p->rnew = (p->head != p->tail);
        }

        return n;
    }

    c->read->ready = 0;

    if (n == 0) {
        c->read->eof = 1;
        return 0;
    }

    if (errno == EAGAIN) {
        return NGX_AGAIN;
    }

    c->read->error = 1;
    c->read->eof = 1;

    return NGX_ERROR;
}


static ssize_t
fuzz_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t        n;
    fuzz_peer_t  *p;

    if (++run.calls > FUZZ_MAX_CALLS) {
        fuzz_fail("too many reads and writes");
    }

    p = fuzz_peer(c->fd);

    if (size == 0) {
        fuzz_fail("write of nothing to the %s", fuzz_role_names[p - peers]);
    }

    if (p->shut) {
        fuzz_fail("write to the %s after shutdown",
                  fuzz_role_names[p - peers]);
    }

    if (p == peers) {
        fuzz_check_write(c);
    }

    p->pending = 1;

    if (run.lack.connection && --run.lack.connection == 0) {
        p->broken = 1;
    }

    if (p->broken) {
        c->write->error = 1;
        return NGX_ERROR;
    }

    if (p->blocked || p->connecting) {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    n = size;

    if (run.lack.room && --run.lack.room == 0) {
        n = n / 2 + 1;
    }

    if (p->partial && p->partial < n) {
        n = p->partial;
    }

    if (n < size) {
        c->write->ready = 0;
        p->wnew = 1;

    } else {
        p->pending = 0;
    }

    if (p->out_len + n <= FUZZ_RECORD) {
        ngx_memcpy(p->out + p->out_len, buf, n);

    } else {
        fuzz_fail("too much is written");
    }

    p->out_len += n;
    p->taken = n;
    c->sent += n;

    return n;
}


/* the mail module uses none of these */

static ssize_t
fuzz_recv_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    fuzz_fail("recv_chain()");
}


static ngx_chain_t *
fuzz_send_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    fuzz_fail("send_chain()");
}


static ngx_int_t
fuzz_add_event(ngx_event_t *ev, ngx_int_t event, ngx_uint_t flags)
{
    fuzz_peer_t       *p;
    ngx_connection_t  *c;

    c = ev->data;
    p = fuzz_peer(c->fd);

    if (run.lack.event && --run.lack.event == 0) {
        return NGX_ERROR;
    }

    ev->active = 1;

    /* what is there already is told, too */

    if (ev->write) {
        p->wnew = 1;

    } else if (p->head != p->tail || p->eof || p->reset) {
        p->rnew = 1;
    }

    return NGX_OK;
}


static ngx_int_t
fuzz_del_event(ngx_event_t *ev, ngx_int_t event, ngx_uint_t flags)
{
    ev->active = 0;

    return NGX_OK;
}


static ngx_int_t
fuzz_add_conn(ngx_connection_t *c)
{
    c->read->active = 1;
    c->write->active = 1;

    return NGX_OK;
}


static ngx_int_t
fuzz_del_conn(ngx_connection_t *c, ngx_uint_t flags)
{
    c->read->active = 0;
    c->write->active = 0;

    return NGX_OK;
}
