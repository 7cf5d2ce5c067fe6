
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "xmppstub.h"


#define STUB_EVENTS       512
#define STUB_ACCEPTS      64
#define STUB_ANSWER       2048


static void stub_accept(stub_conn_t *lc);
static void stub_spare(stub_conn_t *lc);
static void stub_read(stub_conn_t *c);
static int stub_send(stub_conn_t *c);
static void stub_write(stub_conn_t *c);
static void stub_close(stub_conn_t *c);


stub_answer_t         stub_answer;

static int            stub_epoll;
static int            stub_spare_fd;
static int            stub_said_full;

static stub_conn_t   *stub_free_conns;
static stub_login_t  *stub_free_logins;

static char           stub_buf[STUB_READ];


void
stub_conn_init(void)
{
    stub_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (stub_epoll == -1) {
        stub_fatal("epoll_create1(): %s", strerror(errno));
    }

    stub_spare_fd = open("/dev/null", O_RDONLY|O_CLOEXEC);
}


void
stub_work(void)
{
    int                  i, n;
    stub_conn_t         *c;
    struct epoll_event   events[STUB_EVENTS];

    for ( ;; ) {

        n = epoll_wait(stub_epoll, events, STUB_EVENTS, -1);

        if (n == -1 && errno != EINTR) {
            stub_fatal("epoll_wait(): %s", strerror(errno));
        }

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c->kind == stub_listen_xmpp || c->kind == stub_listen_http) {
                stub_accept(c);

            } else if (c->out) {
                stub_write(c);

            } else {
                stub_read(c);
            }
        }
    }
}


