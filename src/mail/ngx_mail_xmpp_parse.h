
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _NGX_MAIL_XMPP_PARSE_H_INCLUDED_
#define _NGX_MAIL_XMPP_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the limits, each is answered with "policy-violation" */

#define NGX_MAIL_XMPP_MAX_DEPTH       32
#define NGX_MAIL_XMPP_MAX_ATTRS       32
#define NGX_MAIL_XMPP_MAX_BINDINGS    32


/* the namespaces that are told apart */

#define NGX_MAIL_XMPP_NS_NONE         0
#define NGX_MAIL_XMPP_NS_OTHER        1
#define NGX_MAIL_XMPP_NS_XML          2
#define NGX_MAIL_XMPP_NS_XMLNS        3
#define NGX_MAIL_XMPP_NS_CLIENT       4
#define NGX_MAIL_XMPP_NS_SERVER       5
#define NGX_MAIL_XMPP_NS_STREAM       6
#define NGX_MAIL_XMPP_NS_TLS          7
#define NGX_MAIL_XMPP_NS_SASL         8


typedef enum {
    ngx_mail_xmpp_stream_start = 0,
    ngx_mail_xmpp_stream_end,
    ngx_mail_xmpp_element_start,
    ngx_mail_xmpp_element_end
} ngx_mail_xmpp_event_e;


typedef struct {
    ngx_str_t                  name;      /* as written, with the prefix */
    size_t                     prefix;    /* its length, 0 if none */
    ngx_str_t                  value;     /* raw */
    ngx_uint_t                 plain;     /* the value stands for what is
                                             written, in ASCII */
} ngx_mail_xmpp_attr_t;


typedef struct {
    ngx_str_t                  prefix;    /* empty for "xmlns", which is only
                                             counted */
    ngx_str_t                  uri;       /* raw */
    unsigned                   ns:8;
    unsigned                   plain:1;   /* compared as it is written */

    /* not known till there is need of it */

    unsigned                   hashed:1;
    unsigned                   id:8;      /* the same for equal namespaces */
    uint32_t                   hash;      /* of what the value stands for */
} ngx_mail_xmpp_binding_t;


typedef struct {
    ngx_str_t                  name;      /* as written, with the prefix */
    size_t                     prefix;    /* its length, 0 if none */
    unsigned                   ns:8;

    /* outside of it */

    unsigned                   outer_ns:8;  /* the default one */
    unsigned                   outer:8;     /* the number of bindings */
} ngx_mail_xmpp_element_t;


/*
 * A parser is made by ngx_mail_xmpp_parse_init() when a stream starts, is fed
 * by ngx_mail_xmpp_parse() till the stream ends or proves to be broken, and
 * is made anew when the stream is restarted.
 */

typedef struct {
    ngx_uint_t                 state;

    /* the last event */

    ngx_mail_xmpp_event_e      event;
    ngx_uint_t                 depth;     /* 0 is the stream itself */
    ngx_str_t                  name;      /* without the prefix */
    ngx_uint_t                 ns;
    ngx_uint_t                 default_ns;
    ngx_str_t                  text;      /* raw */
    char                      *error;     /* a stream error condition */

    ngx_uint_t                 nattrs;
    ngx_uint_t                 nbindings;
    ngx_uint_t                 level;     /* the number of open elements */
    ngx_uint_t                 inner_ns;  /* the default one inside of these */

    /* the markup that is being read */

    u_char                    *child;     /* of the stream, where it starts;
                                             or its declaration */
    u_char                    *markup;
    u_char                    *start;
    u_char                    *text_start;
    u_char                    *entity;
    ngx_mail_xmpp_element_t   *element;
    ngx_mail_xmpp_attr_t      *attr;
    uint32_t                   lens;      /* of the names of attributes */

    uint32_t                   code;      /* of a character */
    u_char                    *code_start;

    ngx_uint_t                 outer;     /* the state behind a character, */
    ngx_uint_t                 saved;     /* that behind a reference, */
    ngx_uint_t                 reference; /* and the state inside of it */
    ngx_uint_t                 match;

    u_char                     low;       /* bounds of the next UTF-8 byte */
    u_char                     high;
    u_char                     quote;
    u_char                     brackets;

    unsigned                   need:2;    /* UTF-8 bytes to come */
    unsigned                   begun:1;
    unsigned                   declaration:1;
    unsigned                   leaf:1;
    unsigned                   empty:1;

    /* one more than allowed, till its name is read */

    ngx_mail_xmpp_attr_t       attrs[NGX_MAIL_XMPP_MAX_ATTRS + 1];
    ngx_mail_xmpp_element_t    elements[NGX_MAIL_XMPP_MAX_DEPTH + 1];
    ngx_mail_xmpp_binding_t    bindings[NGX_MAIL_XMPP_MAX_BINDINGS];
} ngx_mail_xmpp_parser_t;


void ngx_mail_xmpp_parse_init(ngx_mail_xmpp_parser_t *p);


