/*
 * A QXmpp client: one message out, one in.
 */

#include <stdio.h>

#include <QCoreApplication>
#include <QRegularExpression>
#include <QSslCertificate>
#include <QSslSocket>
#include <QTimer>

#include <QXmppClient.h>
#include <QXmppConfiguration.h>
#include <QXmppLogger.h>
#include <QXmppMessage.h>


int
main(int argc, char **argv)
{
    bool                answered = false;
    QString             mechanism;
    QXmppClient         client;
    QXmppConfiguration  conf;
    QCoreApplication    app(argc, argv);

    auto fail = [&](const QString &why) {
        fprintf(stderr, "%s\n", qUtf8Printable(why));
        app.exit(1);
    };

    setvbuf(stdout, NULL, _IOLBF, 0);

    conf.setJid(qEnvironmentVariable("XMPP_USER") + '@'
                + qEnvironmentVariable("XMPP_DOMAIN"));
    conf.setPassword(qEnvironmentVariable("XMPP_PASSWORD"));
    conf.setHost(qEnvironmentVariable("XMPP_HOST"));
    conf.setPort(qEnvironmentVariableIntValue("XMPP_PORT"));
    conf.setCaCertificates(
        QSslCertificate::fromPath(qEnvironmentVariable("XMPP_CA")));
    conf.setIgnoreSslErrors(false);
    conf.setStreamSecurityMode(qEnvironmentVariable("XMPP_TLS") == "direct"
                               ? QXmppConfiguration::LegacySSL
                               : QXmppConfiguration::TLSRequired);
    conf.setAutoReconnectionEnabled(false);

    /* QXmpp tells the mechanism to its log only. */
    client.logger()->setLoggingType(QXmppLogger::SignalLogging);

    QObject::connect(client.logger(), &QXmppLogger::message,
        [&](QXmppLogger::MessageType type, const QString &text) {
            static const QRegularExpression  re(
                "<auth [^>]*mechanism=[\"']([^\"']+)");
            auto                             found = re.match(text);

            if (type == QXmppLogger::SentMessage && found.hasMatch()) {
                mechanism = found.captured(1);
            }
        });

    QObject::connect(&client, &QXmppClient::connected, [&]() {
        printf("connected %s\n", qPrintable(mechanism));

        QXmppMessage  message("", qEnvironmentVariable("XMPP_PEER"),
                              qEnvironmentVariable("XMPP_SEND"));
        client.sendPacket(message);
    });

    QObject::connect(&client, &QXmppClient::messageReceived,
        [&](const QXmppMessage &message) {
            if (!message.body().isEmpty()
                && message.from().section('/', 0, 0)
                   == qEnvironmentVariable("XMPP_PEER"))
            {
                printf("received %s\n", qUtf8Printable(message.body()));
                answered = true;
                client.disconnectFromServer();
            }
        });

    QObject::connect(&client, &QXmppClient::disconnected, [&]() {
        app.exit(answered ? 0 : 1);
    });

    QObject::connect(&client, &QXmppClient::error,
        [&](QXmppClient::Error error) {
            fail(QString("error %1").arg(error));
        });

    QObject::connect(&client, &QXmppClient::sslErrors,
        [&](const QList<QSslError> &errors) {
            fail(errors.first().errorString());
        });

    QTimer::singleShot(40000, [&]() { fail("no answer"); });

    client.connectToServer(conf);

    return app.exec();
}
