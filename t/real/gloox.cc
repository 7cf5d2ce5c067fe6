/*
 * A gloox client (1.0.24 and later) that a test drives line by line.
 *
 * usage: gloox HOST PORT starttls|direct CA_FILE JID PASSWORD [register]
 *
 * With "register" the account is made first (XEP-0077), in a stream of its
 * own.
 *
 * Standard input:  send JID TEXT
 *                  password NEW         change it
 *                  remove               remove the account
 * Standard output: online JID MECHANISM
 *                  message JID TEXT     (a newline in TEXT is shown as \n)
 *                  registered
 *                  changed
 *                  removed
 *                  failed WHY
 * The end of the input ends the stream and the program.
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/connectiontcpclient.h>
#include <gloox/connectiontls.h>
#include <gloox/loghandler.h>
#include <gloox/message.h>
#include <gloox/messagehandler.h>
#include <gloox/registration.h>
#include <gloox/tlsdefault.h>
#include <gloox/tlshandler.h>

using namespace gloox;


static std::string  host, way, ca, domain;
static int          port, status;


static void
fail(const char *why, int code)
{
    printf("failed %s %d\n", why, code);
    status = 1;
}


/* By itself gloox with GnuTLS trusts the system's authorities and no other. */
class TrustingTLS : public TLSDefault
{
public:
    TrustingTLS(TLSHandler *handler)
        : TLSDefault(handler, domain, TLSDefault::VerifyingClient)
    {
    }

    virtual bool init(const std::string &key = EmptyString,
        const std::string &certificate = EmptyString,
        const StringList &authorities = StringList())
    {
        StringList  list = authorities;

        list.push_back(ca);

        if (!TLSDefault::init(key, certificate, list)) {
            return false;
        }

        setCACerts(list);

        return true;
    }
};


class DirectTLS : public ConnectionTLS
{
public:
    DirectTLS(ConnectionBase *tcp, const LogSink &log)
        : ConnectionTLS(tcp, log)
    {
    }

protected:
    virtual TLSBase *getTLSBase(TLSHandler *handler, const std::string)
    {
        return new TrustingTLS(handler);
    }
};


class Session : public ConnectionListener, public MessageHandler,
                public RegistrationHandler, public LogHandler,
                public TLSHandler
{
public:
    Session(const JID &jid, const std::string &password)
        : client(jid, password), online(false)
    {
        start();
    }

    /* without a login, for a registration */
    Session(const std::string &domain)
        : client(domain), online(false)
    {
        start();
    }

    bool connect() { return client.connect(false); }
    void disconnect() { client.disconnect(); }
    bool receive() { return client.recv(20000) == ConnNoError; }

    void create(const std::string &user, const std::string &password)
    {
        fields.username = user;
        fields.password = password;
    }

    bool command(char *line);
    bool is_online() { return online; }

    virtual void onConnect()
    {
        if (!secure) {
            fail("no TLS", 0);
            client.disconnect();
            return;
        }

        online = true;

        if (!fields.username.empty()) {
            registration->fetchRegistrationFields();
            return;
        }

        printf("online %s %s\n", client.jid().full().c_str(),
               mechanism.c_str());
    }

    virtual void onDisconnect(ConnectionError error)
    {
        if (error == ConnAuthenticationFailed) {
            fail("authentication", client.authError());

        } else if (error != ConnUserDisconnected && status == 0
                   && strcmp(doing, "removed") != 0)
        {
            fail("disconnected", error);
        }
    }

    virtual bool onTLSConnect(const CertInfo &info)
    {
        secure = trusted(info);
        return secure;
    }

    virtual void handleMessage(const Message &message, MessageSession *)
    {
        std::string  text = message.body();
        size_t       at;

        if (text.empty()) {
            return;
        }

        while ((at = text.find('\n')) != std::string::npos) {
            text.replace(at, 1, "\\n");
        }

        printf("message %s %s\n", message.from().full().c_str(),
               text.c_str());
    }

    virtual void handleRegistrationFields(const JID &, int known,
        std::string)
    {
        registration->createAccount(known, fields);
    }

    virtual void handleRegistrationResult(const JID &,
        RegistrationResult result)
    {
        if (result != RegistrationSuccess) {
            fail("registration", result);
            client.disconnect();
            return;
        }

        puts(doing);

        if (!fields.username.empty()) {
            client.disconnect();
        }
    }

    virtual void handleAlreadyRegistered(const JID &)
    {
        fail("already registered", 0);
    }

    virtual void handleDataForm(const JID &, const DataForm &) { }
    virtual void handleOOB(const JID &, const OOB &) { }

    /* gloox tells the mechanism nowhere else. */
    virtual void handleLog(LogLevel, LogArea area, const std::string &text)
    {
        size_t  at, end;

        if (area != LogAreaXmlOutgoing || text.compare(0, 5, "<auth") != 0
            || (at = text.find("mechanism='")) == std::string::npos)
        {
            return;
        }

        at += strlen("mechanism='");
        end = text.find('\'', at);
        mechanism = text.substr(at, end - at);
    }

    /* TLSHandler, with direct TLS only */
    virtual void handleEncryptedData(const TLSBase *, const std::string &) { }
    virtual void handleDecryptedData(const TLSBase *, const std::string &) { }

    virtual void handleHandshakeResult(const TLSBase *, bool success,
        CertInfo &info)
    {
        secure = success && trusted(info);

        if (!secure) {
            client.disconnect();
        }
    }

private:
    void start();

    bool trusted(const CertInfo &info)
    {
        if (info.status != CertOk) {
            fail("certificate", info.status);
        }

        return info.status == CertOk;
    }

    Client              client;
    Registration       *registration;
    RegistrationFields  fields;
    std::string         mechanism;
    const char         *doing;
    bool                online, secure;
};


