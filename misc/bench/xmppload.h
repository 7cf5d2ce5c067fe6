
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _XMPPLOAD_H_INCLUDED_
#define _XMPPLOAD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <openssl/ssl.h>


#define LOAD_LIST       256
#define LOAD_FILES      1048576
#define LOAD_OWN_FILES  32           /* that are no sessions */

#define LOAD_SECOND     1000000000LL


typedef enum {
    load_handshake = 0,
    load_login,
    load_rate,
    load_storm,
    load_idle,
    load_messages,
    load_bulk,
    load_echo
} load_workload_e;


typedef enum {
    load_tls_none = 0,
    load_tls_starttls,
    load_tls_direct
} load_tls_e;


typedef struct {
    load_workload_e      workload;
    const char          *name;
    load_tls_e           tls;

    int                  nconnects;
    struct sockaddr_in   connects[LOAD_LIST];
    int                  nsources;
    struct sockaddr_in   sources[LOAD_LIST];

    const char          *domain;
    const char          *user;
    const char          *password;
    const char          *ca;
    long                 users;

    int                  tls13;
    int                  resume;
    int                  pipeline;

    int                  cpu;
    int                  npids;
    int                  pids[LOAD_LIST];
    int                  ngroup;
    int                  group[LOAD_LIST];

    long                 processes;
    long                 files;      /* limit of a process */

    long                 concurrency;
    long                 connections;
    long                 count;
    long                 size;
    long                 window;
    double               seconds;
    double               rate;
    double               timeout;

    /* of this process */

    long                 index;
} load_conf_t;


/* what a process of the generator has to say of a window */

typedef struct {
    uint64_t   count;
    uint64_t   failed;
    uint64_t   resumed;
    uint64_t   bytes;
    uint64_t   nsamples;
    int64_t    begin;
    int64_t    end;
    double     own_cpu;
    char       version[16];
    char       cipher[48];
} load_result_t;


typedef enum {
    load_cmd_quit = 0,
    load_cmd_go,
    load_cmd_traffic
} load_cmd_e;


typedef struct {
    load_cmd_e  cmd;
    double      seconds;
    long        size;
} load_order_t;


typedef enum {
    load_say_mark = 0,
    load_say_result
} load_say_e;


typedef enum {
    load_connecting = 0,
    load_plain_header,
    load_plain_features,
    load_proceed,
    load_tls,
    load_header,
    load_features,
    load_success,
    load_again_header,
    load_again_features,
    load_bound,
    load_probe,
    load_ready
} load_state_e;


typedef struct load_session_s  load_session_t;

struct load_session_s {
    load_session_t      *prev;       /* while the time of the login runs */
    load_session_t      *next;

    SSL                 *ssl;

    char                *in;         /* not complete, before the login */
    size_t               in_len;

    char                *out;        /* could not be sent */
    size_t               out_len;
    size_t               out_sent;
    size_t               out_size;

    char                *jid;
    char                *text;       /* messages, as many as the window has */
    size_t               text_len;   /* of one */

    int64_t              start;
    int64_t              deadline;

    uint64_t             number;
    uint64_t             received;   /* messages */
    long                 slot;
    long                 flying;     /* messages that were sent */
    long                 came;       /* came back */
    long                 owed;       /* are to be sent */
    int                  fd;
    uint8_t              state;
    uint8_t              matched;    /* bytes of an end tag */
    uint8_t              blocked;
};


/* xmppload.c */

void load_fatal(const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));
int64_t load_now(void);
int load_write_all(int fd, const void *data, size_t len);
int load_read_all(int fd, void *data, size_t len);

extern load_conf_t  load_conf;


/* xmppload_options.c */

void load_options(int argc, char **argv);


/* xmppload_cpu.c */

int load_cpu_read(const int *pids, int n, double *seconds);


/* xmppload_tls.c */

void load_tls_init(void);
int load_tls_start(load_session_t *s);
int load_tls_input(load_session_t *s);
int load_tls_send(load_session_t *s, const char *p, size_t len);
void load_tls_close(load_session_t *s);


/* xmppload_session.c */

void load_session_init(int epoll);
load_session_t *load_session_open(uint64_t number, int64_t start, int lazy);
void load_session_event(load_session_t *s, uint32_t events);
int load_session_send(load_session_t *s, const char *p, size_t len);
int load_session_data(load_session_t *s, const char *p, size_t len);
int load_session_flush(load_session_t *s);
int load_session_fail(load_session_t *s, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
void load_session_close(load_session_t *s);
void load_session_ready(load_session_t *s);
void load_session_expire(int64_t now);
int64_t load_session_deadline(void);
void load_out_add(const char *p, size_t len);

extern const char  *load_in;
extern const char  *load_in_end;


/* xmppload_login.c */

void load_login_init(void);
int load_login_begin(load_session_t *s);
int load_login_stream(load_session_t *s);
int load_login_data(load_session_t *s, const char *p, size_t len);


/* xmppload_traffic.c */

int load_traffic_probe(load_session_t *s);
int load_traffic_data(load_session_t *s, const char *p, size_t len);
int load_traffic_turn(load_session_t *s);
void load_traffic_lost(load_session_t *s);
void load_traffic(void);
void load_traffic_idle(double seconds, long size);


/* xmppload_work.c */

void load_work(int control);
int load_work_ready(load_session_t *s);
void load_work_failed(load_session_t *s, const char *reason);
void load_work_sample(int64_t ns);
void load_work_mark(void);
int load_work_poll(int64_t until);

extern load_result_t    load_result;
extern load_session_t **load_sessions;
extern long             load_nsessions;
extern long             load_live;


#endif /* _XMPPLOAD_H_INCLUDED_ */
