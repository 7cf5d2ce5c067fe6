/*
 * TLS without TLS: one read of the client is its part of a handshake, what
 * comes later counts as protected.  In this read,
 *
 *     byte 0   0x16, or there is no handshake
 *     byte 1   'F' it fails, 'A' it goes on with the next read
 *     byte 2   'c' or 's': the protocol that was negotiated
 *     byte 3   '1' to '9': there is a certificate of the client
 *     others   the names in it, with '|' in between: D and U are a DNS name
 *              and a URI, X and S are for XMPP, I and all else are not right
 */


#include "session.h"

#include <openssl/x509v3.h>


static X509 *fuzz_certificate(EVP_PKEY *key, const char *cn);
static GENERAL_NAME *fuzz_name(const u_char *data, size_t len);
static void fuzz_tls_handler(ngx_event_t *ev);
static void fuzz_tls_shutdown_handler(ngx_event_t *ev);


static SSL   *fuzz_ssl;
static X509  *fuzz_cert;
static u_char fuzz_alpn;

static u_char  fuzz_names[4096];
static size_t  fuzz_names_len;


/* all connections have the same SSL object, of which nothing is used */

void
fuzz_tls_init(const char *file)
{
    FILE      *f;
    SSL_CTX   *ctx;
    EVP_PKEY  *key;

    key = EVP_EC_gen("P-256");

    /* an issuer and a subject that would be two lines */
    fuzz_cert = fuzz_certificate(key, "a\r\nAuth-Pass: b");

    f = fopen(file, "w");

    if (f == NULL || !PEM_write_X509(f, fuzz_cert)
        || !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL))
    {
        fuzz_fail("no certificate");
    }

    fclose(f);

    ctx = SSL_CTX_new(TLS_server_method());
    fuzz_ssl = SSL_new(ctx);
}


static X509 *
fuzz_certificate(EVP_PKEY *key, const char *cn)
{
    X509       *cert;
    X509_NAME  *name;

    cert = X509_new();

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);

    name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (u_char *) cn, -1,
                               -1, 0);
    X509_set_issuer_name(cert, name);

    X509_sign(cert, key, EVP_sha256());

    return cert;
}


ngx_int_t __wrap_ngx_ssl_create_connection(ngx_ssl_t *ssl,
    ngx_connection_t *c, ngx_uint_t flags);
ngx_int_t __wrap_ngx_ssl_handshake(ngx_connection_t *c);
ngx_int_t __wrap_ngx_ssl_shutdown(ngx_connection_t *c);
void __wrap_ngx_ssl_remove_cached_session(SSL_CTX *ctx, SSL_SESSION *session);
void __wrap_SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data,
    unsigned *len);
X509 *__wrap_SSL_get1_peer_certificate(const SSL *ssl);
long __wrap_SSL_get_verify_result(const SSL *ssl);
void *__wrap_X509_get_ext_d2i(const X509 *cert, int nid, int *crit, int *idx);
int __wrap_SSL_shutdown(SSL *ssl);
int __wrap_RAND_bytes(unsigned char *buf, int len);


ngx_int_t
__wrap_ngx_ssl_create_connection(ngx_ssl_t *ssl, ngx_connection_t *c,
    ngx_uint_t flags)
{
    ngx_ssl_connection_t  *sc;

    if (c->ssl) {
        fuzz_fail("TLS in TLS");
    }

    sc = ngx_pcalloc(c->pool, sizeof(ngx_ssl_connection_t));
    if (sc == NULL) {
        return NGX_ERROR;
    }

    sc->connection = fuzz_ssl;
    sc->session_ctx = ssl->ctx;

    c->ssl = sc;

    return NGX_OK;
}


