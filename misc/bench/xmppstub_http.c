
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include "xmppstub.h"


static int  stub_backend;


/* -1: to be closed when the answer is sent */

int
stub_request(stub_conn_t *c, const char *p, const char *last)
{
    int                  keep;
    size_t               len;
    const char          *end, *line, *eol;
    struct sockaddr_in  *addr;

    while (p < last) {

        end = memmem(p, last - p, "\r\n\r\n", 4);
        if (end == NULL) {
            return stub_keep(c, p, last);
        }

        end += 4;

        if (memcmp(p, "GET ", 4) != 0) {
            stub_say("HTTP/1.1 405 Method Not Allowed\r\n"
                     "Allow: GET\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n");
            return -1;
        }

        eol = memmem(p, end - p, "\r\n", 2);
        keep = eol - p > 8 && memcmp(eol - 8, "HTTP/1.1", 8) == 0;

        for (line = eol + 2; line < end - 2; line = eol + 2) {

            eol = memmem(line, end - line, "\r\n", 2);
            len = sizeof("Connection:") - 1;

            if ((size_t) (eol - line) < len
                || strncasecmp(line, "Connection:", len) != 0)
            {
                continue;
            }

            for (line += len; *line == ' '; line++) { /* void */ }

            if (eol - line == 5 && strncasecmp(line, "close", 5) == 0) {
                keep = 0;

            } else if (eol - line == 10
                       && strncasecmp(line, "keep-alive", 10) == 0)
            {
                keep = 1;
            }
        }

        addr = &stub_backends[stub_backend];
        stub_backend = (stub_backend + 1) % stub_nbackends;

        stub_say("HTTP/1.1 200 OK\r\nAuth-Status: OK\r\n"
                 "Auth-Server: %s\r\nAuth-Port: %d\r\n"
                 "Content-Length: 0\r\nConnection: %s\r\n\r\n",
                 inet_ntoa(addr->sin_addr), ntohs(addr->sin_port),
                 keep ? "keep-alive" : "close");

        if (!keep) {
            return -1;
        }

        p = end;
    }

    return 0;
}
