
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "xmppload.h"


#define LOAD_RECORD  16384


static int load_tls_trust(X509_STORE_CTX *ctx, void *data);
static int load_tls_new_session(SSL *ssl, SSL_SESSION *session);
static int load_tls_error(load_session_t *s, int rc, const char *what);
static int load_bio_read(BIO *bio, char *buf, int len);
static int load_bio_write(BIO *bio, const char *buf, int len);
static long load_bio_ctrl(BIO *bio, int cmd, long num, void *ptr);
static int load_bio_create(BIO *bio);


static SSL_CTX      *load_ctx;
static BIO_METHOD   *load_bio;
static SSL_SESSION  *load_resumable;

static char          load_record[LOAD_RECORD];


void
load_tls_init(void)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(TLS_client_method());
    load_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                            "load");

    if (ctx == NULL
        || load_bio == NULL
        || !BIO_meth_set_read(load_bio, load_bio_read)
        || !BIO_meth_set_write(load_bio, load_bio_write)
        || !BIO_meth_set_ctrl(load_bio, load_bio_ctrl)
        || !BIO_meth_set_create(load_bio, load_bio_create)
        || !SSL_CTX_set_min_proto_version(ctx, load_conf.tls13
                                               ? TLS1_3_VERSION
                                               : TLS1_2_VERSION)
        /* the same work with each OpenSSL: later ones begin with a hybrid */
        || !SSL_CTX_set1_groups_list(ctx, "X25519:P-256"))
    {
        ERR_print_errors_fp(stderr);
        load_fatal("OpenSSL could not be set up");
    }

    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);

    /* then writing never has to wait for the server */

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);

    if (load_conf.ca) {

        if (!SSL_CTX_load_verify_locations(ctx, load_conf.ca, NULL)) {
            ERR_print_errors_fp(stderr);
            load_fatal("\"%s\" could not be read", load_conf.ca);
        }

        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);

    } else {
        SSL_CTX_set_cert_verify_callback(ctx, load_tls_trust, NULL);
    }

    if (load_conf.resume) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT
                                            |SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, load_tls_new_session);

    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    }

    load_ctx = ctx;
}


/* otherwise the chain is looked at even if nobody wants to know */

static int
load_tls_trust(X509_STORE_CTX *ctx, void *data)
{
    (void) ctx;
    (void) data;

    return 1;
}


static int
load_tls_new_session(SSL *ssl, SSL_SESSION *session)
{
    (void) ssl;

    SSL_SESSION_free(load_resumable);
    load_resumable = session;

    return 1;
}


int
load_tls_start(load_session_t *s)
{
    BIO  *bio;

    s->ssl = SSL_new(load_ctx);
    bio = BIO_new(load_bio);

    if (s->ssl == NULL || bio == NULL) {
        load_fatal("no memory for TLS");
    }

    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_connect_state(s->ssl);

    if (!SSL_set_tlsext_host_name(s->ssl, load_conf.domain)
        || (load_conf.ca && !SSL_set1_host(s->ssl, load_conf.domain)))
    {
        load_fatal("no memory for TLS");
    }

    if (load_resumable && !SSL_set_session(s->ssl, load_resumable)) {
        load_fatal("a session could not be resumed");
    }

    s->state = load_tls;

    return load_tls_input(s);
}


/* takes all that was read from the connection */

int
load_tls_input(load_session_t *s)
{
    int                n;
    const SSL_CIPHER  *cipher;

    if (s->state == load_tls) {

        n = SSL_do_handshake(s->ssl);

        if (n != 1) {
            return load_tls_error(s, n, "TLS handshake");
        }

        if (load_result.version[0] == '\0') {
            cipher = SSL_get_current_cipher(s->ssl);

            strncpy(load_result.version, SSL_get_version(s->ssl),
                    sizeof(load_result.version) - 1);
            strncpy(load_result.cipher, SSL_CIPHER_get_name(cipher),
                    sizeof(load_result.cipher) - 1);
        }

        if (load_conf.resume && SSL_session_reused(s->ssl)) {
            load_result.resumed++;
        }

        /* a client's library has sent it before the client says something */

        if (load_session_flush(s) == -1 || load_login_stream(s) == -1) {
            return -1;
        }
    }

    for ( ;; ) {

        n = SSL_read(s->ssl, load_record, LOAD_RECORD);

        if (n <= 0) {
            return load_tls_error(s, n, "TLS");
        }

        if (load_session_data(s, load_record, n) == -1) {
            return -1;
        }
    }
}


static int
load_tls_error(load_session_t *s, int rc, const char *what)
{
    char  text[256];

    switch (SSL_get_error(s->ssl, rc)) {

    case SSL_ERROR_WANT_READ:
        return load_session_flush(s);

    case SSL_ERROR_ZERO_RETURN:
        return load_session_fail(s, "%s: closed by the server", what);
    }

    /* the alert; a session that can not be told is gone anyway */

    ERR_error_string_n(ERR_peek_error(), text, sizeof(text));
    ERR_clear_error();

    if (load_session_flush(s) == -1) {
        return -1;
    }

    return load_session_fail(s, "%s: %s", what, text);
}


int
load_tls_send(load_session_t *s, const char *p, size_t len)
{
    int  n;

    /* all of it is taken, see load_bio_write() */

    n = SSL_write(s->ssl, p, len);

    if (n <= 0) {
        return load_tls_error(s, n, "TLS");
    }

    return 0;
}


void
load_tls_close(load_session_t *s)
{
    if (s->ssl == NULL) {
        return;
    }

    if (s->state > load_tls && SSL_shutdown(s->ssl) < 0) {
        ERR_clear_error();
    }

    SSL_free(s->ssl);
    s->ssl = NULL;
}


/*
 * TLS reads from what was read from a socket as a whole, and what it writes is
 * sent as a whole: one system call for any number of records.
 */

static int
load_bio_read(BIO *bio, char *buf, int len)
{
    BIO_clear_retry_flags(bio);

    if (load_in == load_in_end) {
        BIO_set_retry_read(bio);
        return -1;
    }

    if (len > load_in_end - load_in) {
        len = load_in_end - load_in;
    }

    memcpy(buf, load_in, len);
    load_in += len;

    return len;
}


static int
load_bio_write(BIO *bio, const char *buf, int len)
{
    BIO_clear_retry_flags(bio);

    load_out_add(buf, len);

    return len;
}


static long
load_bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void) bio;
    (void) num;
    (void) ptr;

    return cmd == BIO_CTRL_FLUSH;
}


static int
load_bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);

    return 1;
}
