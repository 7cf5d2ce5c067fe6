/*
 * A session of the mail module without a network: real handlers and a real
 * configuration, the three connections are played by the target.
 *
 *     session_conf.c   the servers, and a cycle made of them
 *     session_peer.c   the connections: what nginx reads and writes
 *     session_wrap.c   and what else it does to them
 *     session_tls.c    a TLS that is only said to be there
 *     session_play.c   what the sides say that are not fuzzed
 *     session_log.c    what may be logged
 *     session_xml.c    what expat makes of a stream
 *     session_auth.c   what the auth server is asked, and who is let in
 *     session_check.c  what else has to be true of a session
 *     session.c        the input, and the loop of events
 */


#ifndef _FUZZ_SESSION_H_INCLUDED_
#define _FUZZ_SESSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


/* what clients and auth servers give for a password */

#define FUZZ_PASSWORD     "Xyzzy0Secret9"
#define FUZZ_PASSWORD2    "Plugh7Hidden3"

/* the descriptors of our connections are higher */

#define FUZZ_FD           1000000

#define FUZZ_RECORD       131072
#define FUZZ_CHUNKS       1024


typedef enum {
    fuzz_client = 0,
    fuzz_auth,
    fuzz_backend,
    fuzz_roles
} fuzz_role_e;


typedef enum {
    fuzz_connect_later = 0,
    fuzz_connect_now,
    fuzz_connect_refused,
    fuzz_connect_failed,
    fuzz_connect_never
} fuzz_connect_e;


typedef struct {
    const char        *wait;      /* for this in what nginx has sent */
    const char        *data;      /* NULL closes the connection */
    size_t             len;       /* 0 if it is a string */
} fuzz_step_t;


typedef struct {
    const u_char      *data;
    size_t             len;
} fuzz_chunk_t;


typedef struct {
    ngx_connection_t  *c;
    int                fd;

    fuzz_chunk_t       queue[FUZZ_CHUNKS];
    ngx_uint_t         head;
    ngx_uint_t         tail;

    /* all that nginx has read and written on this connection */

    u_char             in[FUZZ_RECORD];
    size_t             in_len;
    u_char             out[FUZZ_RECORD];
    size_t             out_len;

    size_t             in_base;      /* where this stream starts: */
    size_t             out_base;     /* TLS begins a new one */

    const fuzz_step_t *steps;
    size_t             mark;         /* out, till where it was waited for */

    size_t             partial;      /* bytes that are taken at a time */
    size_t             taken;        /* of the last write */

    unsigned           rnew:1;       /* an event that was not told yet */
    unsigned           wnew:1;
    unsigned           eof:1;
    unsigned           reset:1;
    unsigned           blocked:1;
    unsigned           broken:1;     /* writing fails */
    unsigned           pending:1;    /* a write was not taken as a whole */
    unsigned           shut:1;       /* by nginx, for writing */
    unsigned           connecting:1;
    unsigned           tls:1;
    unsigned           relayed:1;
} fuzz_peer_t;


/* the n-th of these from now; 0 is none */

typedef struct {
    ngx_uint_t         memory;       /* allocation that fails */
    ngx_uint_t         event;        /* event that can not be added */
    ngx_uint_t         connection;   /* write that fails, and all after it */
    ngx_uint_t         room;         /* write that is taken in part */
    ngx_uint_t         time;         /* round of events that is the last one */
    ngx_uint_t         reader;       /* the same, and the client does not read */
} fuzz_lack_t;


typedef struct {
    fuzz_role_e        fuzzed;
    ngx_uint_t         server;       /* index of the server */
    ngx_uint_t         auth;         /* scripts of those that play along */
    ngx_uint_t         backend;
    ngx_uint_t         client;
    ngx_uint_t         split;        /* bytes of a read of theirs, or 0 */
    ngx_uint_t         certificate;  /* of the client, 0 is none */
    unsigned           quiet_end:1;
    unsigned           out_of_memory:1;
    unsigned           slow_shutdown:1;

    fuzz_connect_e     connect[fuzz_roles];

    const u_char      *data;         /* the input */
    size_t             size;

    fuzz_lack_t        lack;

    ngx_uint_t         calls;        /* of nginx to read and to write */
    ngx_uint_t         events;

    /* what was seen, see session_check.c */

    ngx_uint_t         logins;       /* auth requests */
    size_t             login_in;     /* offsets of the client's records */
    size_t             relay_in;
    size_t             relay_out;
    size_t             relay_upstream_out;
    size_t             success_end;  /* of the upstream server's record */
    unsigned           relayed:1;
    unsigned           repeated:1;   /* the same auth request */
    unsigned           allowed:1;    /* by the auth server */
    unsigned           pass:1;
    unsigned           in_proxy:1;
    unsigned           handshaked:1;
    unsigned           foreign:1;    /* the stream to the client is that of
                                        the upstream server */
} fuzz_run_t;


