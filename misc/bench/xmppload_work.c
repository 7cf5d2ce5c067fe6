
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "xmppload.h"


#define LOAD_EVENTS   512
#define LOAD_REASONS  16
#define LOAD_HOPELESS 100            /* failures, when most have failed */
#define LOAD_NEAR     (LOAD_SECOND / 50)


typedef struct {
    char      text[256];
    uint64_t  n;
} load_reason_t;


static int load_work_watch(int fd, void *data);
static long load_work_share(long n);
static void load_work_logins(void);
static int64_t load_work_start(void);
static int load_work_more(void);
static void load_work_open(int64_t scheduled);
static double load_work_cpu(void);
static void load_work_report(void);
static void load_work_reset(void);
static void load_work_orders(void);
static void load_work_reasons(void);


load_result_t           load_result;
load_session_t        **load_sessions;
long                    load_nsessions;
long                    load_live;

static int              load_control;
static int              load_poll_fd;
static int              load_timer;

static long             load_active;     /* not logged in yet */
static long             load_started;
static long             load_total;      /* to start, or until when */
static int64_t          load_until;
static long             load_concurrent;
static int              load_stay;
static int              load_bad;        /* a session failed at any time */

static double           load_own_cpu;
static double          *load_samples;
static size_t           load_max_samples;

static load_reason_t    load_reasons[LOAD_REASONS];


/* a process of the generator: all that it does until it has reported */

void
load_work(int control)
{
    load_workload_e  workload;

    load_control = control;
    workload = load_conf.workload;

    load_poll_fd = epoll_create1(EPOLL_CLOEXEC);
    load_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK|TFD_CLOEXEC);

    if (load_poll_fd == -1
        || load_timer == -1
        || load_work_watch(load_timer, &load_timer) == -1)
    {
        load_fatal("epoll: %s", strerror(errno));
    }

    load_session_init(load_poll_fd);

    load_stay = workload >= load_storm;

    if (workload >= load_messages) {
        load_total = load_work_share(load_conf.connections);

    } else if (workload == load_rate) {
        load_total = load_work_share(load_conf.rate * load_conf.seconds);

    } else {
        load_total = load_work_share(load_conf.count);
    }

    load_concurrent = load_work_share(load_conf.concurrency);

    if (load_concurrent == 0) {
        load_concurrent = 1;
    }

    if (load_stay) {
        load_sessions = calloc(load_total + 1, sizeof(load_session_t *));
        if (load_sessions == NULL) {
            load_fatal("no memory for %ld sessions", load_total);
        }
    }

    if (workload >= load_messages) {
        load_work_logins();
        load_traffic();

    } else {
        load_work_mark();
        load_work_logins();
        load_work_mark();
    }

    load_work_report();

    if (workload == load_idle) {
        load_work_orders();
    }

    load_work_reasons();

    exit(load_bad);
}


static int
load_work_watch(int fd, void *data)
{
    struct epoll_event  event;

    event.events = EPOLLIN;
    event.data.ptr = data;

    return epoll_ctl(load_poll_fd, EPOLL_CTL_ADD, fd, &event);
}


/* of what all processes have to do */

static long
load_work_share(long n)
{
    return n / load_conf.processes
           + (load_conf.index < n % load_conf.processes);
}


/*
 * Sessions are begun, as many at a time as there may be, or each at its time,
 * until enough of them were, and are ended or stay logged in.
 */

static void
load_work_logins(void)
{
    int64_t  next, deadline;

    load_result.begin = load_now();

    if (load_conf.workload == load_rate) {
        load_result.begin += LOAD_SECOND / 100;

    } else if (load_conf.count == 0 && !load_stay) {
        load_until = load_result.begin + load_conf.seconds * LOAD_SECOND;
    }

    load_result.end = load_result.begin;

    for ( ;; ) {
        load_session_expire(load_now());

        next = load_work_start();

        if (load_active == 0 && next == INT64_MAX) {
            return;
        }

        deadline = load_session_deadline();

        load_work_poll(next < deadline ? next : deadline);
    }
}


/* returns when it is to be called again, if not when something has ended */

static int64_t
load_work_start(void)
{
    double   n;
    int64_t  due;

    if (load_conf.workload == load_rate) {

        while (load_started < load_total) {

            n = load_started * load_conf.processes + load_conf.index;
            due = load_result.begin + n / load_conf.rate * LOAD_SECOND;

            if (due > load_now()) {
                return due;
            }

            load_work_open(due);
        }

        return INT64_MAX;
    }

    while (load_active < load_concurrent && load_work_more()) {
        load_work_open(load_now());
    }

    return INT64_MAX;
}


static int
load_work_more(void)
{
    if (load_result.failed >= LOAD_HOPELESS
        && load_result.failed > load_result.count)
    {
        return 0;
    }

    return load_until ? load_now() < load_until : load_started < load_total;
}


static void
load_work_open(int64_t scheduled)
{
    uint64_t  n;

    n = load_started++;
    load_active++;

    load_session_open(n * load_conf.processes + load_conf.index, scheduled,
                      load_conf.workload == load_storm);
}


/* a session has done what is wanted of it; -1: it is gone */

int
load_work_ready(load_session_t *s)
{
    if (load_conf.workload >= load_messages && s->state != load_probe) {
        s->state = load_probe;
        return load_traffic_probe(s);
    }

    load_active--;

    load_result.count++;
    load_result.end = load_now();
    load_work_sample(load_result.end - s->start);

    if (!load_stay) {
        load_session_close(s);
        return -1;
    }

    load_session_ready(s);

    s->state = load_ready;
    s->slot = load_nsessions;
    load_sessions[load_nsessions++] = s;
    load_live++;

    return 0;
}


