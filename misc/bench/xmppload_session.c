
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "xmppload.h"


#define LOAD_READ  262144


#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT  24
#endif


static int load_session_connect(load_session_t *s);
static void load_session_read(load_session_t *s);
static int load_session_unblock(load_session_t *s);
static int load_session_broken(load_session_t *s);
static int load_session_watch(load_session_t *s, int op, uint32_t events);
static void load_session_forget(load_session_t *s);


const char             *load_in;
const char             *load_in_end;

static int              load_epoll;
static char             load_read[LOAD_READ];

static char            *load_out;
static size_t           load_out_len;
static size_t           load_out_size;

static load_session_t  *load_free;

/* sessions that log in, the one that began first at the head */

static load_session_t   load_queue;


void
load_session_init(int epoll)
{
    load_epoll = epoll;

    load_queue.next = &load_queue;
    load_queue.prev = &load_queue;
}


/*
 * A lazy session says nothing before it is connected: many can be connected
 * at once.  Otherwise it says it at once: on one machine, connect() has done
 * all when it returns, and does not have to be waited for.
 */

load_session_t *
load_session_open(uint64_t number, int64_t start, int lazy)
{
    load_session_t  *s;

    s = load_free;

    if (s) {
        load_free = s->next;

    } else {
        s = malloc(sizeof(load_session_t));
        if (s == NULL) {
            load_fatal("no memory for a session");
        }
    }

    memset(s, 0, sizeof(load_session_t));

    s->fd = -1;
    s->number = number;
    s->start = start;
    s->deadline = load_now() + load_conf.timeout * LOAD_SECOND;
    s->slot = -1;

    s->next = &load_queue;
    s->prev = load_queue.prev;
    s->prev->next = s;
    load_queue.prev = s;

    if (load_session_connect(s) == -1) {
        return NULL;
    }

    if (lazy) {
        return load_session_watch(s, EPOLL_CTL_ADD, EPOLLOUT) == 0 ? s : NULL;
    }

    if (load_session_watch(s, EPOLL_CTL_ADD, EPOLLIN) == -1
        || load_login_begin(s) == -1)
    {
        return NULL;
    }

    return s;
}


static int
load_session_connect(load_session_t *s)
{
    int                  on;
    uint64_t             n;
    struct sockaddr_in  *addr;

    on = 1;

    s->fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (s->fd == -1) {

        if (errno == EMFILE) {
            return load_session_fail(s, "socket: %s (%ld in a process, see "
                                     "\"ulimit -Hn\" and --processes)",
                                     strerror(errno), load_conf.files);
        }

        return load_session_fail(s, "socket: %s", strerror(errno));
    }

    if (setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1) {
        return load_session_fail(s, "TCP_NODELAY: %s", strerror(errno));
    }

    if (load_conf.nsources) {
        n = s->number / load_conf.nconnects;
        addr = &load_conf.sources[n % load_conf.nsources];

        /* a port is chosen when both ends are known: many more are free */

        if (setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
                       sizeof(on)) == -1
            || bind(s->fd, (struct sockaddr *) addr, sizeof(*addr)) == -1)
        {
            return load_session_fail(s, "bind: %s", strerror(errno));
        }
    }

    addr = &load_conf.connects[s->number % load_conf.nconnects];

    if (connect(s->fd, (struct sockaddr *) addr, sizeof(*addr)) == -1
        && errno != EINPROGRESS)
    {
        return load_session_fail(s, "connect: %s", strerror(errno));
    }

    return 0;
}


void
load_session_event(load_session_t *s, uint32_t events)
{
    int        error;
    socklen_t  len;

    if (s->state == load_connecting) {

        error = 0;
        len = sizeof(error);

        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);

        if (error) {
            load_session_fail(s, "connect: %s", strerror(error));
            return;
        }

        if (load_session_watch(s, EPOLL_CTL_MOD, EPOLLIN) == 0) {
            load_login_begin(s);
        }

        return;
    }

    if (s->blocked && (events & ~EPOLLIN) && load_session_unblock(s) == -1) {
        return;
    }

    if (events & ~EPOLLOUT) {
        load_session_read(s);
    }
}


static void
load_session_read(load_session_t *s)
{
    int      rc;
    ssize_t  n;

    n = recv(s->fd, load_read, LOAD_READ, 0);

    if (n == -1) {

        if (errno != EAGAIN && errno != EINTR) {
            load_session_fail(s, "read: %s", strerror(errno));
        }

        return;
    }

    if (n == 0) {
        load_session_fail(s, "closed by the server");
        return;
    }

    if (s->ssl) {
        load_in = load_read;
        load_in_end = load_read + n;

        rc = load_tls_input(s);

        load_in = NULL;
        load_in_end = NULL;

    } else {
        rc = load_session_data(s, load_read, n);
    }

    if (rc == 0 && s->state == load_ready) {
        load_traffic_turn(s);
    }
}


int
load_session_data(load_session_t *s, const char *p, size_t len)
{
    return s->state == load_ready ? load_traffic_data(s, p, len)
                                  : load_login_data(s, p, len);
}


int
load_session_send(load_session_t *s, const char *p, size_t len)
{
    if (s->ssl == NULL) {
        load_out_add(p, len);

    } else if (load_tls_send(s, p, len) == -1) {
        return -1;
    }

    return load_session_flush(s);
}


