/*
 * irssi-plugin-xmpp shows what is wrong with a certificate and goes on, with
 * the system's authorities only.  This is between it and loudmouth: another
 * authority, and no going on.
 *
 * With direct TLS the name of the host has to be in the certificate: it is
 * the domain therefore, and getaddrinfo() is the DNS.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <loudmouth/loudmouth.h>


static LmSSLFunction  show;


static LmSSLResponse
stop(LmSSL *ssl, LmSSLStatus status, gpointer data)
{
    show(ssl, status, data);
    return LM_SSL_RESPONSE_STOP;
}


LmSSL *
lm_ssl_new(const gchar *fingerprint, LmSSLFunction function, gpointer data,
    GDestroyNotify notify)
{
    LmSSL  *ssl, *(*real)(const gchar *, LmSSLFunction, gpointer,
                          GDestroyNotify);

    *(void **) &real = dlsym(RTLD_NEXT, __func__);

    show = function;
    ssl = real(fingerprint, stop, data, notify);
    lm_ssl_set_ca(ssl, getenv("XMPP_CA"));

    return ssl;
}


int
getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **result)
{
    int  (*real)(const char *, const char *, const struct addrinfo *,
                 struct addrinfo **);

    *(void **) &real = dlsym(RTLD_NEXT, __func__);

    if (name != NULL && strcmp(name, getenv("XMPP_DOMAIN")) == 0) {
        name = getenv("XMPP_HOST");
    }

    return real(name, service, hints, result);
}
