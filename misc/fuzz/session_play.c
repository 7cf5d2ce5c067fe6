/*
 * What the sides say that are not fuzzed.
 */


#include "session.h"


#define FUZZ_STEPS      16
#define FUZZ_TLS        "xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
#define FUZZ_SASL       "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define FUZZ_DIALBACK   "xmlns:db='jabber:server:dialback'"

#define FUZZ_HEADER(ns, more)                                                 \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:" ns "' "              \
    "xmlns:stream='http://etherx.jabber.org/streams' " more ">"

#define FUZZ_CLIENT_HEADER                                                    \
    FUZZ_HEADER("client", "to='example.test' from='alice@example.test' "      \
                          "version='1.0'")
#define FUZZ_SERVER_HEADER                                                    \
    FUZZ_HEADER("server", FUZZ_DIALBACK " to='example.test' "                 \
                          "from='peer.test' version='1.0'")
#define FUZZ_UP_HEADER                                                        \
    FUZZ_HEADER("client", "id='u1' from='example.test' version='1.0'")
#define FUZZ_UP_SERVER_HEADER                                                 \
    FUZZ_HEADER("server", FUZZ_DIALBACK " id='u2' from='example.test' "       \
                          "version='1.0'")

#define FUZZ_UP_MECHANISMS                                                    \
    "<stream:features><mechanisms " FUZZ_SASL ">"                             \
    "<mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>"          \
    "</mechanisms></stream:features>"

#define FUZZ_MESSAGE                                                          \
    "<message to='bob@example.test'><body>hello</body></message>"

#define FUZZ_DB_RESULT                                                        \
    "<db:result from='peer.test' to='example.test'>key</db:result>"

#define FUZZ_OK(more)                                                         \
    "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\n"        \
    "Auth-Port: 5322\r\n" more "\r\n"
#define FUZZ_NO(text, more)                                                   \
    "HTTP/1.0 200 OK\r\nAuth-Status: " text "\r\n" more "\r\n"


typedef struct {
    fuzz_connect_e     connect;
    fuzz_step_t        steps[6];
} fuzz_script_t;


static void fuzz_play_client(void);
static void fuzz_step(const char *wait, const char *data);


static const fuzz_script_t  fuzz_auths[] = {

#define FUZZ_ANSWER(answer)  { 0, { { "\r\n\r\n", answer, 0 } } }

    FUZZ_ANSWER(FUZZ_OK("Auth-Pass: " FUZZ_PASSWORD2 "\r\n")),
    FUZZ_ANSWER(FUZZ_OK("Auth-User: bob@other.test\r\n"
                        "Auth-Pass: <&'>\r\n")),
    FUZZ_ANSWER(FUZZ_NO("Invalid login or password", "Auth-Wait: 3\r\n")),
    FUZZ_ANSWER(FUZZ_NO("<b>&'\"", "Auth-Error-Code: account-disabled\r\n")),
    FUZZ_ANSWER(FUZZ_NO("WAIT", "Auth-Wait: 2\r\n")),
    FUZZ_ANSWER(FUZZ_OK("")),
    FUZZ_ANSWER(FUZZ_NO("go there", "Auth-Error-Code: see-other-host\r\n"
                        "Auth-XMPP-Location: <x>:5222\r\n")),
    FUZZ_ANSWER(FUZZ_OK("Auth-User: bob\r\nAuth-Pass: b\r\n"
                        "auth-xmpp-location: y\r\nX: y\r\n")),
    FUZZ_ANSWER("no HTTP\r\nAuth-Status: OK\r\n\r\n"),
    FUZZ_ANSWER("HTTP/1.0 500\r\n\r\n"),
    { 0, { { "\r\n\r\n", NULL, 0 } } },
    { 0, { { NULL, NULL, 0 } } },
    { fuzz_connect_now, { { "", FUZZ_OK("Auth-Pass: a\r\n"), 0 } } },
    { fuzz_connect_refused, { { NULL, NULL, 0 } } },
    { fuzz_connect_failed, { { NULL, NULL, 0 } } },
    { fuzz_connect_never, { { NULL, NULL, 0 } } }
};


