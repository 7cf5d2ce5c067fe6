
/*
 * Many clients at once.
 *
 *   clients PORT COUNT AT_ONCE TIMEOUT [OPTION...] -- STEP...
 *
 * COUNT clients in all, AT_ONCE of them at the same time, each of which takes
 * the steps, every one within TIMEOUT seconds.  Options:
 *
 *   from=ADDRESS   connect from there
 *   rcvbuf=BYTES   SO_RCVBUF
 *   pause=MS       between the messages of "echo"
 *   name=NAME      in the messages of "echo"
 *
 * Steps, where %u is the number of the client, from 0:
 *
 *   send:BYTES     send them
 *   want:BYTES     read up to the end of these
 *   tls            handshake
 *   echo:N         send N numbered messages of many sizes, a few at a time;
 *                  each has to come back in order, and nothing else.  0: till
 *                  "stop", whatever is on its way then has to come back, too
 *   deaf:BYTES     send them, but read nothing till "stop"
 *   hold           read till the peer closes, or "leave"
 *   close, reset   with FIN or RST; close is also what comes after all steps
 *
 * Standard input:
 *
 *   state          is answered with a line:
 *                  state started=N open=N finished=N done=N echoed=N at=N,...
 *                  the last are how many are in step 0, 1, ...
 *   stop           no new clients; see echo and deaf
 *   leave          those that hold close
 *
 * When all have ended, a line for each kind of end:
 *
 *   result COUNT OUTCOME STEP TEXT
 *
 * OUTCOME: done; closed or reset by the peer; cut, if TLS ended without a
 * close_notify; refused; garbled, if an echo was wrong; timeout; tls, if the
 * handshake failed.  TEXT is what came since the last "want", with ID for
 * random ids.  Then "end slowest=SECONDS", of those that were done.
 */


#include "clients.h"


unsigned long              echoed;
double                     timeout;
const char                *name = "c";

static step_t              step[MAX_STEPS];
static int                 steps;
static client_t            clients = { .next = &clients, .prev = &clients };
static unsigned            count, at_once, started, finished, done, alive;
static unsigned            connecting;
static double              slowest;
static double              pause_time;
static int                 stopped, leaving, rcvbuf;
static struct sockaddr_in  peer, from;
static SSL_CTX            *ctx;


static void
command(char *line)
{
    int        i;
    client_t  *c;
    unsigned   at[MAX_STEPS] = { 0 };

    if (strcmp(line, "state") == 0) {

        for (c = clients.next; c != &clients; c = c->next) {
            at[c->step]++;
        }

        printf("state started=%u open=%u finished=%u done=%u echoed=%lu at=",
               started, alive, finished, done, echoed);

        for (i = 0; i < steps; i++) {
            printf("%s%u", i ? "," : "", at[i]);
        }

        printf("\n");

    } else if (strcmp(line, "stop") == 0) {
        stopped = 1;

    } else if (strcmp(line, "leave") == 0) {
        leaving = 1;
    }
}


static void
finish(client_t *c, const char *outcome)
{
    result(c, outcome);

    if (strcmp(outcome, "done") == 0) {
        done++;

        if (now() - c->started > slowest) {
            slowest = now() - c->started;
        }
    }

    connecting -= !c->connected;

    if (c->ssl) {
        if (c->secure) {
            ERR_clear_error();
            SSL_shutdown(c->ssl);
        }

        SSL_free(c->ssl);
    }

    close(c->fd);

    c->next->prev = c->prev;
    c->prev->next = c->next;
    free(c->in);
    free(c->out);
    free(c);

    alive--;
    finished++;
}


