/*
 * A libstrophe client (0.12 and later) that a test drives line by line.
 *
 * usage: client HOST PORT starttls|direct CA_FILE JID PASSWORD
 *
 * Standard input:  send JID TEXT
 * Standard output: online JID MECHANISM
 *                  message JID TEXT     (a newline in TEXT is shown as \n)
 *                  failed WHY
 * The end of the input ends the stream and the program.
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <strophe.h>


static int          online, over, status;
static char         mechanism[32];
static char         input[65536];
static size_t       length;


/*
 * libstrophe tells the mechanism, a failed login and a failed handshake to its
 * log only.
 */
static void
logged(void *data, xmpp_log_level_t level, const char *area, const char *text)
{
    const char  *p;

    if (strncmp(text, "SENT: <auth ", 12) == 0
        && (p = strstr(text, "mechanism=\"")) != NULL)
    {
        sscanf(p, "mechanism=\"%31[^\"]", mechanism);
    }

    if (strstr(text, "auth failed") != NULL
        || strstr(text, "certificate verify failed") != NULL)
    {
        printf("failed %s\n", text);
        status = 1;
    }
}


static int
message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *data)
{
    char           *text, *p;
    xmpp_stanza_t  *body;

    body = xmpp_stanza_get_child_by_name(stanza, "body");
    text = (body != NULL) ? xmpp_stanza_get_text(body) : NULL;

    if (text == NULL) {
        return 1;
    }

    printf("message %s ", xmpp_stanza_get_from(stanza));

    for (p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            fputs("\\n", stdout);
        } else {
            putchar(*p);
        }
    }

    putchar('\n');
    xmpp_free(xmpp_conn_get_context(conn), text);

    return 1;
}


static void
event(xmpp_conn_t *conn, xmpp_conn_event_t what, int error,
    xmpp_stream_error_t *stream_error, void *data)
{
    xmpp_stanza_t  *presence;

    if (what != XMPP_CONN_CONNECT) {
        if (!online && status == 0) {
            puts("failed disconnected");
            status = 1;
        }

        over = 1;
        return;
    }

    if (!xmpp_conn_is_secured(conn)) {
        puts("failed no TLS");
        status = 1;
        xmpp_disconnect(conn);
        return;
    }

    online = 1;
    xmpp_handler_add(conn, message, NULL, "message", NULL, NULL);

    presence = xmpp_presence_new(xmpp_conn_get_context(conn));
    xmpp_send(conn, presence);
    xmpp_stanza_release(presence);

    printf("online %s %s\n", xmpp_conn_get_bound_jid(conn), mechanism);
}


static void
command(xmpp_conn_t *conn, char *line)
{
    char           *to, *text;
    xmpp_stanza_t  *stanza;

    if (strncmp(line, "send ", 5) != 0
        || (text = strchr(line + 5, ' ')) == NULL)
    {
        printf("failed unknown command: %s\n", line);
        status = 1;
        return;
    }

    to = line + 5;
    *text++ = '\0';

    stanza = xmpp_message_new(xmpp_conn_get_context(conn), "chat", to, NULL);
    xmpp_message_set_body(stanza, text);
    xmpp_send(conn, stanza);
    xmpp_stanza_release(stanza);
}


/* False at the end of the input. */
static int
commands(xmpp_conn_t *conn)
{
    char           *end;
    ssize_t         n;
    struct pollfd   in = { STDIN_FILENO, POLLIN, 0 };

    while (poll(&in, 1, 0) > 0) {
        n = read(STDIN_FILENO, input + length, sizeof(input) - length);

        if (n <= 0) {
            return 0;
        }

        length += n;

        while ((end = memchr(input, '\n', length)) != NULL) {
            *end++ = '\0';
            command(conn, input);
            length -= end - input;
            memmove(input, end, length);
        }
    }

    return 1;
}


int
main(int argc, char **argv)
{
    int           more = 1;
    long          flags = XMPP_CONN_FLAG_MANDATORY_TLS;
    xmpp_ctx_t   *ctx;
    xmpp_log_t    log = { logged, NULL };
    xmpp_conn_t  *conn;

    if (argc != 7) {
        fprintf(stderr, "usage: client HOST PORT starttls|direct CA_FILE"
                        " JID PASSWORD\n");
        return 2;
    }

    setvbuf(stdout, NULL, _IOLBF, 0);
    xmpp_initialize();

    ctx = xmpp_ctx_new(NULL, &log);
    conn = xmpp_conn_new(ctx);

    if (strcmp(argv[3], "direct") == 0) {
        flags = XMPP_CONN_FLAG_LEGACY_SSL;
    }

    xmpp_conn_set_flags(conn, flags);
    xmpp_conn_set_cafile(conn, argv[4]);
    xmpp_conn_set_jid(conn, argv[5]);
    xmpp_conn_set_pass(conn, argv[6]);

    if (xmpp_connect_client(conn, argv[1], atoi(argv[2]), event, NULL) != 0) {
        puts("failed no connection");
        over = status = 1;
    }

    while (!over) {
        xmpp_run_once(ctx, 20);

        if (online && more && !over) {
            more = commands(conn);

            if (!more) {
                xmpp_disconnect(conn);
            }
        }
    }

    xmpp_conn_release(conn);
    xmpp_ctx_free(ctx);
    xmpp_shutdown();

    return status;
}
