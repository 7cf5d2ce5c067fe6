
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "xmppload.h"


typedef struct {
    const char       *name;
    load_workload_e   workload;
    long              concurrency;
    long              connections;
    long              count;
    long              size;
    long              window;
    double            seconds;
} load_default_t;


static void load_usage(void)
    __attribute__ ((noreturn));
static const char *load_option(const char *arg, const char *name);
static void load_address(struct sockaddr_in *list, int *n, const char *text,
    int port);
static long load_number(const char *text, long min, long max);
static double load_real(const char *text);


static const load_default_t  load_defaults[] = {
    { "handshake", load_handshake, 50, 0, 0, 0, 0, 5 },
    { "login", load_login, 50, 0, 0, 0, 0, 5 },
    { "rate", load_rate, 0, 0, 0, 0, 0, 10 },
    { "storm", load_storm, 0, 0, 10000, 0, 0, 0 },
    { "idle", load_idle, 50, 0, 1000, 0, 0, 0 },
    { "messages", load_messages, 50, 50, 0, 200, 16, 5 },
    { "bulk", load_bulk, 50, 8, 0, 65536, 4, 5 },
    { "echo", load_echo, 50, 1, 5000, 200, 1, 0 },
    { NULL, 0, 0, 0, 0, 0, 0, 0 }
};


void
load_options(int argc, char **argv)
{
    int                    i;
    const char            *v;
    load_conf_t           *conf;
    const load_default_t  *d;

    conf = &load_conf;

    if (argc < 2) {
        load_usage();
    }

    for (d = load_defaults; d->name && strcmp(d->name, argv[1]) != 0; d++) {
        /* void */
    }

    if (d->name == NULL) {
        load_usage();
    }

    conf->workload = d->workload;
    conf->name = d->name;
    conf->concurrency = d->concurrency;
    conf->connections = d->connections;
    conf->count = d->count;
    conf->size = d->size;
    conf->window = d->window;
    conf->seconds = d->seconds;

    conf->tls = load_tls_direct;
    conf->domain = "example.com";
    conf->user = "u";
    conf->users = 1;
    conf->password = "secret";
    conf->cpu = -1;
    conf->processes = 1;
    conf->rate = 200;
    conf->timeout = 60;

    for (i = 2; i < argc; i++) {

        if ((v = load_option(argv[i], "--connect="))) {
            load_address(conf->connects, &conf->nconnects, v, 1);

        } else if ((v = load_option(argv[i], "--source="))) {
            load_address(conf->sources, &conf->nsources, v, 0);

        } else if ((v = load_option(argv[i], "--tls="))) {

            if (strcmp(v, "none") == 0) {
                conf->tls = load_tls_none;

            } else if (strcmp(v, "starttls") == 0) {
                conf->tls = load_tls_starttls;

            } else if (strcmp(v, "direct") == 0) {
                conf->tls = load_tls_direct;

            } else {
                load_usage();
            }

        } else if ((v = load_option(argv[i], "--domain="))) {
            conf->domain = v;

        } else if ((v = load_option(argv[i], "--user="))) {
            conf->user = v;

        } else if ((v = load_option(argv[i], "--users="))) {
            conf->users = load_number(v, 1, 10000000);

        } else if ((v = load_option(argv[i], "--password="))) {
            conf->password = v;

        } else if ((v = load_option(argv[i], "--ca="))) {
            conf->ca = v;

        } else if (strcmp(argv[i], "--tls13") == 0) {
            conf->tls13 = 1;

        } else if (strcmp(argv[i], "--resume") == 0) {
            conf->resume = 1;

        } else if (strcmp(argv[i], "--pipeline") == 0) {
            conf->pipeline = 1;

        } else if ((v = load_option(argv[i], "--cpu="))) {
            conf->cpu = load_number(v, 0, CPU_SETSIZE - 1);

        } else if ((v = load_option(argv[i], "--pid="))
                   && conf->npids < LOAD_LIST)
        {
            conf->pids[conf->npids++] = load_number(v, 1, 0x7fffffff);

        } else if ((v = load_option(argv[i], "--group="))
                   && conf->ngroup < LOAD_LIST)
        {
            conf->group[conf->ngroup++] = load_number(v, 1, 0x7fffffff);

        } else if ((v = load_option(argv[i], "--processes="))) {
            conf->processes = load_number(v, 1, LOAD_LIST);

        } else if ((v = load_option(argv[i], "--concurrency="))) {
            conf->concurrency = load_number(v, 1, LOAD_FILES);

        } else if ((v = load_option(argv[i], "--connections="))) {
            conf->connections = load_number(v, 1, LOAD_FILES);

        } else if ((v = load_option(argv[i], "--count="))) {
            conf->count = load_number(v, 1, 1000000000);

        } else if ((v = load_option(argv[i], "--size="))) {
            conf->size = load_number(v, 1, 16777216);

        } else if ((v = load_option(argv[i], "--window="))) {
            conf->window = load_number(v, 1, 65536);

        } else if ((v = load_option(argv[i], "--seconds="))) {
            conf->seconds = load_real(v);

        } else if ((v = load_option(argv[i], "--rate="))) {
            conf->rate = load_real(v);

        } else if ((v = load_option(argv[i], "--timeout="))) {
            conf->timeout = load_real(v);

        } else {
            load_usage();
        }
    }

    if (conf->nconnects == 0) {
        load_usage();
    }

    if (conf->workload == load_echo) {
        conf->connections = 1;
        conf->window = 1;
        conf->processes = 1;
    }

    if (conf->workload == load_storm && conf->concurrency == 0) {
        conf->concurrency = conf->count;
    }
}


