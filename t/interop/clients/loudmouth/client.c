/*
 * A loudmouth client: one message out, one in.
 *
 * With direct TLS loudmouth wants the name of the host that it connects to in
 * the certificate: so this is the domain, and getaddrinfo() is the DNS.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <loudmouth/loudmouth.h>


static GMainLoop  *loop;
static int         status = 1;
static char        mechanism[32];


static gboolean
fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    g_main_loop_quit(loop);
    return FALSE;
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


static gboolean
late(gpointer data)
{
    return fail("no answer");
}


static LmSSLResponse
distrust(LmSSL *ssl, LmSSLStatus error, gpointer data)
{
    fprintf(stderr, "certificate error %d\n", error);
    return LM_SSL_RESPONSE_STOP;
}


/* loudmouth tells the mechanism to its log only. */
static void
logged(const gchar *domain, GLogLevelFlags level, const gchar *text,
    gpointer data)
{
    const char  *p;

    p = strstr(text, "<auth ");

    if (p != NULL && (p = strstr(p, "mechanism=")) != NULL) {
        sscanf(p + sizeof("mechanism=\"") - 1, "%31[^\"']", mechanism);
    }
}


static LmHandlerResult
message(LmMessageHandler *handler, LmConnection *connection,
    LmMessage *message, gpointer data)
{
    size_t          length;
    const char     *from, *peer;
    LmMessageNode  *body;

    peer = getenv("XMPP_PEER");
    length = strlen(peer);
    from = lm_message_node_get_attribute(message->node, "from");
    body = lm_message_node_get_child(message->node, "body");

    if (body != NULL && from != NULL && strncmp(from, peer, length) == 0
        && from[length] == '/')
    {
        printf("received %s\n", lm_message_node_get_value(body));
        status = 0;
        g_main_loop_quit(loop);
    }

    return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}


static void
authenticated(LmConnection *connection, gboolean success, gpointer data)
{
    LmMessage  *m;

    if (!success) {
        fail("not authenticated");
        return;
    }

    printf("connected %s\n", mechanism);

    m = lm_message_new_with_sub_type(NULL, LM_MESSAGE_TYPE_PRESENCE,
                                     LM_MESSAGE_SUB_TYPE_AVAILABLE);
    lm_connection_send(connection, m, NULL);
    lm_message_unref(m);

    m = lm_message_new_with_sub_type(getenv("XMPP_PEER"),
                                     LM_MESSAGE_TYPE_MESSAGE,
                                     LM_MESSAGE_SUB_TYPE_CHAT);
    lm_message_node_add_child(m->node, "body", getenv("XMPP_SEND"));
    lm_connection_send(connection, m, NULL);
    lm_message_unref(m);
}


static void
opened(LmConnection *connection, gboolean success, gpointer data)
{
    if (!success
        || !lm_connection_authenticate(connection, getenv("XMPP_USER"),
                                       getenv("XMPP_PASSWORD"), "loudmouth",
                                       authenticated, NULL, NULL, NULL))
    {
        fail("no stream");
    }
}


static void
closed(LmConnection *connection, LmDisconnectReason reason, gpointer data)
{
    if (status) {
        fail("disconnected");
    }
}


int
main(void)
{
    char          *jid;
    LmSSL         *ssl;
    gboolean       direct;
    LmConnection  *connection;

    setvbuf(stdout, NULL, _IOLBF, 0);
    loop = g_main_loop_new(NULL, FALSE);
    direct = strcmp(getenv("XMPP_TLS"), "direct") == 0;

    connection = lm_connection_new(getenv("XMPP_DOMAIN"));
    lm_connection_set_port(connection, atoi(getenv("XMPP_PORT")));

    jid = g_strdup_printf("%s@%s/loudmouth", getenv("XMPP_USER"),
                          getenv("XMPP_DOMAIN"));
    lm_connection_set_jid(connection, jid);

    ssl = lm_ssl_new(NULL, distrust, NULL, NULL);
    lm_ssl_set_ca(ssl, getenv("XMPP_CA"));

    if (!direct) {
        lm_ssl_use_starttls(ssl, TRUE, TRUE);
    }

    lm_connection_set_ssl(connection, ssl);
    lm_connection_set_disconnect_function(connection, closed, NULL, NULL);
    lm_connection_register_message_handler(connection,
        lm_message_handler_new(message, NULL, NULL), LM_MESSAGE_TYPE_MESSAGE,
        LM_HANDLER_PRIORITY_NORMAL);

    g_log_set_handler("LM", G_LOG_LEVEL_MASK, logged, NULL);
    g_timeout_add_seconds(40, late, NULL);

    if (!lm_connection_open(connection, opened, NULL, NULL, NULL)) {
        fprintf(stderr, "not connected\n");
        return 1;
    }

    g_main_loop_run(loop);

    lm_connection_close(connection, NULL);
    g_free(jid);

    return status;
}
