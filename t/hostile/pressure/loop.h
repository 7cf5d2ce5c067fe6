
/*
 * What the clients and the servers of the load share: sockets that never
 * block, an epoll loop, one line at a time from the test.
 */


#ifndef LOOP_H
#define LOOP_H


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define TICK  10        /* milliseconds */


extern int  loop;

void die(const char *what);
void *allocate(void *old, size_t size);
double now(void);
void unblock(int fd);
void watch(int fd, int op, uint32_t events, void *data);

/* a test that is killed leaves nothing behind; the limit is what there is */
void begin(void);

/* calls back with each line of standard input */
void commands(void (*handler)(char *line));


#endif
