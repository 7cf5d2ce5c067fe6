
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _NGX_MAIL_XMPP_MODULE_H_INCLUDED_
#define _NGX_MAIL_XMPP_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_parse.h>
#include <ngx_mail_xmpp_write.h>


/* the streams that a server accepts */

#define NGX_MAIL_XMPP_CLIENT  0x01
#define NGX_MAIL_XMPP_SERVER  0x02
#define NGX_MAIL_XMPP_ANY     (NGX_MAIL_XMPP_CLIENT|NGX_MAIL_XMPP_SERVER)


/* reads in a row, then the other connections have their turn */

#define NGX_MAIL_XMPP_READS   16


typedef struct {
    size_t                     client_buffer_size;
    size_t                     relay_buffer_size;
    ngx_uint_t                 auth_methods;
    ngx_uint_t                 streams;
    ngx_uint_t                 ticket;       /* unsigned  ticket:1 */
    ngx_array_t               *domains;      /* array of ngx_str_t */
} ngx_mail_xmpp_srv_conf_t;


typedef enum {
    ngx_mail_xmpp_starttls = 0,
    ngx_mail_xmpp_auth,
    ngx_mail_xmpp_response,
    ngx_mail_xmpp_abort
} ngx_mail_xmpp_command_e;


typedef enum {
    ngx_mail_xmpp_sasl_none = 0,
    ngx_mail_xmpp_sasl_plain,
    ngx_mail_xmpp_sasl_login_user,
    ngx_mail_xmpp_sasl_login_passwd,
    ngx_mail_xmpp_sasl_cram_md5,
    ngx_mail_xmpp_sasl_external
} ngx_mail_xmpp_sasl_state_e;


/*
 * The context of a session lives from the accepted connection, or the end of
 * the TLS handshake on it, till relaying starts.  All of it is in a pool of
 * its own, which is destroyed then: a session that is being relayed keeps
 * nothing of the login but s->login.
 */

typedef struct {
    ngx_pool_t                *pool;
    ngx_pool_cleanup_t        *cleanup;

    ngx_mail_xmpp_parser_t    *parser;
    u_char                    *header_end;   /* in s->buffer */

    ngx_mail_xmpp_out_t        out;          /* to the client */
    ngx_mail_xmpp_out_t        upstream;     /* to the upstream server */

    /* the stream */

    ngx_str_t                  domain;
    ngx_str_t                  from;         /* of the client */
    ngx_str_t                  location;     /* of "see-other-host" */

    size_t                     white_space;  /* after <starttls/> */

    /* the element that is being read */

    ngx_mail_xmpp_command_e    command;
    ngx_uint_t                 mechanism;    /* index of the one asked for */
    unsigned                   children:1;

    /* the authentication */

    ngx_mail_xmpp_sasl_state_e sasl;
    ngx_pool_t                *sasl_pool;
    ngx_str_t                  secret;       /* what is to be overwritten */
    ngx_str_t                  authcid;      /* of LOGIN */
    ngx_str_t                  digest;       /* of CRAM-MD5 */

    /* the upstream login */

    ngx_uint_t                 upstream_state;
    ngx_uint_t                 upstream_element;
    size_t                     upstream_sent;
    ngx_str_t                  upstream_user;
    ngx_str_t                  upstream_domain;
    ngx_str_t                  condition;    /* of a failure or an error */
    ngx_str_t                  text;         /* of a failure, raw */

    /* STARTTLS for a stream that is passed on */

    ngx_mail_xmpp_parser_t    *upstream_parser;
    u_char                    *features;     /* where its content starts */
    ngx_str_t                  features_name;

    unsigned                   mechanisms:1; /* are being read */
    unsigned                   plain:1;      /* was offered */
    unsigned                   stream:1;     /* a header was sent */
    unsigned                   server:1;     /* the client is a server */
    unsigned                   version:1;    /* of the client is 1.0 */
    unsigned                   pass:1;       /* the stream is passed on */
    unsigned                   pending:1;    /* an auth request was made */
    unsigned                   starttls:1;   /* is in the features already */
    unsigned                   features_empty:1;
    unsigned                   offered:1;    /* the upstream server waits */
} ngx_mail_xmpp_ctx_t;


#define ngx_mail_xmpp_is_space(ch)                                            \
    ((ch) == ' ' || (ch) == '\t' || (ch) == CR || (ch) == LF)


/* ngx_mail_xmpp_session.c: the life of a session's context */

void ngx_mail_xmpp_init_session(ngx_mail_session_t *s, ngx_connection_t *c);

/* overwrites the secrets, and all that was read, when the session is over */
void ngx_mail_xmpp_forget(ngx_mail_session_t *s);

/* destroys the context when relaying starts */
ngx_int_t ngx_mail_xmpp_release(ngx_mail_session_t *s);


/* ngx_mail_xmpp_handler.c: the session up to the login */

void ngx_mail_xmpp_init_protocol(ngx_event_t *rev);
void ngx_mail_xmpp_auth_state(ngx_event_t *rev);

