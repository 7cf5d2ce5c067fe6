
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmppload.h"


#define LOAD_WARM  (LOAD_SECOND / 5) /* before the window */

#define LOAD_END   "</message>"


static void load_traffic_text(load_session_t *s, long size, long window);
static void load_traffic_begin(void);
static void load_traffic_run(int64_t until);
static void load_traffic_echo(void);
static void load_traffic_drain(int64_t until);
static void load_traffic_forget(void);
static void load_traffic_missing(void);


static int       load_running;       /* what comes back is sent again */
static uint64_t  load_done;
static uint64_t  load_bytes;
static long      load_flying;
static int64_t   load_sent;


/*
 * Everything that a session has under way at once, one message behind the
 * other: messages are the same, so what is to be sent is always at its start.
 */

static void
load_traffic_text(load_session_t *s, long size, long window)
{
    int    n;
    char  *p;
    long   i;

    n = asprintf(&p, "<message to='%s' type='chat' id='m'><body></body>"
                 "</message>", s->jid);

    if (n == -1) {
        load_fatal("no memory for messages");
    }

    if (n >= size) {
        load_fatal("a message to \"%s\" has %d bytes at least", s->jid, n + 1);
    }

    free(s->text);

    s->text = malloc(size * window);
    if (s->text == NULL) {
        load_fatal("no memory for messages");
    }

    memset(s->text, 'x', size);
    n -= sizeof("</body>" LOAD_END) - 1;
    memcpy(s->text, p, n);
    memcpy(s->text + size - (sizeof("</body>" LOAD_END) - 1),
           "</body>" LOAD_END, sizeof("</body>" LOAD_END) - 1);

    for (i = 1; i < window; i++) {
        memcpy(s->text + i * size, s->text, size);
    }

    s->text_len = size;

    free(p);
}


/* one message, to see that messages come back and are no errors */

int
load_traffic_probe(load_session_t *s)
{
    load_traffic_text(s, load_conf.size, load_conf.window);

    return load_session_send(s, s->text, s->text_len);
}


/* counts ends of messages; where they are cut does not matter */

int
load_traffic_data(load_session_t *s, const char *p, size_t len)
{
    size_t       m;
    const char  *last;

    static const char  end[] = LOAD_END;

    m = s->matched;
    last = p + len;

    load_bytes += len;

    while (p < last) {

        if (m == 0) {

            p = memchr(p, '<', last - p);
            if (p == NULL) {
                break;
            }

            p++;
            m = 1;
            continue;
        }

        /* a "<" can only be the first byte */

        if (*p != end[m]) {
            m = 0;
            continue;
        }

        p++;
        m++;

        if (m == sizeof(end) - 1) {
            m = 0;
            s->came++;
        }
    }

    s->matched = m;

    return 0;
}


/* all that was read is counted */

int
load_traffic_turn(load_session_t *s)
{
    long  n;

    n = s->came;

    if (n) {
        s->came = 0;

        if (n > s->flying) {
            return load_session_fail(s, "more messages than were sent");
        }

        s->owed += n;
        s->flying -= n;
        load_flying -= n;

        s->received += n;
        load_done += n;

        if (load_conf.workload == load_echo) {
            load_work_sample(load_now() - load_sent);

            if (load_result.nsamples == (uint64_t) load_conf.count) {
                load_running = 0;
            }
        }
    }

    if (!load_running || s->owed == 0 || s->blocked) {
        return 0;
    }

    n = s->owed;
    s->owed = 0;

    s->flying += n;
    load_flying += n;

    if (load_conf.workload == load_echo) {
        load_sent = load_now();
    }

    return load_session_send(s, s->text, n * s->text_len);
}


void
load_traffic_lost(load_session_t *s)
{
    load_flying -= s->flying;
}