static void
start(void)
{
    int        on = 1;
    client_t  *c;

    c = allocate(NULL, sizeof(client_t));
    memset(c, 0, sizeof(client_t));

    c->number = started++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (c->fd == -1) {
        die("socket()");
    }

    unblock(c->fd);

    if (rcvbuf) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    }

    if (from.sin_family) {
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
                   sizeof(on));

        if (bind(c->fd, (struct sockaddr *) &from, sizeof(from)) == -1) {
            die("bind()");
        }
    }

    c->next = clients.next;
    c->prev = &clients;
    c->next->prev = c;
    clients.next = c;

    alive++;
    connecting++;

    c->started = now();
    c->deadline = c->started + timeout;
    c->watched = EPOLLOUT;

    if (connect(c->fd, (struct sockaddr *) &peer, sizeof(peer)) == -1
        && errno != EINPROGRESS)
    {
        if (errno != ECONNREFUSED) {
            die("connect()");
        }

        finish(c, "refused");
        return;
    }

    watch(c->fd, EPOLL_CTL_ADD, EPOLLOUT, c);
}


/* true if the step is over */

static int
echo(client_t *c, step_t *s)
{
    char    buf[MAX_MESSAGE];
    double  at = now();

    while (c->sent - c->got < WINDOW
           && (s->n ? c->sent < s->n : !stopped)
           && c->next_message <= at)
    {
        say(c, buf, message(c, c->sent++, buf));
        c->next_message = at + pause_time;
    }

    flush(c);

    return c->sent == c->got && (s->n ? c->sent == s->n : stopped);
}


static void
go_on(client_t *c)
{
    char        *at, buf[8192];
    int          n, events;
    size_t       len;
    step_t      *s;
    const char  *ended = NULL;

    if (!c->connected) {
        socklen_t  size = sizeof(n);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &n, &size) == -1 || n) {
            finish(c, n == ECONNREFUSED ? "refused" : "reset");
            return;
        }

        c->connected = 1;
        connecting--;
    }

    for ( ;; ) {

        s = &step[c->step];

        if (c->step == steps) {
            finish(c, "done");
            return;
        }

        /* a peer that has ended has said all that it will say */

        if (s->kind != deaf_step && s->kind != tls_step && !ended) {
            ended = fill(c);
        }

        switch (s->kind) {

        case send_step:
            if (!c->begun) {
                c->begun = 1;
                say(c, buf, expand(c, buf, sizeof(buf), s->text));
            }

            flush(c);

            if (c->out_len && !ended) {
                goto wait;
            }

            if (c->out_len) {
                break;
            }

            goto next;

        case want_step:
            len = expand(c, buf, sizeof(buf), s->text);
            at = c->in_len ? memmem(c->in, c->in_len, buf, len) : NULL;

            if (at == NULL) {
                if (c->in_len == MAX_IN) {
                    finish(c, "garbled");
                    return;
                }

                break;
            }

            at += len;
            c->in_len -= at - c->in;
            memmove(c->in, at, c->in_len);

            goto next;

        case tls_step:
            if (c->ssl == NULL) {
                c->ssl = SSL_new(ctx);

                if (c->ssl == NULL || !SSL_set_fd(c->ssl, c->fd)) {
                    die("SSL_new()");
                }
            }

            ERR_clear_error();
            errno = 0;
            n = SSL_connect(c->ssl);

            if (n == 1) {
                c->secure = 1;
                goto next;
            }

            n = SSL_get_error(c->ssl, n);

            if (n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE) {
                c->tls_writes = (n == SSL_ERROR_WANT_WRITE);
                goto wait;
            }

            finish(c, n != SSL_ERROR_SYSCALL ? "tls"
                      : errno == 0 ? "closed" : "reset");
            return;

        case echo_step:
            if (!compare(c)) {
                finish(c, "garbled");
                return;
            }

            if (!ended && echo(c, s)) {
                goto next;
            }

            break;

        case deaf_step:
            if (!c->begun) {
                c->begun = 1;
                say(c, s->text, strlen(s->text));
            }

            flush(c);

            if (!stopped) {
                goto wait;
            }

            goto next;

        case hold_step:
            if (leaving) {
                goto next;
            }

            /* only the beginning is told */

            if (c->in_len > MAX_IN / 2) {
                c->in_len = MAX_TEXT;
            }

            break;

        case reset_step:
            {
                struct linger  linger = { 1, 0 };

                setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger,
                           sizeof(linger));
                c->secure = 0;
            }

            /* fall through */

        default: /* close_step */
            finish(c, "done");
            return;
        }

        if (ended) {
            finish(c, ended);
            return;
        }

        goto wait;

    next:

        c->step++;
        c->begun = 0;
        c->deadline = now() + timeout;
    }

