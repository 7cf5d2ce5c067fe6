
#ifndef _PARSER_STREAMS_H_INCLUDED_
#define _PARSER_STREAMS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * A stream in a transcript of t/interop/transcripts: what came from its header
 * on, in the pieces in which it was sent.
 */

#define STREAM_CLIENT   0x01    /* what a client sends till its login */
#define STREAM_SERVER   0x02    /* what it is answered, and the header and the
                                   features of the server behind nginx */
#define STREAM_WHOLE    0x04    /* all that either of them has sent */

#define STREAM_SETUP    (STREAM_CLIENT|STREAM_SERVER)


typedef struct {
    ngx_uint_t   kind;
    ngx_uint_t   client;    /* is what a client has sent */
    ngx_uint_t   file;      /* the number of its transcript */
    u_char      *data;
    size_t       len;
    size_t      *ends;      /* of the pieces */
    ngx_uint_t   n;
} stream_t;


extern stream_t    *streams;
extern ngx_uint_t   nstreams;


/* adds the streams of a transcript, ends the program if it is none */

void streams_read(const char *name, ngx_uint_t file);


#endif /* _PARSER_STREAMS_H_INCLUDED_ */
