
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#ifndef _NGX_MAIL_XMPP_WRITE_H_INCLUDED_
#define _NGX_MAIL_XMPP_WRITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The XML to be sent is collected between "start" and "last".  It is all
 * right to write after a lack of memory: "failed" is set then, and has to be
 * looked at only once, before the XML is sent.
 */

typedef struct {
    ngx_pool_t     *pool;
    u_char         *start;
    u_char         *last;
    u_char         *end;
    ngx_uint_t      failed;  /* unsigned  failed:1; */
} ngx_mail_xmpp_out_t;


/*
 * All strings are escaped: these may be whatever came from outside.  Bytes
 * that may not stand in XML are replaced with U+FFFD.  A string that is NULL
 * or empty is left out together with its attribute or element.
 */

/* of a client's stream, or of a server's */
void ngx_mail_xmpp_write_stream(ngx_mail_xmpp_out_t *out, ngx_uint_t server,
    ngx_str_t *id, ngx_str_t *from, ngx_str_t *to);

/* "data" is what stands inside of the condition */
void ngx_mail_xmpp_write_stream_error(ngx_mail_xmpp_out_t *out,
    char *condition, ngx_str_t *data, ngx_str_t *text);
void ngx_mail_xmpp_write_stream_end(ngx_mail_xmpp_out_t *out);

void ngx_mail_xmpp_write_features(ngx_mail_xmpp_out_t *out);
void ngx_mail_xmpp_write_starttls(ngx_mail_xmpp_out_t *out,
    ngx_uint_t required);
void ngx_mail_xmpp_write_mechanisms(ngx_mail_xmpp_out_t *out,
    ngx_str_t *names, ngx_uint_t n);
void ngx_mail_xmpp_write_features_end(ngx_mail_xmpp_out_t *out);

void ngx_mail_xmpp_write_proceed(ngx_mail_xmpp_out_t *out);
void ngx_mail_xmpp_write_tls_failure(ngx_mail_xmpp_out_t *out);

/* "data" is the challenge itself, it is encoded in base64 here */
void ngx_mail_xmpp_write_challenge(ngx_mail_xmpp_out_t *out, ngx_str_t *data);
void ngx_mail_xmpp_write_success(ngx_mail_xmpp_out_t *out);
void ngx_mail_xmpp_write_failure(ngx_mail_xmpp_out_t *out,
    ngx_str_t *condition, ngx_str_t *text);

void ngx_mail_xmpp_write_auth_plain(ngx_mail_xmpp_out_t *out,
    ngx_str_t *user, ngx_str_t *passwd);

/* bytes that are XML already */
void ngx_mail_xmpp_write(ngx_mail_xmpp_out_t *out, u_char *data, size_t len);

/* overwrites all that was written, and starts anew */
void ngx_mail_xmpp_write_clear(ngx_mail_xmpp_out_t *out);


#endif /* _NGX_MAIL_XMPP_WRITE_H_INCLUDED_ */
