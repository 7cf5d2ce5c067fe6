/*
 * The input is text, so that the corpora can be read:
 *
 *     SACIX LF          the server (session_conf.c); what the auth server, the
 *                       upstream server or the client do if they are not the
 *                       fuzzed side (session_play.c); how: see fuzz_how()
 *     bytes %% action   bytes of the fuzzed side, one read's worth, and what
 *                       happens then (fuzz_action()); any number of these
 *     bytes             the rest
 */


#include "session.h"

#include <stdarg.h>


#define FUZZ_HEAD        6
#define FUZZ_MAX_SIZE    32768

/* events that may follow from one thing that happens */
#define FUZZ_MAX_EVENTS  50000


static void fuzz_how(u_char ch);
static void fuzz_input(void);
static void fuzz_action(u_char action);
static void fuzz_other(fuzz_peer_t *p, u_char action);
static void fuzz_settle(void);
static ngx_uint_t fuzz_pass_time(ngx_msec_t msec);
static void fuzz_stop(void);
static void fuzz_stop_client(ngx_uint_t blocked);
static void fuzz_finish(void);
static ngx_uint_t fuzz_open(void);


fuzz_run_t    run;
fuzz_peer_t   peers[fuzz_roles];

const char   *fuzz_role_names[] = { "client", "auth server",
                                    "upstream server" };


int
fuzz_session(fuzz_role_e fuzzed, const uint8_t *data, size_t size)
{
    static const fuzz_lack_t  nothing;

    return fuzz_session_lack(fuzzed, data, size, &nothing);
}


/* fuzzed is fuzz_roles if all of them are played */

int
fuzz_session_lack(fuzz_role_e fuzzed, const uint8_t *data, size_t size,
    const fuzz_lack_t *lack)
{
    ngx_uint_t  i;

    static ngx_uint_t  ready;

    if (!ready) {
        fuzz_init();
        fuzz_peer_init();
        fuzz_play_init();
        fuzz_xml_init();

        ready = 1;
    }

    if (size < FUZZ_HEAD || size > FUZZ_MAX_SIZE || data[5] != '\n') {
        return -1;
    }

    ngx_memzero(&run, sizeof(fuzz_run_t));

    for (i = 0; i < fuzz_roles; i++) {
        peers[i].partial = 0;
        peers[i].in_len = peers[i].out_len = 0;
    }

    run.fuzzed = fuzzed;
    run.server = (u_char) (data[0] - 'a') % fuzz_servers_n;
    run.auth = (u_char) (data[1] - 'a');
    run.backend = (u_char) (data[2] - 'a');
    run.client = (u_char) (data[3] - 'a');

    fuzz_play_connect();
    fuzz_how(data[4] - 'a');

    run.data = data + FUZZ_HEAD;
    run.size = size - FUZZ_HEAD;
    run.lack = *lack;

    ngx_current_msec = 1000000;

    fuzz_check_init();

    if (fuzz_accept(run.server)) {
        fuzz_play_start(fuzz_client);
        fuzz_settle();

        if (fuzzed != fuzz_roles) {
            fuzz_input();
        }
    }

    fuzz_finish();
    fuzz_check_end();

    return 0;
}


static void
fuzz_how(u_char ch)
{
    static const size_t  splits[] = { 0, 1, 7, 64 };

    run.split = splits[ch & 3];
    run.slow_shutdown = (ch & 4) != 0;
    run.quiet_end = (ch & 8) != 0;

    /* at debug level, each line costs */

    ngx_cycle->log->log_level = (ch & 16) ? NGX_LOG_DEBUG_ALL
                                          : NGX_LOG_DEBUG_MAIL;
}


static void
fuzz_input(void)
{
    u_char         action;
    size_t         len;
    ngx_uint_t     waits;
    fuzz_peer_t   *p;
    const u_char  *marker;

    p = &peers[run.fuzzed];
    waits = 0;

    while (run.size && fuzz_open()) {

        /* it may be asked only later, or again */

        if (p->c == NULL) {

            if (waits++ == 4 || !fuzz_pass_time(0)) {
                return;
            }

            continue;
        }

        marker = fuzz_find(run.data, run.size, "%%");
        len = marker ? (size_t) (marker - run.data) : run.size;

        fuzz_peer_chunk(p, run.data, len);

        run.data += len;
        run.size -= len;
        action = '.';

        if (run.size) {
            action = run.size > 2 ? run.data[2] : '.';

            len = ngx_min(run.size, 3);
            run.data += len;
            run.size -= len;
        }

        fuzz_action(action);
    }
}


