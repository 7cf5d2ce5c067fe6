
#include "loop.h"


int  loop = -1;


void
die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}


void *
allocate(void *old, size_t size)
{
    void  *p = realloc(old, size ? size : 1);

    if (p == NULL) {
        die("realloc()");
    }

    return p;
}


double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


void
unblock(int fd)
{
    int  on = 1;

    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == -1) {
        die("fcntl()");
    }

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}


void
watch(int fd, int op, uint32_t events, void *data)
{
    struct epoll_event  ev;

    memset(&ev, 0, sizeof(ev));
    ev.events = events;
    ev.data.ptr = data;

    if (epoll_ctl(loop, op, fd, &ev) == -1) {
        die("epoll_ctl()");
    }
}


void
begin(void)
{
    struct rlimit  limit;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
        die("getrlimit()");
    }

    limit.rlim_cur = limit.rlim_max;

    if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
        die("setrlimit()");
    }

    loop = epoll_create1(EPOLL_CLOEXEC);

    if (loop == -1) {
        die("epoll_create1()");
    }

    if (fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK) == -1) {
        die("fcntl()");
    }

    watch(0, EPOLL_CTL_ADD, EPOLLIN, NULL);
}


void
commands(void (*handler)(char *line))
{
    char            *end;
    ssize_t          n;

    static char      line[256];
    static size_t    len;

    n = read(0, line + len, sizeof(line) - 1 - len);

    if (n == 0) {
        watch(0, EPOLL_CTL_DEL, 0, NULL);
        return;
    }

    if (n == -1) {
        return;
    }

    len += n;
    line[len] = '\0';

    while ((end = strchr(line, '\n')) != NULL) {
        *end++ = '\0';
        handler(line);
        len -= end - line;
        memmove(line, end, len + 1);
    }

    if (len == sizeof(line) - 1) {
        len = 0;
    }
}