void
load_out_add(const char *p, size_t len)
{
    if (load_out_size - load_out_len < len) {

        load_out_size = 2 * (load_out_len + len);
        load_out = realloc(load_out, load_out_size);

        if (load_out == NULL) {
            load_fatal("no memory for output");
        }
    }

    memcpy(load_out + load_out_len, p, len);
    load_out_len += len;
}


int
load_session_flush(load_session_t *s)
{
    size_t   len;
    ssize_t  n;

    len = load_out_len;
    load_out_len = 0;

    if (len == 0) {
        return 0;
    }

    n = 0;

    if (!s->blocked) {

        n = send(s->fd, load_out, len, MSG_NOSIGNAL);

        if (n == (ssize_t) len) {
            return 0;
        }

        if (n == -1) {

            if (errno != EAGAIN && errno != EINTR) {
                return load_session_broken(s);
            }

            n = 0;
        }

        s->out_len = 0;
        s->out_sent = 0;
    }

    if (s->out_size - s->out_len < len - n) {

        s->out_size = s->out_len + len - n;
        s->out = realloc(s->out, s->out_size);

        if (s->out == NULL) {
            load_fatal("no memory for output");
        }
    }

    memcpy(s->out + s->out_len, load_out + n, len - n);
    s->out_len += len - n;

    if (s->blocked) {
        return 0;
    }

    s->blocked = 1;

    return load_session_watch(s, EPOLL_CTL_MOD, EPOLLIN|EPOLLOUT);
}


static int
load_session_unblock(load_session_t *s)
{
    ssize_t  n;

    n = send(s->fd, s->out + s->out_sent, s->out_len - s->out_sent,
             MSG_NOSIGNAL);

    if (n == -1) {

        if (errno == EAGAIN || errno == EINTR) {
            return 0;
        }

        if (load_session_broken(s) == -1) {
            return -1;
        }

        n = s->out_len - s->out_sent;
    }

    s->out_sent += n;

    if (s->out_sent < s->out_len) {
        return 0;
    }

    s->blocked = 0;

    if (s->state < load_ready) {
        free(s->out);
        s->out = NULL;
        s->out_size = 0;
    }

    if (load_session_watch(s, EPOLL_CTL_MOD, EPOLLIN) == -1) {
        return -1;
    }

    return s->state == load_ready ? load_traffic_turn(s) : 0;
}


/* send() has failed; what the server has said before can still be read */

static int
load_session_broken(load_session_t *s)
{
    if (errno == EPIPE || errno == ECONNRESET) {
        return 0;
    }

    if (errno == ECONNREFUSED) {
        s->state = load_connecting;
    }

    return load_session_fail(s, "%s: %s", s->state == load_connecting
                                          ? "connect" : "write",
                             strerror(errno));
}


static int
load_session_watch(load_session_t *s, int op, uint32_t events)
{
    struct epoll_event  event;

    event.events = events;
    event.data.ptr = s;

    if (epoll_ctl(load_epoll, op, s->fd, &event) == -1) {
        return load_session_fail(s, "epoll_ctl: %s", strerror(errno));
    }

    return 0;
}


/* the session is gone; -1 for the caller to return */

int
load_session_fail(load_session_t *s, const char *fmt, ...)
{
    int          n;
    char         reason[512];
    va_list      args;
    const char  *state;

    static const char  *states[] = {
        "connecting", "waiting for the header", "waiting for STARTTLS",
        "waiting for <proceed/>", "in the TLS handshake",
        "waiting for the header", "waiting for features",
        "waiting for <success/>", "waiting for the second header",
        "waiting for the second features", "waiting for the bound resource",
        "waiting for the first message", "logged in"
    };

    state = states[s->state];

    va_start(args, fmt);
    n = vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);

    if (n > 0 && (size_t) n < sizeof(reason)) {
        snprintf(reason + n, sizeof(reason) - n, " (%s)", state);
    }

    load_work_failed(s, reason);

    load_out_len = 0;
    load_session_forget(s);

    return -1;
}


void
load_session_close(load_session_t *s)
{
    /* nothing is behind what could not be sent */

    load_tls_close(s);

    if (!s->blocked && load_out_len) {
        (void) !send(s->fd, load_out, load_out_len, MSG_NOSIGNAL);
    }

    load_out_len = 0;
    load_session_forget(s);
}


static void
load_session_forget(load_session_t *s)
{
    load_session_ready(s);

    s->state = load_connecting;
    load_tls_close(s);

    if (s->fd != -1) {
        close(s->fd);
    }

    free(s->in);
    free(s->out);
    free(s->jid);
    free(s->text);

    s->next = load_free;
    load_free = s;
}


/* the time of the login does not run any more */

void
load_session_ready(load_session_t *s)
{
    if (s->next) {
        s->next->prev = s->prev;
        s->prev->next = s->next;
        s->next = NULL;
    }
}


void
load_session_expire(int64_t now)
{
    load_session_t  *s;

    for ( ;; ) {
        s = load_queue.next;

        if (s == &load_queue || s->deadline > now) {
            return;
        }

        load_session_fail(s, "timed out after %g s", load_conf.timeout);
    }
}


int64_t
load_session_deadline(void)
{
    return load_queue.next == &load_queue ? INT64_MAX
                                          : load_queue.next->deadline;
}
