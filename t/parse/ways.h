
#ifndef _WAYS_H_INCLUDED_
#define _WAYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Hands a stream to the parser in many ways: whole, in pieces, with the buffer
 * compacted and not.  All of them have to make the same events.
 *
 * Nothing may be read behind the bytes that were handed over.  With
 * AddressSanitizer what is behind them is poisoned each time.  Without it, and
 * for code it can not see into, there is a fence: a page that is not readable.
 */


#define WAY_EVENTS  8192


typedef enum {
    piece_all = 0,
    piece_byte,
    piece_split,
    piece_random
} piece_e;


/* a way to hand a stream to the parser */

typedef struct {
    const char  *name;
    piece_e      piece;
    size_t       split;
    ngx_uint_t   compact;    /* 1 when more is needed, 2 behind a child too */
    u_char      *buf;
    size_t       size;
    u_char      *fence;      /* at the split, is opened behind it */
} way_t;


/* what the parser made of it, the events one behind the other in "data" */

typedef struct {
    u_char      *data;
    size_t       len;
    size_t       size;

    ngx_int_t    rc;
    char        *error;
    size_t       offset;

    /* of a buffer that is not compacted: up to here it is all right */
    size_t       good;
    ngx_uint_t   behind;     /* the tag is wrong as a whole, "offset" is its
                                end, "good" its start */

    ngx_uint_t   level;
    ngx_uint_t   closed;

    ngx_uint_t   n;

    struct {
        size_t      offset;    /* in the stream, behind the event */
        size_t      len;       /* of "data" then */
        u_char      event;
        u_char      depth;
    } events[WAY_EVENTS];
} log_t;


/*
 * An event in "data" is its head: event, depth, namespace, default namespace,
 * number of attributes, a byte each; then the name, the length of the prefix,
 * name and value of each attribute, and the text at the end of an element.
 * A number is a size_t, a string its length and its bytes.
 */

#define WAY_HEAD  5


/* all the ways, with each length and each split; takes a while */
void way_all(log_t *whole, u_char *in, size_t n);

void way_parse(log_t *log, u_char *in, size_t n, way_t *way);

/* is it as when all is handed over at once? */
void way_compare(log_t *log, log_t *whole, way_t *way);

/* the first n bytes have to make the events that end in these */
void way_prefix(log_t *log, log_t *whole, size_t n);

/* the longest header with a child, and all there is in between */
size_t way_room(log_t *log, size_t n);

/*
 * The fence: n bytes before it can be used, n bytes behind it as well once it
 * is opened.  The next call takes these back.
 */
u_char *way_fence(size_t n);

/* a number that is another one each time, the same ones after a seed */
extern uint32_t  way_seed;
uint32_t way_random(void);

/* reads a part of "data" */
u_char *way_get(void *dst, u_char *p, size_t n);

/* to be had by the program: something does not hold */
void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));


#endif /* _WAYS_H_INCLUDED_ */