static void
fuzz_action(u_char action)
{
    fuzz_peer_t  *p, *other;

    p = &peers[run.fuzzed];
    other = &peers[run.fuzzed == fuzz_client ? fuzz_backend : fuzz_client];

    switch (action) {

    case '+':                               /* more comes at the same time */
        return;

    case 't':
        fuzz_peer_arrived(p);
        fuzz_settle();
        fuzz_pass_time(1000);
        return;

    case 'T':                               /* till something times out */
        fuzz_peer_arrived(p);
        fuzz_settle();
        fuzz_pass_time(0);
        return;

    case 'q':
        fuzz_peer_arrived(p);
        fuzz_settle();
        fuzz_stop();
        break;

    case 'E': case 'R': case 'W': case 'U': case 'F': case 'P': case 'S':
        fuzz_peer_arrived(p);
        fuzz_other(p, action);
        break;

    case 'e': case 'r': case 'w': case 'u': case 'f': case 'p': case 's':
        fuzz_peer_arrived(p);
        fuzz_other(other, action - 'a' + 'A');
        break;

    /* an allocation fails, or an event can not be added: which one from now */

    case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        run.lack.memory = action - '0' + 1;
        fuzz_peer_arrived(p);
        break;

    case 'x': case 'y': case 'z':
        run.lack.event = action - 'x' + 1;
        fuzz_peer_arrived(p);
        break;

    case 'm':
        other->steps = fuzz_more;
        /* fall through */

    default:
        fuzz_peer_arrived(p);
    }

    fuzz_settle();
}


/* what a side does but to talk */

static void
fuzz_other(fuzz_peer_t *p, u_char action)
{
    switch (action) {

    case 'E':                               /* closes */
        p->eof = 1;
        p->steps = NULL;
        fuzz_peer_arrived(p);
        break;

    case 'R':                               /* resets */
        p->reset = 1;
        p->broken = 1;
        p->steps = NULL;
        fuzz_peer_arrived(p);
        fuzz_peer_writable(p);
        break;

    case 'W':                               /* does not read */
        p->blocked = 1;
        break;

    case 'U':                               /* reads on */
        p->blocked = 0;
        p->partial = 0;
        fuzz_peer_writable(p);
        break;

    case 'F':                               /* can not be written to */
        p->broken = 1;
        fuzz_peer_writable(p);
        break;

    case 'P':                               /* takes a bit at a time */
        p->partial = 40;
        break;

    case 'S':
        p->partial = 1;
        break;
    }
}


/* till nothing happens any more */

static void
fuzz_settle(void)
{
    ngx_uint_t  i, n, busy;

    n = run.events;

    do {
        busy = 0;

        if (!ngx_queue_empty(&ngx_posted_next_events)) {
            ngx_event_move_posted_next((ngx_cycle_t *) ngx_cycle);
            busy = 1;
        }

        for (i = 0; i < fuzz_roles; i++) {
            busy |= fuzz_play(i);
            busy |= fuzz_peer_events(&peers[i]);
        }

        if (!ngx_queue_empty(&ngx_posted_events)) {
            ngx_event_process_posted((ngx_cycle_t *) ngx_cycle,
                                     &ngx_posted_events);
            busy = 1;
        }

        if (run.lack.time && --run.lack.time == 0) {
            fuzz_stop_client(0);
            busy = 1;
        }

        if (run.lack.reader && --run.lack.reader == 0) {
            fuzz_stop_client(1);
            busy = 1;
        }

        if (++run.events - n > FUZZ_MAX_EVENTS) {
            fuzz_fail("this goes on for ever");
        }

    } while (busy);
}


/* 0 is till the next timer; returns 0 if there is none */

static ngx_uint_t
fuzz_pass_time(ngx_msec_t msec)
{
    ngx_msec_t  timer;

    if (msec == 0) {
        timer = ngx_event_find_timer();

        if (timer == NGX_TIMER_INFINITE) {
            return 0;
        }

        msec = timer;
    }

    ngx_current_msec += msec;

    ngx_event_expire_timers();
    fuzz_settle();

    return 1;
}


/* worker_shutdown_timeout */

static void
fuzz_stop(void)
{
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {

        if (c[i].fd == (ngx_socket_t) -1 || c[i].read->accept) {
            continue;
        }

        c[i].close = 1;
        c[i].error = 1;
        c[i].read->handler(c[i].read);
    }
}


/* the client talks on, and reads only after that, if it was blocked */

static void
fuzz_stop_client(ngx_uint_t blocked)
{
    fuzz_peer_t  *p;

    p = &peers[fuzz_client];

    if (blocked) {
        fuzz_other(p, 'W');
    }

    fuzz_stop();

    if (p->c == NULL) {
        return;
    }

    fuzz_peer_chunk(p, (u_char *) "\n", 1);
    fuzz_peer_arrived(p);
    (void) fuzz_peer_events(p);

    fuzz_other(p, 'U');
}


/* time ends a session, or a client that closes the connection */

static void
fuzz_finish(void)
{
    ngx_uint_t  i;

    for (i = 0; fuzz_open(); i++) {

        if (i == 100) {
            fuzz_fail("the session does not end");
        }

        /* it may say WAIT as long as it likes, always the same if played */

        if (i == (run.fuzzed == fuzz_roles ? 4 : 40)) {
            run.connect[fuzz_auth] = fuzz_connect_refused;
        }

        if (i == (run.quiet_end ? 20 : 0)) {
            fuzz_other(&peers[fuzz_client], 'E');
            fuzz_settle();
            continue;
        }

        if (!fuzz_pass_time(0)) {
            fuzz_fail("the session would last for ever");
        }
    }
}


static ngx_uint_t
fuzz_open(void)
{
    return peers[fuzz_client].c || peers[fuzz_auth].c
           || peers[fuzz_backend].c;
}


void
fuzz_fail(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "\nfuzz: ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");

    abort();
}
