
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


/*
 * Puts load on an XMPP server, or on what stands in front of one.  The first
 * process says what the others have to do, and reports; each of them drives
 * its share of the sessions in one thread.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "xmppload.h"


#define LOAD_HEAP  (1 << 30)


static void load_limits(void);
static void load_fork(void);
static void load_order(load_cmd_e cmd, double seconds, long size);
static void load_marks(double *cpu, double *backend);
static int load_window(const char *name);
static void load_result_print(const char *name, load_result_t *r,
    double *samples, double cpu, double backend);
static void load_latencies(double *samples, uint64_t n);
static int load_compare(const void *one, const void *two);
static int load_idle_orders(void);


load_conf_t    load_conf;

static pid_t   load_pids[LOAD_LIST];
static int     load_fds[LOAD_LIST];
static int     load_cpu_failed;


int
main(int argc, char **argv)
{
    int   i, rc, status;

    load_options(argc, argv);
    load_limits();

    signal(SIGPIPE, SIG_IGN);

    /* TLS takes and gives back its buffers all the time */

    mallopt(M_TRIM_THRESHOLD, LOAD_HEAP);
    mallopt(M_TOP_PAD, LOAD_HEAP / 64);

    load_login_init();

    if (load_conf.tls != load_tls_none) {
        load_tls_init();
    }

    load_fork();

    rc = load_window(load_conf.name);

    if (load_conf.workload == load_idle && load_idle_orders() != 0) {
        rc = 1;
    }

    for (i = 0; i < load_conf.processes; i++) {
        close(load_fds[i]);
    }

    for (i = 0; i < load_conf.processes; i++) {

        if (waitpid(load_pids[i], &status, 0) == -1 || status != 0) {
            rc = 1;
        }
    }

    return rc;
}


static void
load_limits(void)
{
    long           sessions;
    cpu_set_t      set;
    struct rlimit  limit;

    if (load_conf.cpu != -1) {
        CPU_ZERO(&set);
        CPU_SET(load_conf.cpu, &set);

        if (sched_setaffinity(0, sizeof(set), &set) == -1) {
            load_fatal("processor %d: %s", load_conf.cpu, strerror(errno));
        }
    }

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
        load_fatal("getrlimit: %s", strerror(errno));
    }

    /* in containers the hard limit may be a thousand million */

    limit.rlim_cur = limit.rlim_max < LOAD_FILES ? limit.rlim_max
                                                 : LOAD_FILES;

    if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
        load_fatal("setrlimit: %s", strerror(errno));
    }

    load_conf.files = limit.rlim_cur;

    switch (load_conf.workload) {

    case load_storm:
    case load_idle:
        sessions = load_conf.count;
        break;

    case load_messages:
    case load_bulk:
        sessions = load_conf.connections;
        break;

    default:
        sessions = load_conf.concurrency;
    }

    if (sessions / load_conf.processes
        > load_conf.files - LOAD_OWN_FILES - load_conf.processes)
    {
        load_fatal("%ld sessions are too many for %ld process(es) that may "
                   "have %ld files each, see \"ulimit -Hn\" and --processes",
                   sessions, load_conf.processes, load_conf.files);
    }
}


static void
load_fork(void)
{
    int    i, pair[2];
    pid_t  parent;

    parent = getpid();

    for (i = 0; i < load_conf.processes; i++) {

        if (socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, pair) == -1) {
            load_fatal("socketpair: %s", strerror(errno));
        }

        load_fds[i] = pair[0];
        load_pids[i] = fork();

        if (load_pids[i] == -1) {
            load_fatal("fork: %s", strerror(errno));
        }

        if (load_pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);

            if (getppid() != parent) {
                _exit(1);
            }

            /* the others have to see that the first process is gone */

            for ( /* void */ ; i >= 0; i--) {
                close(load_fds[i]);
                load_conf.index++;
            }

            load_conf.index--;

            load_work(pair[1]);
        }

        close(pair[1]);
    }
}


static void
load_order(load_cmd_e cmd, double seconds, long size)
{
    int           i;
    load_order_t  order;

    memset(&order, 0, sizeof(order));

    order.cmd = cmd;
    order.seconds = seconds;
    order.size = size;

    for (i = 0; i < load_conf.processes; i++) {
        if (load_write_all(load_fds[i], &order, sizeof(order)) == -1) {
            load_fatal("a process has ended");
        }
    }
}


/* all processes are at the same mark: they go on together */

static void
load_marks(double *cpu, double *backend)
{
    int         i;
    load_say_e  say;

    for (i = 0; i < load_conf.processes; i++) {
        if (load_read_all(load_fds[i], &say, sizeof(say)) == -1
            || say != load_say_mark)
        {
            load_fatal("a process has ended");
        }
    }

    if (load_cpu_read(load_conf.pids, load_conf.npids, cpu) == -1
        || load_cpu_read(load_conf.group, load_conf.ngroup, backend) == -1)
    {
        load_cpu_failed = 1;
    }

    load_order(load_cmd_go, 0, 0);
}


