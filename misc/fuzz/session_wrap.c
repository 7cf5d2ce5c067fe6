/*
 * What is called instead of nginx's own and of the C library (--wrap): sockets
 * are numbers that nobody else knows.
 */


#include "session.h"


ngx_int_t __wrap_ngx_event_connect_peer(ngx_peer_connection_t *pc);
ngx_int_t __wrap_ngx_open_listening_sockets(ngx_cycle_t *cycle);
void __wrap_ngx_configure_listening_sockets(ngx_cycle_t *cycle);
ngx_int_t __wrap_ngx_init_setproctitle(ngx_log_t *log);
ngx_pool_t *__wrap_ngx_create_pool(size_t size, ngx_log_t *log);
void __wrap_ngx_destroy_pool(ngx_pool_t *pool);
void *__wrap_ngx_alloc(size_t size, ngx_log_t *log);
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_close(int fd);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
    socklen_t len);

ngx_pool_t *__real_ngx_create_pool(size_t size, ngx_log_t *log);
void __real_ngx_destroy_pool(ngx_pool_t *pool);
void *__real_ngx_alloc(size_t size, ngx_log_t *log);
ssize_t __real_recv(int fd, void *buf, size_t size, int flags);
int __real_shutdown(int fd, int how);
int __real_close(int fd);
int __real_setsockopt(int fd, int level, int name, const void *value,
    socklen_t len);


ngx_int_t  fuzz_pools;


ngx_int_t
__wrap_ngx_event_connect_peer(ngx_peer_connection_t *pc)
{
    fuzz_role_e        role;
    ngx_connection_t  *c;

    role = run.in_proxy ? fuzz_backend : fuzz_auth;

    if (run.connect[role] == fuzz_connect_refused) {
        pc->connection = NULL;
        return NGX_DECLINED;
    }

    c = fuzz_peer_open(role, pc->log);

    c->log_error = pc->log_error;
    c->read->log = pc->log;
    c->write->log = pc->log;
    c->start_time = ngx_current_msec;

    pc->connection = c;

    (void) ngx_add_conn(c);

    fuzz_play_start(role);

    if (run.connect[role] == fuzz_connect_now) {
        c->write->ready = 1;
        return NGX_OK;
    }

    peers[role].connecting = 1;

    return NGX_AGAIN;
}


ngx_int_t
__wrap_ngx_open_listening_sockets(ngx_cycle_t *cycle)
{
    return NGX_OK;
}


void
__wrap_ngx_configure_listening_sockets(ngx_cycle_t *cycle)
{
    /* void */
}


ngx_int_t
__wrap_ngx_init_setproctitle(ngx_log_t *log)
{
    return NGX_OK;
}


ngx_pool_t *
__wrap_ngx_create_pool(size_t size, ngx_log_t *log)
{
    fuzz_pools++;

    return __real_ngx_create_pool(size, log);
}


void
__wrap_ngx_destroy_pool(ngx_pool_t *pool)
{
    fuzz_pools--;

    __real_ngx_destroy_pool(pool);
}


void *
__wrap_ngx_alloc(size_t size, ngx_log_t *log)
{
    if (run.lack.memory && --run.lack.memory == 0) {
        run.out_of_memory = 1;
        return NULL;
    }

    return __real_ngx_alloc(size, log);
}


ssize_t
__wrap_recv(int fd, void *buf, size_t size, int flags)
{
    if (fd <= FUZZ_FD) {
        return __real_recv(fd, buf, size, flags);
    }

    return fuzz_peer_take(fuzz_peer(fd), buf, size, flags & MSG_PEEK);
}


int
__wrap_shutdown(int fd, int how)
{
    fuzz_peer_t  *p;

    if (fd <= FUZZ_FD) {
        return __real_shutdown(fd, how);
    }

    p = fuzz_peer(fd);

    if (p->shut) {
        fuzz_fail("a second shutdown of the %s", fuzz_role_names[p - peers]);
    }

    if (p->reset) {
        errno = ENOTCONN;
        return -1;
    }

    p->shut = 1;

    /* one that plays along closes its side then */

    if (p != &peers[run.fuzzed] && !run.quiet_end) {
        p->eof = 1;
        p->steps = NULL;
        p->rnew = 1;
    }

    return 0;
}


int
__wrap_close(int fd)
{
    fuzz_peer_t  *p;

    if (fd <= FUZZ_FD) {
        return __real_close(fd);
    }

    p = fuzz_peer(fd);

    fuzz_check_closed(p);

    p->c = NULL;

    return 0;
}


int
__wrap_setsockopt(int fd, int level, int name, const void *value,
    socklen_t len)
{
    if (fd <= FUZZ_FD) {
        return __real_setsockopt(fd, level, name, value, len);
    }

    (void) fuzz_peer(fd);

    return 0;
}