void
load_work_failed(load_session_t *s, const char *reason)
{
    int  i;

    load_bad = 1;
    load_result.failed++;
    load_result.end = load_now();

    if (s->slot == -1) {
        load_active--;

    } else {
        load_traffic_lost(s);
        load_sessions[s->slot] = NULL;
        load_live--;
    }

    for (i = 0; i < LOAD_REASONS; i++) {

        if (load_reasons[i].n == 0) {
            snprintf(load_reasons[i].text, sizeof(load_reasons[i].text),
                     "%s", reason);

            if (i == 0) {
                fprintf(stderr, "xmppload: %s\n", reason);
            }
        }

        if (i == LOAD_REASONS - 1
            || strncmp(load_reasons[i].text, reason,
                       sizeof(load_reasons[i].text) - 1) == 0)
        {
            load_reasons[i].n++;
            return;
        }
    }
}


static void
load_work_reasons(void)
{
    int  i;

    for (i = 0; i < LOAD_REASONS && load_reasons[i].n; i++) {
        fprintf(stderr, "xmppload: %llu x %s\n",
                (unsigned long long) load_reasons[i].n,
                i < LOAD_REASONS - 1 ? load_reasons[i].text : "other reasons");
    }
}


void
load_work_sample(int64_t ns)
{
    if (load_result.nsamples == load_max_samples) {

        load_max_samples = load_max_samples ? 2 * load_max_samples : 4096;
        load_samples = realloc(load_samples,
                               load_max_samples * sizeof(double));

        if (load_samples == NULL) {
            load_fatal("no memory for samples");
        }
    }

    load_samples[load_result.nsamples++] = ns / 1e6;
}


/*
 * Events, until one came or the time has, or a little earlier if it is far
 * away; epoll_wait() alone would be up to a millisecond late.  Non-zero: there
 * are orders.
 */

int
load_work_poll(int64_t until)
{
    int                 i, n, timeout, orders;
    int64_t             left;
    uint64_t            expired;
    struct itimerspec   ts;
    struct epoll_event  events[LOAD_EVENTS];

    timeout = -1;

    if (until != INT64_MAX) {

        left = until - load_now();

        if (left <= 0) {
            timeout = 0;

        } else if (left > LOAD_NEAR) {
            left = (left - LOAD_NEAR / 2) / (LOAD_SECOND / 1000);
            timeout = left < INT_MAX ? left : INT_MAX;

        } else {
            memset(&ts, 0, sizeof(ts));

            ts.it_value.tv_sec = until / LOAD_SECOND;
            ts.it_value.tv_nsec = until % LOAD_SECOND;

            if (timerfd_settime(load_timer, TFD_TIMER_ABSTIME, &ts, NULL)
                == -1)
            {
                load_fatal("timerfd_settime: %s", strerror(errno));
            }
        }
    }

    n = epoll_wait(load_poll_fd, events, LOAD_EVENTS, timeout);

    if (n == -1 && errno != EINTR) {
        load_fatal("epoll_wait: %s", strerror(errno));
    }

    orders = 0;

    for (i = 0; i < n; i++) {

        if (events[i].data.ptr == &load_control) {
            orders = 1;

        } else if (events[i].data.ptr == &load_timer) {
            (void) !read(load_timer, &expired, sizeof(expired));

        } else {
            load_session_event(events[i].data.ptr, events[i].events);
        }
    }

    return orders;
}


/*
 * The first process reads what the fronts have used of the processor when a
 * window begins, and when it ends; everyone waits for the others here.
 */

void
load_work_mark(void)
{
    load_say_e    say;
    load_order_t  order;

    load_own_cpu = load_work_cpu() - load_own_cpu;

    say = load_say_mark;

    if (load_write_all(load_control, &say, sizeof(say)) == -1
        || load_read_all(load_control, &order, sizeof(order)) == -1
        || order.cmd != load_cmd_go)
    {
        exit(1);
    }

    load_result.own_cpu = load_own_cpu;
    load_own_cpu = load_work_cpu();
}


static double
load_work_cpu(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
load_work_report(void)
{
    load_say_e  say;

    say = load_say_result;

    if (load_write_all(load_control, &say, sizeof(say)) == -1
        || load_write_all(load_control, &load_result, sizeof(load_result))
           == -1
        || load_write_all(load_control, load_samples,
                          load_result.nsamples * sizeof(double)) == -1)
    {
        exit(1);
    }
}


/* a new window, of the sessions that there are */

static void
load_work_reset(void)
{
    load_result.count = 0;
    load_result.failed = 0;
    load_result.bytes = 0;
    load_result.nsamples = 0;
    load_result.begin = load_now();
    load_result.end = load_result.begin;
}


/* sessions that do nothing, until something is to be done with them */

static void
load_work_orders(void)
{
    long          i;
    load_order_t  order;

    if (load_work_watch(load_control, &load_control) == -1) {
        load_fatal("epoll: %s", strerror(errno));
    }

    load_work_reset();

    for ( ;; ) {

        if (!load_work_poll(INT64_MAX)) {
            continue;
        }

        if (load_read_all(load_control, &order, sizeof(order)) == -1
            || order.cmd != load_cmd_traffic)
        {
            break;
        }

        load_traffic_idle(order.seconds, order.size);
        load_work_report();
        load_work_reset();
    }

    for (i = 0; i < load_nsessions; i++) {
        if (load_sessions[i]) {
            load_session_close(load_sessions[i]);
        }
    }
}