static void
stub_accept(stub_conn_t *lc)
{
    int           i, fd;
    stub_conn_t  *c;

    for (i = 0; i < STUB_ACCEPTS; i++) {

        fd = accept4(lc->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {

            if (errno == EMFILE || errno == ENFILE) {
                stub_spare(lc);
            }

            return;
        }

        c = stub_conn(fd, lc->kind == stub_listen_xmpp ? stub_xmpp
                                                       : stub_http);
        if (c == NULL) {
            close(fd);
        }
    }
}


/* who can not be served has to know it, and must not keep us awake */

static void
stub_spare(stub_conn_t *lc)
{
    if (!stub_said_full) {
        stub_said_full = 1;
        fprintf(stderr, "xmppstub: %s, clients are turned away\n",
                strerror(errno));
    }

    close(stub_spare_fd);

    stub_spare_fd = accept4(lc->fd, NULL, NULL, SOCK_CLOEXEC);

    if (stub_spare_fd != -1) {
        close(stub_spare_fd);
    }

    stub_spare_fd = open("/dev/null", O_RDONLY|O_CLOEXEC);
}


stub_conn_t *
stub_conn(int fd, stub_kind_e kind)
{
    stub_conn_t         *c;
    struct epoll_event   event;

    c = stub_free_conns;

    if (c) {
        stub_free_conns = c->u.next;

    } else {
        c = malloc(sizeof(stub_conn_t));
        if (c == NULL) {
            return NULL;
        }
    }

    memset(c, 0, sizeof(stub_conn_t));

    c->fd = fd;
    c->kind = kind;

    event.events = EPOLLIN;
    event.data.ptr = c;

    if (epoll_ctl(stub_epoll, EPOLL_CTL_ADD, fd, &event) == -1) {
        c->u.next = stub_free_conns;
        stub_free_conns = c;
        return NULL;
    }

    return c;
}


static void
stub_read(stub_conn_t *c)
{
    int            rc;
    size_t         len;
    ssize_t        n;
    stub_login_t  *l;

    len = 0;

    if (c->state != stub_echo) {

        l = c->u.login;

        if (l == NULL) {

            l = stub_free_logins;

            if (l) {
                stub_free_logins = l->next;

            } else {
                l = malloc(sizeof(stub_login_t));
                if (l == NULL) {
                    stub_close(c);
                    return;
                }
            }

            l->in = NULL;
            l->len = 0;
            l->again = 0;
            l->user[0] = '\0';

            c->u.login = l;
        }

        if (l->in) {
            len = l->len;
            memcpy(stub_buf, l->in, len);

            free(l->in);
            l->in = NULL;
        }
    }

    /* all that is read at once before the login can be answered at once */

    n = recv(c->fd, stub_buf + len,
             c->state == stub_echo ? STUB_READ : STUB_INPUT, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {

        if (len && stub_keep(c, stub_buf, stub_buf + len) == -1) {
            stub_close(c);
        }

        return;
    }

    if (n <= 0) {
        stub_close(c);
        return;
    }

    stub_answer.len = 0;
    stub_answer.rest_len = 0;

    if (c->state == stub_echo) {
        stub_answer.rest = stub_buf;
        stub_answer.rest_len = n;
        rc = 0;

    } else if (c->kind == stub_xmpp) {
        rc = stub_login(c, stub_buf, stub_buf + len + n);

    } else {
        rc = stub_request(c, stub_buf, stub_buf + len + n);
    }

    if (rc == -1) {
        c->last = 1;
    }

    if (stub_send(c) == -1 || (c->last && c->out == NULL)) {
        stub_close(c);
    }
}


/* what is not complete waits for the rest of it */

int
stub_keep(stub_conn_t *c, const char *p, const char *last)
{
    stub_login_t  *l;

    l = c->u.login;

    if (p == last) {
        return 0;
    }

    if (last - p > STUB_INPUT) {
        return -1;
    }

    l->in = malloc(last - p);
    if (l->in == NULL) {
        return -1;
    }

    memcpy(l->in, p, last - p);
    l->len = last - p;

    return 0;
}


/* a client that asks more at once than it can be answered gets less */

void
stub_say(const char *fmt, ...)
{
    int      n;
    va_list  args;

    if (sizeof(stub_answer.text) - stub_answer.len < STUB_ANSWER) {
        return;
    }

    va_start(args, fmt);
    n = vsnprintf(stub_answer.text + stub_answer.len, STUB_ANSWER, fmt, args);
    va_end(args);

    stub_answer.len += n;
}


static int
stub_send(stub_conn_t *c)
{
    size_t               total, left;
    ssize_t              n;
    struct iovec         iov[2];
    struct epoll_event   event;

    total = stub_answer.len + stub_answer.rest_len;

    if (total == 0) {
        return 0;
    }

    if (stub_answer.len == 0) {
        n = send(c->fd, stub_answer.rest, total, 0);

    } else if (stub_answer.rest_len == 0) {
        n = send(c->fd, stub_answer.text, total, 0);

    } else {
        iov[0].iov_base = stub_answer.text;
        iov[0].iov_len = stub_answer.len;
        iov[1].iov_base = (void *) stub_answer.rest;
        iov[1].iov_len = stub_answer.rest_len;

        n = writev(c->fd, iov, 2);
    }

    if (n == -1) {

        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }

        n = 0;
    }

    left = total - n;

    if (left == 0) {
        return 0;
    }

    c->out = malloc(left);
    if (c->out == NULL) {
        return -1;
    }

    c->out_len = left;
    c->out_sent = 0;

    if ((size_t) n < stub_answer.len) {
        memcpy(c->out, stub_answer.text + n, stub_answer.len - n);

        if (stub_answer.rest_len) {
            memcpy(c->out + stub_answer.len - n, stub_answer.rest,
                   stub_answer.rest_len);
        }

    } else {
        memcpy(c->out, stub_answer.rest + n - stub_answer.len, left);
    }

    /* what can not be sent back is not read */

    event.events = EPOLLOUT;
    event.data.ptr = c;

    return epoll_ctl(stub_epoll, EPOLL_CTL_MOD, c->fd, &event);
}


static void
stub_write(stub_conn_t *c)
{
    ssize_t             n;
    struct epoll_event  event;

    n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, 0);

    if (n == -1) {

        if (errno != EAGAIN && errno != EINTR) {
            stub_close(c);
        }

        return;
    }

    c->out_sent += n;

    if (c->out_sent < c->out_len) {
        return;
    }

    free(c->out);
    c->out = NULL;

    event.events = EPOLLIN;
    event.data.ptr = c;

    if (c->last || epoll_ctl(stub_epoll, EPOLL_CTL_MOD, c->fd, &event) == -1)
    {
        stub_close(c);
    }
}


/* nothing is kept for a connection that only sends back */

void
stub_logged_in(stub_conn_t *c)
{
    stub_login_t  *l;

    l = c->u.login;

    if (l) {
        free(l->in);
        l->next = stub_free_logins;
        stub_free_logins = l;
    }

    c->u.login = NULL;
    c->state = stub_echo;
}


static void
stub_close(stub_conn_t *c)
{
    close(c->fd);
    free(c->out);

    stub_logged_in(c);

    c->u.next = stub_free_conns;
    stub_free_conns = c;
}
