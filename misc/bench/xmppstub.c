
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


/*
 * A server that lets everyone in and sends back what comes after the login,
 * and an auth service that says yes to everyone: what a front would have
 * behind it, at as little cost as can be.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "xmppstub.h"


#define STUB_PROCESSES    64
#define STUB_FILES        1048576


static void stub_usage(void)
    __attribute__ ((noreturn));
static const char *stub_option(const char *arg, const char *name);
static void stub_address(struct sockaddr_in *list, int *n, const char *text);
static int stub_number(const char *text, int max);
static void stub_files(void);
static int stub_socket(struct sockaddr_in *addr, int reuseport);
static void stub_processes(int n);
static void stub_listen(int reuseport);
static void stub_ready(void);


int                        stub_nbackends;
struct sockaddr_in         stub_backends[STUB_ADDRESSES];

static int                 stub_nlisten;
static int                 stub_nhttp;
static struct sockaddr_in  stub_listen_addrs[STUB_ADDRESSES];
static struct sockaddr_in  stub_http_addrs[STUB_ADDRESSES];


int
main(int argc, char **argv)
{
    int          i, processes, cpu;
    cpu_set_t    set;
    const char  *v;

    processes = 1;
    cpu = -1;

    for (i = 1; i < argc; i++) {

        if ((v = stub_option(argv[i], "--listen="))) {
            stub_address(stub_listen_addrs, &stub_nlisten, v);

        } else if ((v = stub_option(argv[i], "--http="))) {
            stub_address(stub_http_addrs, &stub_nhttp, v);

        } else if ((v = stub_option(argv[i], "--backend="))) {
            stub_address(stub_backends, &stub_nbackends, v);

        } else if ((v = stub_option(argv[i], "--processes="))) {
            processes = stub_number(v, STUB_PROCESSES);

            if (processes == 0) {
                stub_usage();
            }

        } else if ((v = stub_option(argv[i], "--cpu="))) {
            cpu = stub_number(v, CPU_SETSIZE - 1);

        } else {
            stub_usage();
        }
    }

    if (stub_nlisten + stub_nhttp == 0
        || (stub_nhttp != 0) != (stub_nbackends != 0))
    {
        stub_usage();
    }

    signal(SIGPIPE, SIG_IGN);

    if (cpu != -1) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);

        if (sched_setaffinity(0, sizeof(set), &set) == -1) {
            stub_fatal("processor %d: %s", cpu, strerror(errno));
        }
    }

    stub_files();

    if (processes > 1) {
        stub_processes(processes);
    }

    stub_listen(0);
    stub_ready();
    stub_work();

    return 0;
}


static void
stub_usage(void)
{
    fputs("usage: xmppstub --listen=ADDRESS:PORT ...\n"
          "                [--http=ADDRESS:PORT --backend=ADDRESS:PORT ...]\n"
          "                [--processes=N] [--cpu=N]\n", stderr);
    exit(2);
}


void
stub_fatal(const char *fmt, ...)
{
    va_list  args;

    fputs("xmppstub: ", stderr);

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputs("\n", stderr);

    exit(1);
}


static const char *
stub_option(const char *arg, const char *name)
{
    size_t  len;

    len = strlen(name);

    return strncmp(arg, name, len) == 0 ? arg + len : NULL;
}


static void
stub_address(struct sockaddr_in *list, int *n, const char *text)
{
    char                 host[INET_ADDRSTRLEN];
    size_t               len;
    const char          *colon;
    struct sockaddr_in  *addr;

    colon = strrchr(text, ':');

    if (colon == NULL || *n == STUB_ADDRESSES) {
        stub_usage();
    }

    len = colon - text;

    if (len >= sizeof(host)) {
        stub_usage();
    }

    memcpy(host, text, len);
    host[len] = '\0';

    addr = &list[(*n)++];
    addr->sin_family = AF_INET;
    addr->sin_port = htons(stub_number(colon + 1, 65535));

    if (addr->sin_port == 0 || inet_pton(AF_INET, host, &addr->sin_addr) != 1)
    {
        stub_usage();
    }
}


static int
stub_number(const char *text, int max)
{
    long   n;
    char  *end;

    errno = 0;
    n = strtol(text, &end, 10);

    if (end == text || *end || errno || n < 0 || n > max) {
        stub_usage();
    }

    return n;
}


static void
stub_files(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
        stub_fatal("getrlimit(): %s", strerror(errno));
    }

    /* in containers the hard limit may be a thousand million */

    limit.rlim_cur = limit.rlim_max < STUB_FILES ? limit.rlim_max
                                                 : STUB_FILES;

    if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
        stub_fatal("setrlimit(): %s", strerror(errno));
    }
}


static int
stub_socket(struct sockaddr_in *addr, int reuseport)
{
    int  fd, on;

    on = 1;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    /* what is accepted inherits TCP_NODELAY */

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
                                    sizeof(on)) == -1)
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1
        || bind(fd, (struct sockaddr *) addr, sizeof(*addr)) == -1
        || listen(fd, 65535) == -1)
    {
        stub_fatal("listen on %s:%d: %s", inet_ntoa(addr->sin_addr),
                   ntohs(addr->sin_port), strerror(errno));
    }

    return fd;
}


/* returns in each of the processes but the first one, which only waits */

static void
stub_processes(int n)
{
    int    i, status, probe[2 * STUB_ADDRESSES], ready[2];
    char   byte;
    pid_t  pid, parent;

    /* another program's SO_REUSEPORT would not stop us from sharing a port */

    for (i = 0; i < stub_nlisten; i++) {
        probe[i] = stub_socket(&stub_listen_addrs[i], 0);
    }

    for (i = 0; i < stub_nhttp; i++) {
        probe[stub_nlisten + i] = stub_socket(&stub_http_addrs[i], 0);
    }

    for (i = 0; i < stub_nlisten + stub_nhttp; i++) {
        close(probe[i]);
    }

    if (pipe(ready) == -1) {
        stub_fatal("pipe(): %s", strerror(errno));
    }

    parent = getpid();

    for (i = 0; i < n; i++) {

        pid = fork();

        if (pid == -1) {
            stub_fatal("fork(): %s", strerror(errno));
        }

        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);

            if (getppid() != parent) {
                _exit(1);
            }

            stub_listen(1);

            if (write(ready[1], "", 1) != 1) {
                stub_fatal("write(): %s", strerror(errno));
            }

            close(ready[0]);
            close(ready[1]);

            stub_work();
        }
    }

    close(ready[1]);

    for (i = 0; i < n; i++) {
        if (read(ready[0], &byte, 1) != 1) {
            stub_fatal("a process did not start");
        }
    }

    stub_ready();

    /* without one of them, its share of the connections would get nowhere */

    wait(&status);
    stub_fatal("a process has ended");
}


static void
stub_listen(int reuseport)
{
    int           i;
    stub_conn_t  *c;

    stub_conn_init();

    for (i = 0; i < stub_nlisten + stub_nhttp; i++) {

        if (i < stub_nlisten) {
            c = stub_conn(stub_socket(&stub_listen_addrs[i], reuseport),
                          stub_listen_xmpp);
        } else {
            c = stub_conn(stub_socket(&stub_http_addrs[i - stub_nlisten],
                                      reuseport),
                          stub_listen_http);
        }

        if (c == NULL) {
            stub_fatal("epoll_ctl(): %s", strerror(errno));
        }
    }
}


static void
stub_ready(void)
{
    puts("ready");

    if (fflush(stdout) == EOF) {
        stub_fatal("stdout: %s", strerror(errno));
    }
}