typedef struct {
    const char        *name;
    const char        *conf;
    unsigned           tls:1;        /* from the first byte */
    unsigned           starttls:2;   /* 1 on, 2 only */
    unsigned           none:1;
    unsigned           s2s:1;        /* server streams may come */
    unsigned           proxy:1;      /* PROXY header for the upstream */
    unsigned           from_proxy:1; /* PROXY header of the client */
} fuzz_server_t;


extern fuzz_run_t             run;
extern fuzz_peer_t            peers[fuzz_roles];
extern const char            *fuzz_role_names[];


/* session.c */

int fuzz_session(fuzz_role_e fuzzed, const uint8_t *data, size_t size);
int fuzz_session_lack(fuzz_role_e fuzzed, const uint8_t *data, size_t size,
    const fuzz_lack_t *lack);
void fuzz_fail(const char *fmt, ...) __attribute__((noreturn));

/* session_conf.c */

extern const fuzz_server_t    fuzz_servers[];
extern ngx_uint_t             fuzz_servers_n;

void fuzz_init(void);
ngx_connection_t *fuzz_accept(ngx_uint_t server);

/* session_peer.c */

void fuzz_peer_init(void);
ngx_connection_t *fuzz_peer_open(fuzz_role_e role, ngx_log_t *log);
fuzz_peer_t *fuzz_peer(int fd);
void fuzz_peer_chunk(fuzz_peer_t *p, const u_char *data, size_t len);
void fuzz_peer_arrived(fuzz_peer_t *p);
ngx_uint_t fuzz_peer_events(fuzz_peer_t *p);
void fuzz_peer_writable(fuzz_peer_t *p);

ssize_t fuzz_peer_take(fuzz_peer_t *p, u_char *buf, size_t size, int peek);

extern ngx_event_actions_t    fuzz_actions;

/* session_wrap.c */

extern ngx_int_t              fuzz_pools;

/* session_tls.c */

void fuzz_tls_init(const char *file);

/* session_play.c */

extern const fuzz_step_t      fuzz_more[];

void fuzz_play_init(void);
void fuzz_play_connect(void);
void fuzz_play_start(fuzz_role_e role);
ngx_uint_t fuzz_play(fuzz_role_e role);

/* session_log.c */

void fuzz_log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len);

/* session_check.c */

void fuzz_check_init(void);
void fuzz_check_handshake(ngx_connection_t *c);
void fuzz_check_first_read(ngx_connection_t *c, u_char *buf);
void fuzz_check_write(ngx_connection_t *c);
void fuzz_check_closed(fuzz_peer_t *p);
void fuzz_check_end(void);

const u_char *fuzz_find(const u_char *data, size_t len, const char *what);

/* session_auth.c */

ngx_uint_t fuzz_known_domain(ngx_str_t *domain);
void fuzz_check_request(fuzz_peer_t *p);

/* session_xml.c */

typedef struct {
    size_t             error;        /* offset, or (size_t) -1 */
    const char        *reason;
    unsigned           complete:1;   /* the stream was ended */
    unsigned           stream_error:1;
    unsigned           plain:1;      /* was offered */
    size_t             success;      /* offset behind <success/>, or 0 */
    size_t             auth;         /* behind <auth/>, or 0 */
    ngx_uint_t         auths;
    u_char             text[4096];   /* of the last <auth/> */
    size_t             text_len;
} fuzz_xml_t;

void fuzz_xml_init(void);
void fuzz_xml(fuzz_xml_t *x, const u_char *data, size_t len);


#endif /* _FUZZ_SESSION_H_INCLUDED_ */