void
load_traffic(void)
{
    int64_t   now;
    uint64_t  done, bytes;

    if (load_conf.workload == load_echo) {
        load_traffic_echo();
        return;
    }

    load_traffic_begin();
    load_traffic_run(load_now() + LOAD_WARM);
    load_traffic_forget();

    load_work_mark();

    done = load_done;
    bytes = load_bytes;
    now = load_now();

    load_result.begin = now;

    load_traffic_run(now + load_conf.seconds * LOAD_SECOND);

    load_result.end = load_now();
    load_result.count = load_done - done;
    load_result.bytes = load_bytes - bytes;
    load_result.nsamples = 0;

    load_work_mark();

    /* a slow server may not have come to each session in so short a time */

    load_running = 0;
    load_traffic_drain(load_now() + load_conf.timeout * LOAD_SECOND);
    load_traffic_missing();
}


static void
load_traffic_begin(void)
{
    long             i;
    load_session_t  *s;

    load_running = 1;

    for (i = 0; i < load_nsessions; i++) {

        s = load_sessions[i];

        if (s) {
            s->owed = load_conf.window;
            load_traffic_turn(s);
        }
    }
}


static void
load_traffic_run(int64_t until)
{
    while (load_running && load_live && load_now() < until) {
        load_work_poll(until);
    }
}


/* one message at a time: the window begins and ends with none under way */

static void
load_traffic_echo(void)
{
    uint64_t  bytes;

    load_result.nsamples = 0;

    load_traffic_begin();
    load_traffic_run(load_now() + LOAD_WARM);

    load_running = 0;
    load_traffic_drain(load_now() + load_conf.timeout * LOAD_SECOND);

    load_work_mark();

    bytes = load_bytes;

    load_result.nsamples = 0;
    load_result.begin = load_now();

    load_traffic_begin();

    while (load_running && load_live) {

        if (load_now() > load_sent + load_conf.timeout * LOAD_SECOND) {
            break;
        }

        load_work_poll(load_sent + load_conf.timeout * LOAD_SECOND);
    }

    load_result.end = load_now();
    load_result.count = load_result.nsamples;
    load_result.bytes = load_bytes - bytes;

    load_work_mark();

    load_running = 0;
    load_traffic_missing();
}


static void
load_traffic_drain(int64_t until)
{
    while (load_flying && load_now() < until) {
        load_work_poll(until);
    }
}


static void
load_traffic_forget(void)
{
    long  i;

    for (i = 0; i < load_nsessions; i++) {
        if (load_sessions[i]) {
            load_sessions[i]->received = 0;
        }
    }
}


/* a session that got nothing back is no measured session */

static void
load_traffic_missing(void)
{
    long             i;
    load_session_t  *s;

    for (i = 0; i < load_nsessions; i++) {

        s = load_sessions[i];

        if (s == NULL) {
            continue;
        }

        if (s->received == 0) {
            load_session_fail(s, "no message came back");

        } else if (s->flying) {
            load_session_fail(s, "a message did not come back");
        }
    }
}


/*
 * Each session in turn sends a message, all of them once a second, but none
 * has more than one under way.  It goes on until all have had their turn, and
 * all that was sent has come back.
 */

void
load_traffic_idle(double seconds, long size)
{
    long             turn;
    int64_t          now, due, until;
    uint64_t         done, bytes;
    load_session_t  *s;

    load_work_mark();

    done = load_done;
    bytes = load_bytes;

    /* sessions that were lost while they were idle have failed, too */

    load_result.begin = load_now();

    until = load_result.begin + seconds * LOAD_SECOND;

    load_traffic_forget();

    for (turn = 0; load_live; turn++) {

        due = load_result.begin
              + (double) turn / load_nsessions * LOAD_SECOND;

        if (due >= until && turn >= load_nsessions) {
            break;
        }

        for ( ;; ) {
            now = load_now();

            load_work_poll(due > now ? due : now);

            if (due <= now) {
                break;
            }
        }

        s = load_sessions[turn % load_nsessions];

        if (s == NULL || s->flying) {
            continue;
        }

        if ((long) s->text_len != size) {
            load_traffic_text(s, size, 1);
        }

        s->flying = 1;
        load_flying++;

        load_session_send(s, s->text, size);
    }

    load_traffic_drain(load_now() + load_conf.timeout * LOAD_SECOND);

    load_result.end = load_now();
    load_result.count = load_done - done;
    load_result.bytes = load_bytes - bytes;

    load_traffic_missing();
    load_work_mark();
}