static const fuzz_script_t  fuzz_backends[] = {

    { 0, { { "<stream:stream", FUZZ_UP_HEADER FUZZ_UP_MECHANISMS, 0 },
           { "</auth>", "<success " FUZZ_SASL "/>", 0 },
           { "<stream:stream", FUZZ_UP_HEADER "<stream:features/>", 0 },
           { "", FUZZ_MESSAGE "</stream:stream>", 0 },
           { "", NULL, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER, 0 },
           { "", FUZZ_UP_MECHANISMS, 0 },
           { "</auth>", "<failure " FUZZ_SASL "><account-disabled/>"
             "<text xml:lang='en'>no &lt;&#x26;&gt;</text></failure>", 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER "<stream:error><host-unknown "
             "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
             "</stream:stream>", 0 },
           { "", NULL, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER "<stream:features><mechanisms "
             FUZZ_SASL "><mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
             "</stream:features>", 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER FUZZ_UP_MECHANISMS
             "<success " FUZZ_SASL "/>", 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_SERVER_HEADER "<stream:features>"
             "<dialback xmlns='urn:xmpp:features:dialback'/>"
             "</stream:features>", 0 },
           { "</db:result>", "<db:result from='example.test' to='peer.test' "
             "type='valid'/>", 0 },
           { "</message>", FUZZ_MESSAGE, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_SERVER_HEADER "<stream:features/>",
             0 },
           { "</db:result>", NULL, 0 } } },

    { 0, { { "<stream:stream", FUZZ_HEADER("server", FUZZ_DIALBACK " id='3'"),
             0 },
           { "", FUZZ_DB_RESULT, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER "<stream:features><starttls "
             FUZZ_TLS "/></stream:features>" FUZZ_MESSAGE, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER FUZZ_UP_MECHANISMS, 0 },
           { "</auth>", "<x xmlns='y'/> <success " FUZZ_SASL ">eA==</success>"
             FUZZ_UP_HEADER FUZZ_MESSAGE, 0 },
           { "</message>", FUZZ_MESSAGE, 0 } } },

    { 0, { { "<stream:stream", FUZZ_UP_HEADER, 0 }, { "", NULL, 0 } } },
    { 0, { { "", NULL, 0 } } },
    { 0, { { NULL, NULL, 0 } } },
    { fuzz_connect_now, { { "", FUZZ_UP_HEADER FUZZ_UP_MECHANISMS, 0 },
                          { "</auth>", "<success " FUZZ_SASL "/>", 0 } } },
    { fuzz_connect_refused, { { NULL, NULL, 0 } } },
    { fuzz_connect_failed, { { NULL, NULL, 0 } } },
    { fuzz_connect_never, { { NULL, NULL, 0 } } },
    { 0, { { "", FUZZ_UP_HEADER FUZZ_UP_MECHANISMS, 0 },
           { "</auth>", "<success " FUZZ_SASL "/>" FUZZ_MESSAGE, 0 },
           { "</message>", FUZZ_MESSAGE, 0 } } }
};


#define fuzz_nelts(a)  (sizeof(a) / sizeof(a[0]))


/* more to say, when it is asked for */

const fuzz_step_t  fuzz_more[] = {
    { "", FUZZ_MESSAGE, 0 },
    { NULL, NULL, 0 }
};


/* the client's, see fuzz_play_client() */

static fuzz_step_t  fuzz_client_steps[FUZZ_STEPS];
static ngx_uint_t   fuzz_client_steps_n;

static const char   fuzz_handshake[] =
    "\x16.c1Xalice@example.test|Dclient.test";

static char         fuzz_plain[256], fuzz_plain_jid[256], fuzz_password[256];


static char *
fuzz_base64(char *dst, const char *src, size_t len)
{
    ngx_str_t  in, out;

    in.data = (u_char *) src;
    in.len = len;
    out.data = (u_char *) dst;

    ngx_encode_base64(&out, &in);

    return dst + out.len;
}


void
fuzz_play_init(void)
{
    char  *p;

    static const char  start[] = "<auth " FUZZ_SASL " mechanism='PLAIN'>";
    static const char  plain[] = "\0alice\0" FUZZ_PASSWORD;
    static const char  jid[] = "alice@example.test\0alice@example.test\0"
                               FUZZ_PASSWORD;

    p = (char *) ngx_cpymem(fuzz_plain, start, sizeof(start) - 1);
    p = fuzz_base64(p, plain, sizeof(plain) - 1);
    strcpy(p, "</auth>");

    p = (char *) ngx_cpymem(fuzz_plain_jid, start, sizeof(start) - 1);
    p = fuzz_base64(p, jid, sizeof(jid) - 1);
    strcpy(p, "</auth>");

    strcpy(fuzz_password, "<response " FUZZ_SASL ">");
    p = fuzz_password + strlen(fuzz_password);
    p = fuzz_base64(p, FUZZ_PASSWORD, sizeof(FUZZ_PASSWORD) - 1);
    strcpy(p, "</response>");
}


