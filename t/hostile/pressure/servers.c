
/*
 * The auth service and the XMPP server for thousands of sessions, in one
 * process each, so that one SIGKILL takes away all of it.
 *
 *   servers auth PORT BACKEND_PORT     lets everybody in, to that port
 *   servers backend PORT               the same, and echoes; <flood/> is
 *                                      answered with more than can be taken
 *
 * Standard input: "state" is answered with a line, "delay MS" makes each
 * answer of the auth service, or the <success/>, so much later.
 */


#include "loop.h"


#define SIZE  65536

enum { request, header, auth, late, echo, flood, closing };

typedef struct peer_s  peer_t;

struct peer_s {
    int        fd;
    int        state;
    int        watched;
    double     due;
    char      *in;
    size_t     in_len;
    char      *out;
    size_t     out_len;
    peer_t    *next;
    peer_t    *prev;
};


#define NS_SASL  "urn:ietf:params:xml:ns:xmpp-sasl"

static const char  features[] =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams' id='b'"
    " from='example.test' version='1.0'><stream:features>"
    "<mechanisms xmlns='" NS_SASL "'><mechanism>PLAIN</mechanism>"
    "</mechanisms></stream:features>";

static const char  success[] = "<success xmlns='" NS_SASL "'/>";

static char           accepted[256];    /* by the auth service */
static int            initial = header;
static int            listener;
static int            delay;
static unsigned long  total, answered, open_now;
static peer_t         peers = { .next = &peers, .prev = &peers };


static void
command(char *line)
{
    if (strcmp(line, "state") == 0) {
        printf("state open=%lu total=%lu answered=%lu\n",
               open_now, total, answered);

    } else if (sscanf(line, "delay %d", &delay) == 1) {
        printf("delay is %d\n", delay);
    }
}


static void
finish(peer_t *p)
{
    close(p->fd);
    p->next->prev = p->prev;
    p->prev->next = p->next;
    free(p->in);
    free(p->out);
    free(p);
    open_now--;
}


static void
say(peer_t *p, const char *bytes, size_t len)
{
    p->out = allocate(p->out, p->out_len + len);
    memcpy(p->out + p->out_len, bytes, len);
    p->out_len += len;
}


/* true if the peer is still there */

static int
flush(peer_t *p)
{
    ssize_t  n;
    int      events;

    static char  noise[SIZE / 8];

    if (p->state == flood && p->out_len == 0) {
        memset(noise, ' ', sizeof(noise));
        say(p, noise, sizeof(noise));
    }

    while (p->out_len) {
        n = send(p->fd, p->out, p->out_len, 0);

        if (n == -1) {
            if (errno == EAGAIN) {
                break;
            }

            finish(p);
            return 0;
        }

        p->out_len -= n;
        memmove(p->out, p->out + n, p->out_len);
    }

    if (p->out_len == 0 && p->state == closing) {
        finish(p);
        return 0;
    }

    /* what is not taken stops what is given */

    events = (p->out_len || p->state == flood) ? EPOLLOUT : EPOLLIN;

    if (events != p->watched) {
        watch(p->fd, EPOLL_CTL_MOD, events, p);
        p->watched = events;
    }

    return 1;
}


static void
answer(peer_t *p)
{
    p->due = 0;
    answered++;

    if (initial == request) {
        p->state = closing;
        say(p, accepted, strlen(accepted));

    } else {
        p->state = echo;
        say(p, success, sizeof(success) - 1);
    }
}


/* true if "what" has come; all up to its end is used up */

static int
came(peer_t *p, const char *begin, const char *what)
{
    char  *at;

    p->in[p->in_len] = '\0';

    at = strstr(p->in, begin);
    at = at ? strstr(at, what) : NULL;

    if (at == NULL) {
        return 0;
    }

    at += strlen(what);
    p->in_len -= at - p->in;
    memmove(p->in, at, p->in_len);

    return 1;
}


static void
serve(peer_t *p)
{
    ssize_t  n;

    if (p->watched & EPOLLIN) {

        n = recv(p->fd, p->in + p->in_len, SIZE - 1 - p->in_len, 0);

        if (n == 0 || (n == -1 && errno != EAGAIN)) {
            finish(p);
            return;
        }

        if (n > 0) {
            p->in_len += n;
        }
    }

    if (p->state == header && came(p, "<stream:stream", ">")) {
        p->state = auth;
        say(p, features, sizeof(features) - 1);
    }

    if ((p->state == auth && came(p, "<auth", "</auth>"))
        || (p->state == request && came(p, "\r\n\r\n", "\r\n\r\n")))
    {
        p->state = late;
        p->due = now() + delay / 1000.0;

        if (delay == 0) {
            answer(p);
        }
    }

    if (p->state == echo && p->in_len) {
        p->in[p->in_len] = '\0';

        if (strstr(p->in, "<flood/>")) {
            p->state = flood;

        } else {
            say(p, p->in, p->in_len);
        }

        p->in_len = 0;
    }

    flush(p);
}


static void
admit(void)
{
    peer_t  *p;
    int      fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1) {
        unblock(fd);

        p = allocate(NULL, sizeof(peer_t));
        memset(p, 0, sizeof(peer_t));

        p->fd = fd;
        p->state = initial;
        p->in = allocate(NULL, SIZE);
        p->watched = EPOLLIN;
        p->prev = &peers;
        p->next = peers.next;
        p->next->prev = p;
        peers.next = p;

        watch(fd, EPOLL_CTL_ADD, EPOLLIN, p);
        total++;
        open_now++;
    }
}


int
main(int argc, char **argv)
{
    int                  i, n, on = 1;
    double               at;
    peer_t              *p, *next;
    struct sockaddr_in   sin;
    struct epoll_event   ev[256];

    if (argc < 3) {
        fprintf(stderr, "servers auth PORT BACKEND_PORT | backend PORT\n");
        return 1;
    }

    begin();

    if (strcmp(argv[1], "auth") == 0 && argc > 3) {
        initial = request;
        snprintf(accepted, sizeof(accepted), "HTTP/1.0 200 OK\r\n"
                 "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\n"
                 "Auth-Port: %s\r\n\r\n", argv[3]);
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons(atoi(argv[2]));

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (bind(listener, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(listener, 1024) == -1)
    {
        die("bind()");
    }

    watch(listener, EPOLL_CTL_ADD, EPOLLIN, &listener);
    printf("listening\n");

    for ( ;; ) {
        n = epoll_wait(loop, ev, 256, TICK);

        for (i = 0; i < n; i++) {
            if (ev[i].data.ptr == NULL) {
                commands(command);

            } else if (ev[i].data.ptr == &listener) {
                admit();

            } else {
                serve(ev[i].data.ptr);
            }
        }

        at = now();

        for (p = peers.next; p != &peers; p = next) {
            next = p->next;

            if (p->state == late && p->due <= at) {
                answer(p);
                flush(p);
            }
        }
    }
}
