
/*
 * What one core does with OpenSSL alone: TLS 1.3 between two ends in the
 * memory of one process, no network, no resumption.
 *
 * usage: tlsmem CERTIFICATE KEY [SECONDS]
 *
 * Prints handshakes a CPU-second, of the server's side alone and of both, and
 * 10^6 bytes a CPU-second, each encrypted once and decrypted once, as in a
 * front.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>


#define RECORD  16384


static void
die(const char *what)
{
    fprintf(stderr, "tlsmem: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}


static double
cpu(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static SSL *
end(SSL_CTX *ctx, int server)
{
    BIO  *in, *out;
    SSL  *ssl;

    ssl = SSL_new(ctx);
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL) {
        die("no memory");
    }

    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);

    if (server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }

    return ssl;
}


/* what one end has written becomes what the other one reads */

static void
pass(SSL *from, SSL *to)
{
    int          n;
    static char  buf[4 * RECORD];

    while ((n = BIO_read(SSL_get_wbio(from), buf, sizeof(buf))) > 0) {
        if (BIO_write(SSL_get_rbio(to), buf, n) != n) {
            die("BIO_write() failed");
        }
    }
}


static int
step(SSL *ssl)
{
    int  n;

    n = SSL_do_handshake(ssl);

    if (n != 1 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ) {
        die("the handshake failed");
    }

    return n == 1;
}


static double
handshake(SSL *client, SSL *server)
{
    int     done;
    double  start, spent;

    spent = 0;

    do {
        done = step(client);
        pass(client, server);

        start = cpu();
        done &= step(server);
        spent += cpu() - start;

        pass(server, client);

    } while (!done);

    return spent;
}


static void
move(SSL *from, SSL *to, char *buf)
{
    int  n, got;

    if (SSL_write(from, buf, RECORD) != RECORD) {
        die("SSL_write() failed");
    }

    pass(from, to);

    for (got = 0; got < RECORD; got += n) {
        n = SSL_read(to, buf, RECORD);

        if (n <= 0) {
            die("SSL_read() failed");
        }
    }
}


static SSL_CTX *
context(const SSL_METHOD *method)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(method);

    if (ctx == NULL
        || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
    {
        die("no TLS 1.3");
    }

    return ctx;
}


int
main(int argc, char **argv)
{
    SSL          *client, *server;
    double        start, seconds, spent, all;
    SSL_CTX      *cctx, *sctx;
    unsigned      n, i;
    static char   buf[RECORD];

    if (argc < 3) {
        fprintf(stderr, "usage: tlsmem CERTIFICATE KEY [SECONDS]\n");
        return 2;
    }

    seconds = argc > 3 ? atof(argv[3]) : 2;

    sctx = context(TLS_server_method());
    cctx = context(TLS_client_method());

    if (SSL_CTX_use_certificate_chain_file(sctx, argv[1]) != 1
        || SSL_CTX_use_PrivateKey_file(sctx, argv[2], SSL_FILETYPE_PEM) != 1)
    {
        die("no certificate");
    }

    SSL_CTX_set_session_cache_mode(sctx, SSL_SESS_CACHE_OFF);

    spent = 0;
    start = cpu();

    for (n = 0; cpu() - start < seconds; n++) {
        client = end(cctx, 0);
        server = end(sctx, 1);
        spent += handshake(client, server);
        SSL_free(client);
        SSL_free(server);
    }

    all = cpu() - start;

    printf("handshakes=%u per_cpu_second=%.1f both_per_cpu_second=%.1f ",
           n, n / spent, n / all);

    client = end(cctx, 0);
    server = end(sctx, 1);
    handshake(client, server);
    memset(buf, 'x', RECORD);

    start = cpu();

    for (n = 0; cpu() - start < seconds; n += 64) {
        for (i = 0; i < 64; i++) {
            move(client, server, buf);
        }
    }

    printf("mb_per_cpu_second=%.1f\n",
           (double) n * RECORD / (cpu() - start) / 1e6);

    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(cctx);
    SSL_CTX_free(sctx);

    return 0;
}