/* makes s->out from what was written to ctx->out */
ngx_int_t ngx_mail_xmpp_set_out(ngx_mail_session_t *s);

/* sends it, the session may be closed then */
void ngx_mail_xmpp_flush(ngx_mail_session_t *s, ngx_connection_t *c);


/* ngx_mail_xmpp_stream.c: the client's stream */

/*
 * checks the header of the client, and writes ours and the features;
 * NGX_OK, NGX_DONE if a stream error was sent, NGX_ERROR
 */
ngx_int_t ngx_mail_xmpp_stream_header(ngx_mail_session_t *s,
    ngx_connection_t *c);

/*
 * the parts of it: an address is decoded and checked; NGX_OK, NGX_DECLINED if
 * it is invalid, NGX_DONE if a stream error was sent, NGX_ERROR
 */
ngx_int_t ngx_mail_xmpp_stream_to(ngx_mail_session_t *s,
    ngx_connection_t *c);
ngx_int_t ngx_mail_xmpp_stream_from(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *local);

/* the streams that may be used here: NGX_MAIL_XMPP_CLIENT, ... */
ngx_uint_t ngx_mail_xmpp_streams(ngx_mail_session_t *s, ngx_connection_t *c);

/* sends a stream error and ends the session, always returns NGX_DONE */
ngx_int_t ngx_mail_xmpp_stream_error(ngx_mail_session_t *s,
    ngx_connection_t *c, char *condition, char *reason);

/* a condition of RFC 6120, 4.9.3; anything else becomes "not-authorized" */
char *ngx_mail_xmpp_stream_condition(ngx_str_t *name);

/* writes our header */
void ngx_mail_xmpp_write_header(ngx_mail_session_t *s,
    ngx_mail_xmpp_out_t *out);

/* completes an error of nginx itself, see ngx_mail_handlers_t */
void ngx_mail_xmpp_error_handler(ngx_mail_session_t *s);

/* NGX_OK if the version of a stream is 1.0 or higher */
ngx_int_t ngx_mail_xmpp_version(ngx_str_t *version);

ngx_int_t ngx_mail_xmpp_random(ngx_log_t *log, u_char *buf, size_t len);


/* ngx_mail_xmpp_server.c: the header of another server */

/* NGX_OK, NGX_DONE if a stream error was sent, NGX_ERROR */
ngx_int_t ngx_mail_xmpp_server_header(ngx_mail_session_t *s,
    ngx_connection_t *c);


/* ngx_mail_xmpp_starttls.c */

/* NGX_OK if an answer was written, NGX_DONE if the connection was closed */
ngx_int_t ngx_mail_xmpp_starttls_command(ngx_mail_session_t *s,
    ngx_connection_t *c);


/* ngx_mail_xmpp_sasl.c: the exchange with the client */

/*
 * ngx_mail_xmpp_sasl_auth(), _response() and _abort() take a step in the
 * exchange; "data" is the text of the element, NULL if there was none.
 *
 * NGX_DONE      the user and the secret are known, ask the auth server
 * NGX_OK        a challenge was written
 * NGX_DECLINED  a failure was written
 * NGX_ERROR     no memory
 */

ngx_int_t ngx_mail_xmpp_sasl_auth(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *data);
ngx_int_t ngx_mail_xmpp_sasl_response(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *data);
ngx_int_t ngx_mail_xmpp_sasl_abort(ngx_mail_session_t *s,
    ngx_connection_t *c);

ngx_int_t ngx_mail_xmpp_sasl_failure(ngx_mail_session_t *s,
    ngx_connection_t *c, char *condition, char *reason);
ngx_uint_t ngx_mail_xmpp_sasl_mechanism(ngx_str_t *name);
void ngx_mail_xmpp_sasl_features(ngx_mail_session_t *s, ngx_connection_t *c);
void ngx_mail_xmpp_sasl_clear(ngx_mail_session_t *s);

/* a condition of RFC 6120, 6.5; anything else becomes "not-authorized" */
ngx_str_t *ngx_mail_xmpp_sasl_condition(ngx_str_t *name);


ngx_int_t ngx_mail_xmpp_sasl_challenge(ngx_mail_session_t *s);


/* ngx_mail_xmpp_mechanisms.c: what a message of each mechanism means */

ngx_int_t ngx_mail_xmpp_sasl_plain_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
ngx_int_t ngx_mail_xmpp_sasl_login_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
ngx_int_t ngx_mail_xmpp_sasl_cram_md5_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
ngx_int_t ngx_mail_xmpp_sasl_external_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);

/* makes a new s->salt for CRAM-MD5 */
ngx_int_t ngx_mail_xmpp_sasl_salt(ngx_mail_session_t *s);


/* ngx_mail_xmpp_auth.c: the auth_http exchange */

void ngx_mail_xmpp_auth_init(ngx_mail_session_t *s, ngx_connection_t *c);
ngx_int_t ngx_mail_xmpp_auth_request(ngx_mail_session_t *s, ngx_pool_t *pool,
    ngx_str_t *headers);
