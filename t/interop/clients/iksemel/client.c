/*
 * An iksemel client: one message out, one in.
 *
 * iksemel does not look at the server's certificate, and has no option for
 * it: so the function of GnuTLS that it calls is replaced by one that does.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <iksemel.h>


static iksid      *id;
static iksparser  *parser;
static int         authorized, sent, answered, ended;


static int
trusted(gnutls_session_t session)
{
    unsigned int              n, wrong;
    const gnutls_datum_t     *der;
    gnutls_x509_crt_t         certificate;
    gnutls_x509_trust_list_t  list;

    der = gnutls_certificate_get_peers(session, &n);

    if (der == NULL
        || gnutls_x509_crt_init(&certificate) != 0
        || gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) != 0
        || !gnutls_x509_crt_check_hostname(certificate,
                                           getenv("XMPP_DOMAIN"))
        || gnutls_x509_trust_list_init(&list, 0) != 0
        || gnutls_x509_trust_list_add_trust_file(list, getenv("XMPP_CA"),
                                                 NULL, GNUTLS_X509_FMT_PEM,
                                                 0, 0) != 1
        || gnutls_x509_trust_list_verify_crt(list, &certificate, 1, 0,
                                             &wrong, NULL) != 0)
    {
        return 0;
    }

    return wrong == 0;
}


int
gnutls_handshake(gnutls_session_t session)
{
    int  rc, (*real)(gnutls_session_t);

    *(void **) &real = dlsym(RTLD_NEXT, __func__);
    rc = real(session);

    if (rc == 0 && !trusted(session)) {
        fprintf(stderr, "the certificate is wrong\n");
        exit(1);
    }

    return rc;
}


static void
message(iks *node)
{
    char       *body;
    ikspak     *pak;

    pak = iks_packet(node);
    body = iks_find_cdata(node, "body");

    if (body != NULL && pak->from != NULL
        && strcmp(pak->from->partial, getenv("XMPP_PEER")) == 0)
    {
        printf("received %s\n", body);
        answered = 1;
        iks_send_raw(parser, "</stream:stream>");
    }
}


static void
send_and_delete(iks *node)
{
    iks_send(parser, node);
    iks_delete(node);
}


static int
stream(void *data, int type, iks *node)
{
    iks   *iq;
    char  *name;

    if (type == IKS_NODE_STOP) {
        ended = 1;
        return IKS_HOOK;
    }

    if (type == IKS_NODE_ERROR) {
        fprintf(stderr, "%s\n", iks_string(iks_stack(node), node));
        return IKS_HOOK;
    }

    if (node == NULL || type == IKS_NODE_START) {
        return IKS_OK;
    }

    name = iks_name(node);

    if (strcmp(name, "stream:features") == 0) {

        if (!iks_is_secure(parser)) {
            iks_start_tls(parser);

        } else if (authorized) {
            iq = iks_make_resource_bind(id);
            iks_insert_attrib(iq, "id", "bind");
            send_and_delete(iq);

        } else if (!(iks_stream_features(node) & IKS_STREAM_SASL_PLAIN)
                   || iks_start_sasl(parser, IKS_SASL_PLAIN, id->user,
                                     getenv("XMPP_PASSWORD")) != IKS_OK)
        {
            fprintf(stderr, "PLAIN is not offered\n");
            return IKS_HOOK;
        }

    } else if (strcmp(name, "success") == 0) {
        authorized = 1;
        printf("connected PLAIN\n");
        iks_send_header(parser, id->server);

    } else if (strcmp(name, "failure") == 0) {
        fprintf(stderr, "the login has failed\n");
        return IKS_HOOK;

    } else if (strcmp(name, "iq") == 0 && !sent) {
        sent = 1;
        send_and_delete(iks_make_pres(IKS_SHOW_AVAILABLE, NULL));
        send_and_delete(iks_make_msg(IKS_TYPE_CHAT, getenv("XMPP_PEER"),
                                     getenv("XMPP_SEND")));

    } else if (strcmp(name, "message") == 0) {
        message(node);
    }

    iks_delete(node);

    return IKS_OK;
}


int
main(void)
{
    int   rc;
    char  jid[512];

    alarm(40);
    setvbuf(stdout, NULL, _IOLBF, 0);

    parser = iks_stream_new(IKS_NS_CLIENT, NULL, stream);

    snprintf(jid, sizeof(jid), "%s@%s/iksemel", getenv("XMPP_USER"),
             getenv("XMPP_DOMAIN"));
    id = iks_id_new(iks_parser_stack(parser), jid);

    rc = iks_connect_via(parser, getenv("XMPP_HOST"),
                         atoi(getenv("XMPP_PORT")), id->server);

    if (rc != IKS_OK) {
        fprintf(stderr, "not connected: %d\n", rc);
        return 1;
    }

    /* with TLS its timeout has no effect, and all is done in the hook */
    while (rc == IKS_OK) {
        rc = iks_recv(parser, -1);
    }

    /* iks_disconnect() would wait for ever for the end of TLS */
    return !(answered && ended);
}
