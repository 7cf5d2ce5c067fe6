
#ifndef CLIENTS_H
#define CLIENTS_H


#include "loop.h"

#include <openssl/ssl.h>
#include <openssl/err.h>


#define CONNECTING  128         /* at a time, the peer's queue is bounded */
#define WINDOW      4           /* messages on their way */
#define MAX_STEPS   32
#define MAX_IN      65536
#define MAX_TEXT    1000
#define MAX_MESSAGE 16384

enum { send_step, want_step, tls_step, echo_step, deaf_step, hold_step,
       close_step, reset_step };

typedef struct {
    int             kind;
    const char     *text;
    unsigned long   n;
} step_t;

typedef struct client_s  client_t;

struct client_s {
    int             fd;
    SSL            *ssl;
    unsigned        number;
    unsigned        connected:1;
    unsigned        begun:1;    /* this step */
    unsigned        secure:1;
    unsigned        broken:1;   /* nothing can be sent */
    unsigned        tls_writes:1;
    int             step;
    int             watched;
    double          started;
    double          deadline;
    double          next_message;

    char           *in;
    size_t          in_len;
    char           *out;
    size_t          out_len;

    unsigned long   sent;       /* messages */
    unsigned long   got;
    size_t          got_bytes;      /* of the next one */

    client_t       *next;
    client_t       *prev;
};


extern double         timeout;      /* of a step */
extern const char    *name;
extern unsigned long  echoed;


/* appends to what is to be sent */
void say(client_t *c, const char *bytes, size_t len);

/* sends what can be sent */
void flush(client_t *c);

/* reads what there is; NULL, or how the peer has ended */
const char *fill(client_t *c);

/* a text with the number of the client in it; its length */
size_t expand(client_t *c, char *buf, size_t size, const char *text);

/* one of "echo"; its length */
size_t message(client_t *c, unsigned long n, char *buf);

/* what has come back is compared; 0 if it is wrong */
int compare(client_t *c);

/* how it has ended; what ends alike is counted together */
void result(client_t *c, const char *outcome);
void print_results(void);


#endif
