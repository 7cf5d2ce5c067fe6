
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _XMPPSTUB_H_INCLUDED_
#define _XMPPSTUB_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include "xmppscan.h"


#define STUB_ADDRESSES    64

#define STUB_READ         262144
#define STUB_INPUT        16384      /* not complete, before the login */
#define STUB_NAME         256


typedef enum {
    stub_listen_xmpp = 0,
    stub_listen_http,
    stub_xmpp,
    stub_http
} stub_kind_e;


typedef enum {
    stub_header = 0,
    stub_auth,
    stub_bind,
    stub_echo
} stub_state_e;


/* what is known of a client until its login is done */

typedef struct stub_login_s  stub_login_t;

struct stub_login_s {
    stub_login_t  *next;
    char          *in;
    size_t         len;
    int            again;
    char           user[STUB_NAME];
    char           domain[STUB_NAME];
};


typedef struct stub_conn_s  stub_conn_t;

struct stub_conn_s {
    union {
        stub_login_t  *login;
        stub_conn_t   *next;
    } u;

    char              *out;
    uint32_t           out_len;
    uint32_t           out_sent;
    int                fd;
    uint8_t            kind;
    uint8_t            state;
    uint8_t            last;         /* is closed when all is sent */
};


/* an answer in the making, and what is behind it */

typedef struct {
    size_t       len;
    const char  *rest;
    size_t       rest_len;
    char         text[STUB_READ];
} stub_answer_t;


/* xmppstub.c */

void stub_fatal(const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));

extern int                 stub_nbackends;
extern struct sockaddr_in  stub_backends[STUB_ADDRESSES];


/* xmppstub_conn.c */

void stub_conn_init(void);
stub_conn_t *stub_conn(int fd, stub_kind_e kind);
void stub_work(void);
int stub_keep(stub_conn_t *c, const char *p, const char *last);
void stub_say(const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2)));
void stub_logged_in(stub_conn_t *c);

extern stub_answer_t  stub_answer;


/* xmppstub_login.c */

int stub_login(stub_conn_t *c, const char *p, const char *last);


/* xmppstub_http.c */

int stub_request(stub_conn_t *c, const char *p, const char *last);


#endif /* _XMPPSTUB_H_INCLUDED_ */