void
Session::start()
{
    DirectTLS            *tls;
    TrustingTLS          *starttls;
    ConnectionTCPClient  *tcp;

    secure = false;
    doing = "registered";

    tcp = new ConnectionTCPClient(client.logInstance(), host, port);

    if (way == "direct") {
        tls = new DirectTLS(tcp, client.logInstance());
        tls->registerTLSHandler(this);
        tls->registerConnectionDataHandler(&client);
        client.setConnectionImpl(tls);
        client.setTls(TLSDisabled);

    } else {
        tcp->registerConnectionDataHandler(&client);
        client.setConnectionImpl(tcp);
        client.setTls(TLSRequired);
        starttls = new TrustingTLS(&client);
        starttls->init();
        client.setEncryptionImpl(starttls);
    }

    client.setCompression(false);
    client.disableRoster();
    client.registerConnectionListener(this);
    client.registerMessageHandler(this);
    client.logInstance().registerLogHandler(LogLevelDebug, LogAreaAll, this);

    registration = new Registration(&client);
    registration->registerRegistrationHandler(this);
}


bool
Session::command(char *line)
{
    char  *to, *text;

    if (strncmp(line, "send ", 5) == 0
        && (text = strchr(line + 5, ' ')) != NULL)
    {
        to = line + 5;
        *text++ = '\0';
        client.send(Message(Message::Chat, JID(to), text));

    } else if (strncmp(line, "password ", 9) == 0) {
        doing = "changed";
        registration->changePassword(client.jid().username(), line + 9);

    } else if (strcmp(line, "remove") == 0) {
        doing = "removed";
        registration->removeAccount();

    } else {
        printf("failed unknown command: %s\n", line);
        status = 1;
    }

    return true;
}


/* False at the end of the input. */
static bool
commands(Session *session)
{
    static char    input[65536];
    static size_t  length;

    char           *end;
    ssize_t         n;
    struct pollfd   in = { STDIN_FILENO, POLLIN, 0 };

    while (poll(&in, 1, 0) > 0) {
        n = read(STDIN_FILENO, input + length, sizeof(input) - length);

        if (n <= 0) {
            return false;
        }

        length += n;

        while ((end = (char *) memchr(input, '\n', length)) != NULL) {
            *end++ = '\0';
            session->command(input);
            length -= end - input;
            memmove(input, end, length);
        }
    }

    return true;
}


int
main(int argc, char **argv)
{
    bool  more = true;
    JID   jid;

    if (argc != 7 && !(argc == 8 && strcmp(argv[7], "register") == 0)) {
        fprintf(stderr, "usage: gloox HOST PORT starttls|direct CA_FILE"
                        " JID PASSWORD [register]\n");
        return 2;
    }

    setvbuf(stdout, NULL, _IOLBF, 0);

    host = argv[1];
    port = atoi(argv[2]);
    way = argv[3];
    ca = argv[4];
    jid.setJID(argv[5]);
    domain = jid.server();

    if (argc == 8) {
        Session  session(domain);

        session.create(jid.username(), argv[6]);
        session.connect();

        while (session.receive()) { /* void */ }

        if (status) {
            return status;
        }
    }

    Session  session(jid, argv[6]);

    if (!session.connect()) {
        fail("no connection", 0);
    }

    while (session.receive()) {
        if (session.is_online() && more) {
            more = commands(&session);

            if (!more) {
                session.disconnect();
            }
        }
    }

    return status;
}