ngx_int_t
__wrap_ngx_ssl_handshake(ngx_connection_t *c)
{
    u_char              *data;
    ssize_t              n;
    fuzz_peer_t         *p;

    static const u_char  empty[4];

    p = fuzz_peer(c->fd);
    data = p->in + p->in_len;

    if (p->head != p->tail && p->in_len + 8192 > FUZZ_RECORD) {
        return NGX_ERROR;
    }

    /* all of it, there is nothing behind it in the same record */

    n = c->recv(c, data, p->head == p->tail ? 1 : p->queue[p->head].len);

    if (n == NGX_AGAIN) {
        goto again;
    }

    if (n < 1 || data[0] != 0x16) {
        return NGX_ERROR;
    }

    if (n < 4) {
        data = (u_char *) empty;
    }

    if (data[1] == 'F') {
        return NGX_ERROR;
    }

    if (data[1] == 'A') {
        goto again;
    }

    fuzz_alpn = data[2];
    run.certificate = (data[3] >= '1' && data[3] <= '9') ? data[3] - '0' : 0;

    fuzz_names_len = n > 4 ? ngx_min(n - 4, (ssize_t) sizeof(fuzz_names)) : 0;
    ngx_memcpy(fuzz_names, data + 4, fuzz_names_len);

    /* there is always a second flight in a real one, so these are set */

    c->read->handler = fuzz_tls_handler;
    c->write->handler = fuzz_tls_handler;

    c->ssl->handshaked = 1;
    p->tls = 1;

    fuzz_check_handshake(c);

    return NGX_OK;

again:

    c->read->handler = fuzz_tls_handler;
    c->write->handler = fuzz_tls_handler;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_handle_write_event(c->write, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
fuzz_tls_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    /* the certificate was refused, and that is being said */

    if (c->ssl->handshaked) {
        return;
    }

    if (ev->timedout) {
        c->ssl->handler(c);
        return;
    }

    if (__wrap_ngx_ssl_handshake(c) == NGX_AGAIN) {
        return;
    }

    c->ssl->handler(c);
}


/* the peer may let nginx wait for its close_notify */

ngx_int_t
__wrap_ngx_ssl_shutdown(ngx_connection_t *c)
{
    if (run.slow_shutdown && !c->timedout && !c->error && !c->read->error
        && !c->read->eof && !c->ssl->no_wait_shutdown)
    {
        run.slow_shutdown = 0;

        c->read->handler = fuzz_tls_shutdown_handler;
        c->write->handler = fuzz_tls_shutdown_handler;

        if (ngx_handle_read_event(c->read, 0) == NGX_OK) {
            ngx_add_timer(c->read, 3000);
            return NGX_AGAIN;
        }
    }

    c->ssl = NULL;

    return NGX_OK;
}


static void
fuzz_tls_shutdown_handler(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_connection_handler_pt   handler;

    c = ev->data;
    handler = c->ssl->handler;

    if (ev->timedout) {
        c->timedout = 1;
    }

    c->ssl = NULL;

    handler(c);
}


void
__wrap_ngx_ssl_remove_cached_session(SSL_CTX *ctx, SSL_SESSION *session)
{
    /* void */
}


void
__wrap_SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data,
    unsigned *len)
{
    *data = NULL;
    *len = 0;

    if (fuzz_alpn == 'c' || fuzz_alpn == 's') {
        *data = (u_char *) (fuzz_alpn == 'c' ? "xmpp-client" : "xmpp-server");
        *len = sizeof("xmpp-client") - 1;
    }
}


X509 *
__wrap_SSL_get1_peer_certificate(const SSL *ssl)
{
    if (run.certificate == 0) {
        return NULL;
    }

    X509_up_ref(fuzz_cert);

    return fuzz_cert;
}


static GENERAL_NAME *
fuzz_name(const u_char *data, size_t len)
{
    const char    *oid;
    ASN1_TYPE     *value;
    ASN1_STRING   *str;
    GENERAL_NAME  *name;

    name = GENERAL_NAME_new();

    if (*data == 'D' || *data == 'U') {
        str = ASN1_IA5STRING_new();
        ASN1_STRING_set(str, data + 1, len - 1);
        GENERAL_NAME_set0_value(name, *data == 'D' ? GEN_DNS : GEN_URI, str);

        return name;
    }

    str = ASN1_STRING_type_new(*data == 'X' ? V_ASN1_UTF8STRING
                                            : V_ASN1_IA5STRING);
    ASN1_STRING_set(str, data + 1, len - 1);

    value = ASN1_TYPE_new();
    ASN1_TYPE_set(value, str->type, str);

    oid = (*data == 'X' || *data == 'I') ? "1.3.6.1.5.5.7.8.5"
          : *data == 'S' ? "1.3.6.1.5.5.7.8.7" : "1.2.3.4";

    GENERAL_NAME_set0_othername(name, OBJ_txt2obj(oid, 1), value);

    return name;
}


/* the subjectAltName that is in the handshake */

void *
__wrap_X509_get_ext_d2i(const X509 *cert, int nid, int *crit, int *idx)
{
    u_char         *p, *last, *end;
    GENERAL_NAMES  *names;

    if (nid != NID_subject_alt_name || fuzz_names_len == 0) {
        return NULL;
    }

    names = GENERAL_NAMES_new();
    last = fuzz_names + fuzz_names_len;

    for (p = fuzz_names; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '|');
        if (end == NULL) {
            end = last;
        }

        if (end != p) {
            sk_GENERAL_NAME_push(names, fuzz_name(p, end - p));
        }
    }

    return names;
}


long
__wrap_SSL_get_verify_result(const SSL *ssl)
{
    switch (run.certificate) {

    case 5:
        return X509_V_ERR_CERT_HAS_EXPIRED;

    case 6:
        return X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
    }

    return X509_V_OK;
}


int
__wrap_SSL_shutdown(SSL *ssl)
{
    return 0;
}


/* the same at each run */

int
__wrap_RAND_bytes(unsigned char *buf, int len)
{
    static unsigned char  next;

    while (len--) {
        *buf++ = next++;
    }

    return 1;
}