static int
load_window(const char *name)
{
    int             i;
    double          cpu[2], backend[2], *samples;
    load_say_e      say;
    load_result_t   all, r;

    load_marks(&cpu[0], &backend[0]);
    load_marks(&cpu[1], &backend[1]);

    memset(&all, 0, sizeof(all));
    samples = NULL;

    for (i = 0; i < load_conf.processes; i++) {

        if (load_read_all(load_fds[i], &say, sizeof(say)) == -1
            || say != load_say_result
            || load_read_all(load_fds[i], &r, sizeof(r)) == -1)
        {
            load_fatal("a process has ended");
        }

        if (i == 0 || r.begin < all.begin) {
            all.begin = r.begin;
        }

        if (r.end > all.end) {
            all.end = r.end;
        }

        if (all.version[0] == '\0') {
            memcpy(all.version, r.version, sizeof(r.version));
            memcpy(all.cipher, r.cipher, sizeof(r.cipher));
        }

        all.count += r.count;
        all.failed += r.failed;
        all.resumed += r.resumed;
        all.bytes += r.bytes;
        all.own_cpu += r.own_cpu;

        if (r.nsamples == 0) {
            continue;
        }

        samples = realloc(samples,
                          (all.nsamples + r.nsamples) * sizeof(double));

        if (samples == NULL
            || load_read_all(load_fds[i], samples + all.nsamples,
                             r.nsamples * sizeof(double)) == -1)
        {
            load_fatal("a process has ended");
        }

        all.nsamples += r.nsamples;
    }

    load_result_print(name, &all, samples, cpu[1] - cpu[0],
                      backend[1] - backend[0]);
    free(samples);

    return all.failed || load_cpu_failed;
}


static void
load_result_print(const char *name, load_result_t *r, double *samples,
    double cpu, double backend)
{
    double  seconds, mb;

    seconds = (r->end - r->begin) / 1e9;
    mb = r->bytes / 1e6;

    if (strcmp(name, "traffic") == 0) {
        printf("traffic messages=%llu ", (unsigned long long) r->count);

    } else if (load_conf.workload == load_idle) {
        printf("idle ");
    }

    printf("workload=%s count=%llu failed=%llu seconds=%.3f", name,
           (unsigned long long) r->count, (unsigned long long) r->failed,
           seconds);

    if (seconds > 0) {
        printf(" per_second=%.1f", r->count / seconds);
    }

    if (load_conf.npids && !load_cpu_failed) {
        printf(" cpu=%.4f", cpu);

        if (cpu > 0) {
            printf(" per_cpu_second=%.1f", r->count / cpu);
        }

        if (r->count) {
            printf(" cpu_ms=%.5f", cpu * 1000 / r->count);
        }
    }

    if (load_conf.ngroup && !load_cpu_failed) {
        printf(" backend_cpu=%.4f", backend);
    }

    printf(" own_cpu=%.4f", r->own_cpu);

    if (r->bytes) {
        printf(" mb=%.3f", mb);

        if (seconds > 0) {
            printf(" mb_per_second=%.3f", mb / seconds);
        }

        if (load_conf.npids && !load_cpu_failed && cpu > 0) {
            printf(" mb_per_cpu_second=%.3f", mb / cpu);
        }
    }

    if (r->nsamples) {
        load_latencies(samples, r->nsamples);
    }

    if (load_conf.resume) {
        printf(" resumed=%llu", (unsigned long long) r->resumed);
    }

    if (r->version[0]) {
        printf(" tls=%s cipher=%s", r->version, r->cipher);
    }

    printf("\n");

    if (fflush(stdout) == EOF) {
        load_fatal("stdout: %s", strerror(errno));
    }
}


static void
load_latencies(double *samples, uint64_t n)
{
    qsort(samples, n, sizeof(double), load_compare);

    /* the smallest sample that is not exceeded by so many of them */

#define load_rank(q)  samples[(n * (q) + 99) / 100 - 1]

    printf(" min=%.4f p50=%.4f p90=%.4f p99=%.4f max=%.4f", samples[0],
           load_rank(50), load_rank(90), load_rank(99), samples[n - 1]);
}


static int
load_compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}


static int
load_idle_orders(void)
{
    int     rc;
    char    line[256];
    long    size;
    double  seconds;

    rc = 0;

    while (fgets(line, sizeof(line), stdin)) {

        if (strcmp(line, "quit\n") == 0) {
            break;
        }

        if (sscanf(line, "traffic %lf %ld", &seconds, &size) != 2
            || !(seconds > 0) || size <= 0)
        {
            line[strcspn(line, "\n")] = '\0';
            fprintf(stderr, "xmppload: what is \"%s\"?\n", line);
            rc = 1;
            continue;
        }

        load_order(load_cmd_traffic, seconds, size);

        if (load_window("traffic") != 0) {
            rc = 1;
        }
    }

    load_order(load_cmd_quit, 0, 0);

    return rc;
}


void
load_fatal(const char *fmt, ...)
{
    va_list  args;

    fputs("xmppload: ", stderr);

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputs("\n", stderr);

    exit(1);
}


int64_t
load_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * LOAD_SECOND + ts.tv_nsec;
}


int
load_write_all(int fd, const void *data, size_t len)
{
    ssize_t  n;

    while (len) {

        n = send(fd, data, len, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return -1;
        }

        data = (const char *) data + n;
        len -= n;
    }

    return 0;
}


int
load_read_all(int fd, void *data, size_t len)
{
    ssize_t  n;

    while (len) {

        n = recv(fd, data, len, 0);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return -1;
        }

        data = (char *) data + n;
        len -= n;
    }

    return 0;
}