void
fuzz_play_start(fuzz_role_e role)
{
    fuzz_peer_t  *p;

    p = &peers[role];
    p->mark = 0;
    p->steps = NULL;

    if (role == run.fuzzed) {
        return;
    }

    switch (role) {

    case fuzz_client:
        fuzz_play_client();
        p->steps = fuzz_client_steps;
        break;

    case fuzz_auth:
        p->steps = fuzz_auths[run.auth % fuzz_nelts(fuzz_auths)].steps;
        break;

    default: /* fuzz_backend */
        p->steps = fuzz_backends[run.backend
                                 % fuzz_nelts(fuzz_backends)].steps;
    }
}


/* the ways to connect belong to the scripts */

void
fuzz_play_connect(void)
{
    ngx_uint_t  auth, backend;

    auth = run.auth % fuzz_nelts(fuzz_auths);
    backend = run.backend % fuzz_nelts(fuzz_backends);

    run.connect[fuzz_auth] = fuzz_auths[auth].connect;
    run.connect[fuzz_backend] = fuzz_backends[backend].connect;
}


static void
fuzz_play_client(void)
{
    const char           *header;
    ngx_uint_t            way;
    const fuzz_server_t  *server;

    server = &fuzz_servers[run.server];
    way = run.client % 8;

    fuzz_client_steps_n = 0;

    header = FUZZ_CLIENT_HEADER;

    if (server->s2s && (way == 5 || way == 7
                        || strstr(server->conf, "stream server")))
    {
        header = FUZZ_SERVER_HEADER;
    }

    if (server->from_proxy) {
        fuzz_step("", "PROXY TCP4 192.0.2.1 192.0.2.2 1111 5222\r\n");
    }

    if (server->tls) {
        fuzz_step("", fuzz_handshake);

    } else if (server->starttls == 2 || (server->starttls && way >= 6)) {
        fuzz_step("", header);
        fuzz_step("</stream:features>", "<starttls " FUZZ_TLS "/>");
        fuzz_step("<proceed ", fuzz_handshake);
    }

    fuzz_step("", header);

    if (server->none || header[2] == '\0' || strstr(header, "jabber:server")) {
        fuzz_step("</stream:features>", strstr(header, "jabber:server")
                                        ? FUZZ_DB_RESULT : fuzz_plain);
        fuzz_step("", FUZZ_MESSAGE);
        fuzz_step("", NULL);
        return;
    }

    switch (way) {

    case 1:
        fuzz_step("</stream:features>",
                  "<auth " FUZZ_SASL " mechanism='LOGIN'/>");
        fuzz_step("</challenge>", "<response " FUZZ_SASL ">YWxpY2U=</response>"
                  );
        fuzz_step("</challenge>", fuzz_password);
        break;

    case 2:
        fuzz_step("</stream:features>",
                  "<auth " FUZZ_SASL " mechanism='CRAM-MD5'/>");
        fuzz_step("</challenge>", "<response " FUZZ_SASL ">YWxpY2UgMDEyMzQ1Njc"
                  "4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=</response>");
        break;

    case 3:
        fuzz_step("</stream:features>",
                  "<auth " FUZZ_SASL " mechanism='EXTERNAL'>=</auth>");
        break;

    case 4:
        fuzz_step("", fuzz_plain_jid);
        break;

    default:
        fuzz_step("</stream:features>", fuzz_plain);
    }

    fuzz_step("<success ", FUZZ_CLIENT_HEADER);
    fuzz_step("", FUZZ_MESSAGE);
    fuzz_step("</message>", "</stream:stream>");
    fuzz_step("", NULL);
}


static void
fuzz_step(const char *wait, const char *data)
{
    fuzz_step_t  *step;

    step = &fuzz_client_steps[fuzz_client_steps_n++];

    step->wait = wait;
    step->data = data;
    step->len = 0;

    step[1].wait = NULL;
}


/* the next that it says, returns 1 if there was something */

ngx_uint_t
fuzz_play(fuzz_role_e role)
{
    size_t              len, n;
    fuzz_peer_t        *p;
    const u_char       *data, *found;
    const fuzz_step_t  *step;

    p = &peers[role];
    step = p->steps;

    if (p->c == NULL || step == NULL || step->wait == NULL
        || p->connecting || p->head != p->tail)
    {
        return 0;
    }

    found = fuzz_find(p->out + p->mark, p->out_len - p->mark, step->wait);

    if (found == NULL) {
        return 0;
    }

    p->mark = found + strlen(step->wait) - p->out;
    p->steps++;

    if (step->data == NULL) {
        p->eof = 1;
        fuzz_peer_arrived(p);
        return 1;
    }

    data = (const u_char *) step->data;
    len = step->len ? step->len : strlen(step->data);

    /* a handshake is one read */

    n = (run.split && data[0] != 0x16) ? run.split : len;

    for ( /* void */ ; len; data += n, len -= n) {
        n = ngx_min(n, len);
        fuzz_peer_chunk(p, data, n);
    }

    fuzz_peer_arrived(p);

    return 1;
}