wait:

    /* nobody asks the deaf again and again whether the peer is gone */

    events = (step[c->step].kind == deaf_step) ? EPOLLET : EPOLLIN;

    if (c->tls_writes || (c->out_len && !c->broken)) {
        events |= EPOLLOUT;
    }

    if (events != c->watched) {
        watch(c->fd, EPOLL_CTL_MOD, events, c);
        c->watched = events;
    }
}


static void
tick(void)
{
    int        kind;
    double     at = now();
    client_t  *c, *next;

    for (c = clients.next; c != &clients; c = next) {
        next = c->next;

        if (at > c->deadline) {
            finish(c, "timeout");
            continue;
        }

        if (!c->connected) {
            continue;
        }

        kind = step[c->step].kind;

        if ((kind == echo_step && (c->next_message <= at || stopped))
            || (kind == deaf_step && stopped)
            || (kind == hold_step && leaving))
        {
            go_on(c);
        }
    }
}


static void
parse(char *arg)
{
    int     i;
    char   *text;

    static const char  *kinds[] = { "send", "want", "tls", "echo", "deaf",
                                    "hold", "close", "reset" };

    text = strchr(arg, ':');

    if (text) {
        *text++ = '\0';
    }

    for (i = 0; i < 8; i++) {
        if (strcmp(arg, kinds[i]) == 0 && steps < MAX_STEPS - 1) {
            step[steps].kind = i;
            step[steps].text = text ? text : "";
            step[steps].n = text ? strtoul(text, NULL, 10) : 0;
            steps++;
            return;
        }
    }

    fprintf(stderr, "unknown step %s\n", arg);
    exit(1);
}


int
main(int argc, char **argv)
{
    int                 i, n;
    double              last = 0;
    struct epoll_event  ev[256];

    if (argc < 5) {
        fprintf(stderr, "clients PORT COUNT AT_ONCE TIMEOUT [OPTION...]"
                        " -- STEP...\n");
        return 1;
    }

    peer.sin_family = AF_INET;
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer.sin_port = htons(atoi(argv[1]));

    count = atoi(argv[2]);
    at_once = atoi(argv[3]);
    timeout = atof(argv[4]);

    for (i = 5; i < argc && strcmp(argv[i], "--"); i++) {

        if (strncmp(argv[i], "from=", 5) == 0) {
            from.sin_family = AF_INET;
            from.sin_addr.s_addr = inet_addr(argv[i] + 5);

        } else if (strncmp(argv[i], "rcvbuf=", 7) == 0) {
            rcvbuf = atoi(argv[i] + 7);

        } else if (strncmp(argv[i], "pause=", 6) == 0) {
            pause_time = atoi(argv[i] + 6) / 1000.0;

        } else if (strncmp(argv[i], "name=", 5) == 0) {
            name = argv[i] + 5;

        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 1;
        }
    }

    for (i++; i < argc; i++) {
        parse(argv[i]);
    }

    begin();

    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        die("SSL_CTX_new()");
    }

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    while (alive || (started < count && !stopped)) {

        while (started < count && alive < at_once && connecting < CONNECTING
               && !stopped)
        {
            start();
        }

        n = epoll_wait(loop, ev, 256, TICK);

        for (i = 0; i < n; i++) {
            if (ev[i].data.ptr == NULL) {
                commands(command);

            } else {
                go_on(ev[i].data.ptr);
            }
        }

        if (now() - last >= TICK / 1000.0) {
            tick();
            last = now();
        }
    }

    print_results();
    printf("end slowest=%.3f\n", slowest);

    return 0;
}
