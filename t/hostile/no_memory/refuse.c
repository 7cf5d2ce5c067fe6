/*
 * Preloaded into nginx: lets the N-th call of a kind fail, or all from the N-th
 * on.  Only calls of nginx itself count, not those of the libraries it uses.
 * The plan is in a file that the test writes to, shared by all processes.
 *
 * RECV_LATER and SEND_LATER are no failures: the call has to be made again when
 * epoll says so.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>


enum {
    NOTHING,
    MEMORY,
    RECV,
    SEND,
    RECV_LATER,
    SEND_LATER,
    CONNECT,
    SOCKET,
    EPOLL_CTL,
    SETSOCKOPT,
    SHUTDOWN
};


struct plan {
    volatile uint32_t  kind;
    volatile uint32_t  first;       /* the call that fails, from 1 */
    volatile uint32_t  last;
    volatile uint32_t  calls;       /* so far */
    volatile uint32_t  refused;
};


#define FDS  4096


static struct plan         *plan;
static uintptr_t            start, end;

static int                  epoll = -1;
static struct epoll_event   watched[FDS];


/* The first object is the program. */

static int
program(struct dl_phdr_info *info, size_t size, void *data)
{
    int        i;
    uintptr_t  from, to;

    for (i = 0; i < info->dlpi_phnum; i++) {

        if (info->dlpi_phdr[i].p_type != PT_LOAD) {
            continue;
        }

        from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        to = from + info->dlpi_phdr[i].p_memsz;

        if (start == 0 || from < start) {
            start = from;
        }

        if (to > end) {
            end = to;
        }
    }

    return 1;
}


__attribute__((constructor))
static void
prepare(void)
{
    int          fd;
    void        *p;
    const char  *name;

    name = getenv("REFUSE_PLAN");

    if (name == NULL) {
        return;
    }

    fd = open(name, O_RDWR);

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(struct plan), PROT_READ|PROT_WRITE, MAP_SHARED, fd,
             0);
    close(fd);

    if (p == MAP_FAILED) {
        return;
    }

    dl_iterate_phdr(program, NULL);

    plan = p;
}


static int
refused(uint32_t kind, void *caller)
{
    uint32_t  n;

    if (plan == NULL || plan->kind != kind
        || (uintptr_t) caller < start || (uintptr_t) caller >= end)
    {
        return 0;
    }

    n = ++plan->calls;

    if (n < plan->first || n > plan->last) {
        return 0;
    }

    plan->refused++;

    return 1;
}


#define REAL(name)                                                            \
    static __typeof__(&name)  real;                                           \
                                                                              \
    if (real == NULL) {                                                       \
        real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name);                   \
    }


/* nginx waits for an edge, and asking anew makes one. */

static int
later(uint32_t kind, int fd, void *caller)
{
    static __typeof__(&epoll_ctl)  real;

    if (!refused(kind, caller)) {
        return 0;
    }

    if (real == NULL) {
        real = (__typeof__(&epoll_ctl)) dlsym(RTLD_NEXT, "epoll_ctl");
    }

    if (fd < FDS && real(epoll, EPOLL_CTL_MOD, fd, &watched[fd]) == 0) {
        errno = EAGAIN;
        return 1;
    }

    return 0;
}


#define REFUSE(kind, error)                                                   \
    if (refused(kind, __builtin_return_address(0))) {                         \
        errno = error;                                                        \
        return -1;                                                            \
    }


/* What fails so fails because the connection is gone. */

#define REFUSE_FOR_EVER(kind, error)                                          \
    if (refused(kind, __builtin_return_address(0))) {                         \
        end_of(fd);                                                           \
        errno = error;                                                        \
        return -1;                                                            \
    }


static void
end_of(int fd)
{
    static __typeof__(&shutdown)  real;

    if (real == NULL) {
        real = (__typeof__(&shutdown)) dlsym(RTLD_NEXT, "shutdown");
    }

    (void) real(fd, SHUT_RDWR);
}


void *
malloc(size_t size)
{
    REAL(malloc)

    if (refused(MEMORY, __builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }

    return real(size);
}


int
posix_memalign(void **p, size_t alignment, size_t size)
{
    REAL(posix_memalign)

    if (refused(MEMORY, __builtin_return_address(0))) {
        return ENOMEM;
    }

    return real(p, alignment, size);
}


ssize_t
recv(int fd, void *buf, size_t size, int flags)
{
    static int  peeked = -1;

    REAL(recv)
    REFUSE_FOR_EVER(RECV, ECONNRESET)

    /* what was looked at is there */

    if (fd != peeked
        && later(RECV_LATER, fd, __builtin_return_address(0)))
    {
        return -1;
    }

    peeked = (flags & MSG_PEEK) ? fd : -1;

    return real(fd, buf, size, flags);
}


ssize_t
send(int fd, const void *buf, size_t size, int flags)
{
    REAL(send)
    REFUSE_FOR_EVER(SEND, EPIPE)

    if (later(SEND_LATER, fd, __builtin_return_address(0))) {
        return -1;
    }

    return real(fd, buf, size, flags);
}


int
connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    REAL(connect)
    REFUSE(CONNECT, ENETUNREACH)

    return real(fd, addr, size);
}


int
socket(int domain, int type, int protocol)
{
    REAL(socket)
    REFUSE(SOCKET, ENOBUFS)

    return real(domain, type, protocol);
}


int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl)
    REFUSE(EPOLL_CTL, ENOMEM)

    if (event && fd < FDS) {
        epoll = epfd;
        watched[fd] = *event;
    }

    return real(epfd, op, fd, event);
}


int
setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    REAL(setsockopt)
    REFUSE(SETSOCKOPT, ENOBUFS)

    return real(fd, level, name, value, size);
}


int
shutdown(int fd, int how)
{
    REAL(shutdown)
    REFUSE_FOR_EVER(SHUTDOWN, ENOTCONN)

    return real(fd, how);
}