static void
load_usage(void)
{
    fputs("usage: xmppload WORKLOAD --connect=ADDRESS:PORT ...\n"
          "         [--tls=direct|starttls|none] [--domain=example.com]\n"
          "         [--user=u] [--users=1] [--password=secret]\n"
          "         [--source=ADDRESS ...] [--ca=FILE] [--tls13] [--resume]\n"
          "         [--pipeline] [--timeout=60] [--processes=1] [--cpu=N]\n"
          "         [--pid=PID ...] [--group=PID ...]\n"
          "WORKLOAD: handshake [--concurrency=50] [--seconds=5|--count=N]\n"
          "          login [--concurrency=50] [--seconds=5|--count=N]\n"
          "          rate [--rate=200] [--seconds=10]\n"
          "          storm [--count=10000] [--concurrency=COUNT]\n"
          "          idle [--count=1000] [--concurrency=50]\n"
          "          messages [--connections=50] [--size=200] [--window=16]\n"
          "                   [--seconds=5]\n"
          "          bulk [--connections=8] [--size=65536] [--window=4]\n"
          "               [--seconds=5]\n"
          "          echo [--size=200] [--count=5000]\n", stderr);
    exit(2);
}


static const char *
load_option(const char *arg, const char *name)
{
    size_t  len;

    len = strlen(name);

    return strncmp(arg, name, len) == 0 ? arg + len : NULL;
}


static void
load_address(struct sockaddr_in *list, int *n, const char *text, int port)
{
    char                 host[INET_ADDRSTRLEN];
    size_t               len;
    const char          *colon;
    struct sockaddr_in  *addr;

    if (*n == LOAD_LIST) {
        load_usage();
    }

    addr = &list[(*n)++];
    len = strlen(text);

    if (port) {

        colon = strrchr(text, ':');
        if (colon == NULL) {
            load_usage();
        }

        len = colon - text;
        addr->sin_port = htons(load_number(colon + 1, 1, 65535));
    }

    if (len >= sizeof(host)) {
        load_usage();
    }

    memcpy(host, text, len);
    host[len] = '\0';

    addr->sin_family = AF_INET;

    if (inet_pton(AF_INET, host, &addr->sin_addr) != 1) {
        load_usage();
    }
}


static long
load_number(const char *text, long min, long max)
{
    long   n;
    char  *end;

    errno = 0;
    n = strtol(text, &end, 10);

    if (end == text || *end || errno || n < min || n > max) {
        load_usage();
    }

    return n;
}


static double
load_real(const char *text)
{
    char    *end;
    double   n;

    n = strtod(text, &end);

    if (end == text || *end || !(n > 0 && n < 1e6)) {
        load_usage();
    }

    return n;
}