ngx_int_t ngx_mail_xmpp_auth_header(ngx_mail_session_t *s, ngx_str_t *name,
    ngx_str_t *value);
ngx_int_t ngx_mail_xmpp_auth_response(ngx_mail_session_t *s);
ngx_int_t ngx_mail_xmpp_auth_error(ngx_mail_session_t *s, ngx_str_t *code,
    ngx_str_t *text, ngx_str_t *err);


/* ngx_mail_xmpp_certificate.c */

#if (NGX_MAIL_SSL)

/* the names in the certificate of the client, as a value of a header */
ngx_int_t ngx_mail_xmpp_certificate_names(ngx_mail_session_t *s,
    ngx_pool_t *pool, ngx_str_t *names);

#endif


/* ngx_mail_xmpp_proxy.c: the stream to the upstream server */

void ngx_mail_xmpp_init_upstream(ngx_mail_session_t *s);

/* sends what was written to ctx->upstream */
void ngx_mail_xmpp_proxy_write_handler(ngx_event_t *wev);

/* NGX_OK if there may be something to read, NGX_DONE */
ngx_int_t ngx_mail_xmpp_proxy_check(ngx_event_t *rev);

/* reads to s->proxy->buffer; NGX_OK, NGX_AGAIN, NGX_ERROR */
ngx_int_t ngx_mail_xmpp_proxy_recv(ngx_mail_session_t *s,
    ngx_connection_t *c);

ngx_uint_t ngx_mail_xmpp_proxy_is(ngx_mail_xmpp_parser_t *p, ngx_uint_t ns,
    char *name);


/* ngx_mail_xmpp_pass.c: streams that are passed on as they are */

/* true if the client's stream is one of them, now */
ngx_uint_t ngx_mail_xmpp_pass(ngx_mail_session_t *s, ngx_connection_t *c);

void ngx_mail_xmpp_pass_init_upstream(ngx_mail_session_t *s);
void ngx_mail_xmpp_pass_relay(ngx_mail_session_t *s);


/* ngx_mail_xmpp_offer.c: STARTTLS is offered on such a stream */

#if (NGX_MAIL_SSL)

/* true if that is to be done */
ngx_uint_t ngx_mail_xmpp_offer(ngx_mail_session_t *s, ngx_connection_t *c);

void ngx_mail_xmpp_offer_read_handler(ngx_event_t *rev);

#endif


/* ngx_mail_xmpp_ticket.c: TLS session tickets */

#if (NGX_MAIL_SSL && OPENSSL_VERSION_NUMBER >= 0x30000000L)

#define NGX_MAIL_XMPP_TICKET  1

/* none is sent in the handshake */
void ngx_mail_xmpp_ticket_init(ngx_conf_t *cf,
    ngx_mail_xmpp_srv_conf_t *xscf);

/* but one to a client that has logged in, and stays; NGX_OK, NGX_AGAIN */
ngx_int_t ngx_mail_xmpp_ticket(ngx_mail_session_t *s);

#endif


/* ngx_mail_xmpp_relay.c: what comes after the login */

void ngx_mail_xmpp_relay(ngx_mail_session_t *s);

/*
 * moves what is in the buffer, and what can be read, to the other side, or
 * drops it if that one is "gone"
 *
 * NGX_DONE   the source has ended, and there is nothing left to be sent
 * NGX_AGAIN  there may be more; an error of the destination is in dst->error
 * NGX_ERROR  no memory
 */
ngx_int_t ngx_mail_xmpp_relay_move(ngx_mail_session_t *s,
    ngx_connection_t *src, ngx_connection_t *dst, ngx_buf_t *b,
    ngx_uint_t gone);

/* of the connection's pool */
void ngx_mail_xmpp_relay_cleanup(void *data);


/* ngx_mail_xmpp_recv.c: c->recv() with fewer system calls */

void ngx_mail_xmpp_recv_init(ngx_connection_t *c);
ssize_t ngx_mail_xmpp_recv(ngx_connection_t *c, u_char *buf, size_t size);


/* ngx_mail_xmpp_finish.c: the end of a relayed session */

void ngx_mail_xmpp_finish(ngx_mail_session_t *s);


/* ngx_mail_xmpp_jid.c: RFC 7622 */

/* NGX_OK or NGX_DECLINED; ASCII letters of a domain are lowercased in place,
   and a dot at its end is left out */

ngx_int_t ngx_mail_xmpp_jid_local(ngx_str_t *local);
ngx_int_t ngx_mail_xmpp_jid_domain(ngx_str_t *domain);

/* [ local "@" ] domain [ "/" resource ]; the resource is only cut off */
ngx_int_t ngx_mail_xmpp_jid_split(ngx_str_t *jid, ngx_str_t *local,
    ngx_str_t *domain);


extern ngx_module_t  ngx_mail_xmpp_module;


#endif /* _NGX_MAIL_XMPP_MODULE_H_INCLUDED_ */
