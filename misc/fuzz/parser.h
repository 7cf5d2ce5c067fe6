
#ifndef _PARSER_H_INCLUDED_
#define _PARSER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <expat.h>

#include <ways.h>


#define MAX_ATTRS  (NGX_MAIL_XMPP_MAX_ATTRS + 1)


typedef struct {
    u_char      *data;
    size_t       len;
    size_t       size;
} bytes_t;


typedef struct {
    ngx_str_t    name;            /* as written */
    ngx_str_t    value;
} attr_t;


/* what expat sees, and what of it is not ours to take */

typedef struct {
    XML_Parser   parser;

    bytes_t      events;
    bytes_t      text;
    ngx_uint_t   leaf;

    attr_t       attrs[MAX_ATTRS];
    ngx_uint_t   nattrs;

    size_t       consumed;        /* up to the end of the last event */
    ngx_uint_t   level;
    ngx_uint_t   nbindings;

    ngx_uint_t   max_level;
    ngx_uint_t   max_attrs;
    ngx_uint_t   max_bindings;

    unsigned     restricted:1;    /* a comment, an instruction, a DTD */
    unsigned     text_between:1;  /* the children of the stream */
    unsigned     version:1;       /* is not 1.0 */
    unsigned     encoding:1;      /* is not UTF-8 */
} expat_t;


/* what the parser made of the bytes has to be what expat makes of them */
void compare_expat(log_t *log, u_char *in, size_t n);

/* hands bytes to expat, and some more if that is not NULL */
enum XML_Error expat_run(expat_t *e, const u_char *in, size_t n,
    const char *rest, int final);

/* one way to write events, for our parser's and for expat's; sorts "attrs" */
void write_start(bytes_t *events, ngx_uint_t depth, ngx_uint_t ns,
    ngx_uint_t default_ns, ngx_str_t *name, attr_t *attrs, ngx_uint_t nattrs);
void write_end(bytes_t *events, ngx_uint_t depth, ngx_uint_t ns,
    ngx_str_t *name, ngx_str_t *text);
void append(bytes_t *bytes, const void *p, size_t n);

/* any bytes as a text to be written, and as a JID */
void check_text(u_char *in, size_t n);
void check_jid(u_char *in, size_t n);


#endif /* _PARSER_H_INCLUDED_ */