/*
 * ngx_mail_xmpp_parse() accepts the subset of XML that RFC 6120, section 11,
 * leaves to XMPP, and white space before an XML declaration, as it may be
 * left from the stream before.
 *
 * It reads from b->pos up to the next event, and moves b->pos behind it.  It
 * never reads at or behind b->last, does not change the bytes, and copies
 * nothing: the strings it reports point into the buffer.  Therefore the header
 * of a stream, and the declaration before it, have to stay where these are as
 * long as the stream lasts, and so does a child of the stream till its end was
 * reported.  Nothing may be moved but by ngx_mail_xmpp_parse_compact().
 *
 * NGX_OK     there is an event:
 *
 *     stream_start   the header of the stream: "name", "ns", "default_ns",
 *                    "attrs"
 *     element_start  a start tag: "depth" (1 is a child of the stream),
 *                    "name", "ns", "attrs"
 *     element_end    an end tag: "depth", "name", "ns", and, if the element
 *                    had no children, "text"
 *     stream_end     the end tag of the stream
 *
 *                An empty-element tag is reported as a start and an end.
 *
 * NGX_AGAIN  all the bytes are read, and there is no event yet.
 *
 * NGX_ERROR  "error" has the condition of a stream error; b->pos is at the
 *            byte in question, or behind the tag.
 *
 * Attribute values and texts are checked but still raw: these have references
 * and CDATA sections in them till ngx_mail_xmpp_decode() is called.
 */

ngx_int_t ngx_mail_xmpp_parse(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b);


/*
 * makes room in the buffer: moves what has to stay, and what is not parsed
 * yet, to "to", which is the end of the header, or the start of the buffer if
 * there is none yet, and overwrites what is left behind with zeros
 */

void ngx_mail_xmpp_parse_compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b,
    u_char *to);


/* true if there is one more event without any more bytes */

#define ngx_mail_xmpp_parse_pending(p)  ((p)->empty)


/*
 * returns the raw value of an attribute of the last start tag or header, NULL
 * if there is none; a name with a prefix is looked up as it is written
 */

#define ngx_mail_xmpp_parse_attr(p, name)                                     \
    ngx_mail_xmpp_attr(p, name, ngx_strlen(name))

ngx_str_t *ngx_mail_xmpp_attr(ngx_mail_xmpp_parser_t *p, char *name,
    size_t len);


/*
 * writes the characters of a raw text to a buffer of at least src->len bytes,
 * returns the number of bytes; the buffer may be the text itself; white space
 * is left as it is, line ends included
 */

size_t ngx_mail_xmpp_decode(u_char *dst, ngx_str_t *src);


/*
 * reads a character from at least one byte at *p, and moves *p behind it;
 * NGX_MAIL_XMPP_INVALID if there is no valid UTF-8 sequence
 */

#define NGX_MAIL_XMPP_INVALID  0xffffffff

uint32_t ngx_mail_xmpp_utf8_decode(u_char **p, u_char *last);


/* Extensible Markup Language 1.0: Char, NameStartChar, NameChar */

ngx_uint_t ngx_mail_xmpp_xml_char(uint32_t code);
ngx_uint_t ngx_mail_xmpp_xml_name_start(uint32_t code);
ngx_uint_t ngx_mail_xmpp_xml_name(uint32_t code);


/* the parts of the parser outside of its state machine */

#define NGX_MAIL_XMPP_CH_SPACE   0x01
#define NGX_MAIL_XMPP_CH_START   0x02    /* may start a name */
#define NGX_MAIL_XMPP_CH_NAME    0x04    /* may stand in a name */
#define NGX_MAIL_XMPP_CH_TEXT    0x08    /* nothing special in a text */
#define NGX_MAIL_XMPP_CH_VALUE   0x10    /* nothing special in a value */
#define NGX_MAIL_XMPP_CH_QNAME   0x20    /* in a name, or its colon */

extern u_char  ngx_mail_xmpp_class[256];

/* the length of "[CDATA[" */

#define NGX_MAIL_XMPP_CDATA      7

ngx_int_t ngx_mail_xmpp_utf8(ngx_mail_xmpp_parser_t *p, u_char ch);
ngx_int_t ngx_mail_xmpp_read_cdata(ngx_mail_xmpp_parser_t *p, u_char ch);
ngx_int_t ngx_mail_xmpp_read_reference(ngx_mail_xmpp_parser_t *p, u_char ch,
    u_char *pos);
ngx_uint_t ngx_mail_xmpp_attr_again(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_attr_t *attr);
ngx_int_t ngx_mail_xmpp_declaration(ngx_mail_xmpp_parser_t *p);
ngx_uint_t ngx_mail_xmpp_ns(ngx_str_t *uri);
ngx_uint_t ngx_mail_xmpp_ns_decoded(ngx_str_t *uri);
ngx_mail_xmpp_binding_t *ngx_mail_xmpp_binding(ngx_mail_xmpp_parser_t *p,
    u_char *prefix, size_t len);
ngx_uint_t ngx_mail_xmpp_namespace_id(ngx_mail_xmpp_parser_t *p,
    ngx_mail_xmpp_binding_t *binding);
ngx_int_t ngx_mail_xmpp_start_tag(ngx_mail_xmpp_parser_t *p);
ngx_int_t ngx_mail_xmpp_end_tag(ngx_mail_xmpp_parser_t *p);
ngx_int_t ngx_mail_xmpp_error(ngx_mail_xmpp_parser_t *p, char *error);
u_char ngx_mail_xmpp_entity(u_char *name, size_t len);
uint32_t ngx_mail_xmpp_reference(u_char **p, u_char *last);


#endif /* _NGX_MAIL_XMPP_PARSE_H_INCLUDED_ */
