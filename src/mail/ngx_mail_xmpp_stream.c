
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static ngx_int_t ngx_mail_xmpp_client_header(ngx_mail_session_t *s,
    ngx_connection_t *c);
static void ngx_mail_xmpp_write_offer(ngx_mail_session_t *s,
    ngx_connection_t *c);


static char  *ngx_mail_xmpp_stream_conditions[] = {
    "not-authorized",
    "bad-format",
    "bad-namespace-prefix",
    "conflict",
    "connection-timeout",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-well-formed",
    "policy-violation",
    "remote-connection-failed",
    "reset",
    "resource-constraint",
    "restricted-xml",
    "see-other-host",
    "system-shutdown",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
    NULL
};


ngx_int_t
ngx_mail_xmpp_stream_header(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_int_t                rc;
    ngx_uint_t               stream;
    ngx_mail_xmpp_ctx_t     *ctx;
    ngx_mail_xmpp_parser_t  *p;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    p = ctx->parser;

    switch (p->default_ns) {

    case NGX_MAIL_XMPP_NS_CLIENT:
        stream = NGX_MAIL_XMPP_CLIENT;
        break;

    case NGX_MAIL_XMPP_NS_SERVER:
        stream = NGX_MAIL_XMPP_SERVER;
        break;

    default:
        stream = 0;
    }

    if (p->ns != NGX_MAIL_XMPP_NS_STREAM
        || !(stream & ngx_mail_xmpp_streams(s, c)))
    {
        return ngx_mail_xmpp_stream_error(s, c, "invalid-namespace",
                                   "client sent header in wrong namespace");
    }

    if (p->name.len != sizeof("stream") - 1
        || ngx_memcmp(p->name.data, "stream", sizeof("stream") - 1) != 0)
    {
        return ngx_mail_xmpp_stream_error(s, c, "bad-format",
                                          "client sent no stream header");
    }

    ctx->server = (stream == NGX_MAIL_XMPP_SERVER);

    ctx->version = (ngx_mail_xmpp_version(ngx_mail_xmpp_parse_attr(p,
                                                                "version"))
                    == NGX_OK);

    rc = ctx->server ? ngx_mail_xmpp_server_header(s, c)
                     : ngx_mail_xmpp_client_header(s, c);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_MAIL, c->log, 0,
                   "xmpp stream to \"%V\" from \"%V\", server:%d",
                   &ctx->domain, &ctx->from, ctx->server);

    if (ngx_mail_xmpp_pass(s, c)) {
        ctx->pass = 1;
        s->auth_method = NGX_MAIL_AUTH_NONE;

        ngx_mail_xmpp_auth_init(s, c);

        return NGX_DONE;
    }

    ngx_mail_xmpp_write_header(s, &ctx->out);
    ngx_mail_xmpp_write_offer(s, c);

    return NGX_OK;
}


/* XEP-0368: if a protocol was negotiated, the stream has to be of that kind */

ngx_uint_t
ngx_mail_xmpp_streams(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_srv_conf_t  *xscf;
#if (NGX_MAIL_SSL)
#ifdef TLSEXT_TYPE_application_layer_protocol_negotiation
    unsigned int               len;
    const unsigned char       *data;
#endif
#endif

    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

#if (NGX_MAIL_SSL)
#ifdef TLSEXT_TYPE_application_layer_protocol_negotiation

    if (c->ssl) {
        SSL_get0_alpn_selected(c->ssl->connection, &data, &len);

        if (len == sizeof("xmpp-client") - 1
            && ngx_memcmp(data, "xmpp-client", len) == 0)
        {
            return NGX_MAIL_XMPP_CLIENT;
        }

        if (len == sizeof("xmpp-server") - 1
            && ngx_memcmp(data, "xmpp-server", len) == 0)
        {
            return NGX_MAIL_XMPP_SERVER;
        }
    }

#endif
#endif

    return xscf->streams & NGX_MAIL_XMPP_ANY;
}


static ngx_int_t
ngx_mail_xmpp_client_header(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_int_t             rc;
    ngx_str_t             local;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    rc = ngx_mail_xmpp_stream_to(s, c);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_mail_xmpp_stream_from(s, c, &local);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client sent invalid address in stream header, ignored");
    }

    if (!ctx->version) {
        return ngx_mail_xmpp_stream_error(s, c, "unsupported-version",
                                          "client sent unsupported version");
    }

    return NGX_OK;
}


ngx_int_t
ngx_mail_xmpp_stream_to(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_str_t                 *value, domain;
    ngx_uint_t                 i;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    value = ngx_mail_xmpp_parse_attr(ctx->parser, "to");

    if (value == NULL) {
        return ngx_mail_xmpp_stream_error(s, c, "improper-addressing",
                                          "client sent no domain");
    }

    domain.data = ngx_pnalloc(ctx->pool, value->len + 1);
    if (domain.data == NULL) {
        return NGX_ERROR;
    }

    domain.len = ngx_mail_xmpp_decode(domain.data, value);

    if (ngx_mail_xmpp_jid_domain(&domain) != NGX_OK) {
        return ngx_mail_xmpp_stream_error(s, c, "improper-addressing",
                                          "client sent invalid domain");
    }

    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    if (xscf->domains) {
        value = xscf->domains->elts;

        for (i = 0; i < xscf->domains->nelts; i++) {
            if (value[i].len == domain.len
                && ngx_memcmp(value[i].data, domain.data, domain.len) == 0)
            {
                break;
            }
        }

        if (i == xscf->domains->nelts) {
            return ngx_mail_xmpp_stream_error(s, c, "host-unknown",
                                       "client sent unknown domain");
        }
    }

    ctx->domain = domain;

    return NGX_OK;
}


/* it is only sent back, and passed on to the auth server */

ngx_int_t
ngx_mail_xmpp_stream_from(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *local)
{
    ngx_str_t            *value, domain, jid;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_str_null(local);

    value = ngx_mail_xmpp_parse_attr(ctx->parser, "from");

    if (value == NULL) {
        return NGX_OK;
    }

    jid.data = ngx_pnalloc(ctx->pool, value->len + 1);
    if (jid.data == NULL) {
        return NGX_ERROR;
    }

    jid.len = ngx_mail_xmpp_decode(jid.data, value);

    if (ngx_mail_xmpp_jid_split(&jid, local, &domain) != NGX_OK) {
        return NGX_DECLINED;
    }

    ctx->from.data = jid.data;
    ctx->from.len = domain.data + domain.len - jid.data;

    return NGX_OK;
}


/* RFC 6120, 4.7.5: the numbers may have leading zeros */

ngx_int_t
ngx_mail_xmpp_version(ngx_str_t *version)
{
    u_char     *dot, *last;
    ngx_int_t   major, minor;

    if (version == NULL) {
        return NGX_DECLINED;
    }

    last = version->data + version->len;

    dot = ngx_strlchr(version->data, last, '.');
    if (dot == NULL) {
        return NGX_DECLINED;
    }

    major = ngx_atoi(version->data, dot - version->data);
    minor = ngx_atoi(dot + 1, last - dot - 1);

    if (major == NGX_ERROR || minor == NGX_ERROR || major < 1) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_mail_xmpp_write_header(ngx_mail_session_t *s, ngx_mail_xmpp_out_t *out)
{
    u_char                random[16], hex[32];
    ngx_str_t             id, *domain, *from;
    ngx_uint_t            server;
    ngx_mail_xmpp_ctx_t  *ctx;

    if (ngx_mail_xmpp_random(s->connection->log, random, sizeof(random))
        != NGX_OK)
    {
        out->failed = 1;
        return;
    }

    id.data = hex;
    id.len = ngx_hex_dump(hex, random, sizeof(random)) - hex;

    domain = NULL;
    from = NULL;

    ctx = s->ctx ? ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module) : NULL;

    if (ctx) {
        domain = &ctx->domain;
        from = &ctx->from;
        server = ctx->server;

        ctx->stream = 1;

    } else {
        server = (ngx_mail_xmpp_streams(s, s->connection)
                  == NGX_MAIL_XMPP_SERVER);
    }

    ngx_mail_xmpp_write_stream(out, server, &id, domain, from);
}


static void
ngx_mail_xmpp_write_offer(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_mail_xmpp_ctx_t  *ctx;
#if (NGX_MAIL_SSL)
    ngx_mail_ssl_conf_t  *sslcf;
#endif

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_mail_xmpp_write_features(&ctx->out);

#if (NGX_MAIL_SSL)

    sslcf = ngx_mail_get_module_srv_conf(s, ngx_mail_ssl_module);

    if (c->ssl == NULL && sslcf->starttls != NGX_MAIL_STARTTLS_OFF) {
        ngx_mail_xmpp_write_starttls(&ctx->out,
                                 sslcf->starttls == NGX_MAIL_STARTTLS_ONLY);
    }

#endif

    if (!ctx->server) {
        ngx_mail_xmpp_sasl_features(s, c);
    }

    ngx_mail_xmpp_write_features_end(&ctx->out);
}


ngx_int_t
ngx_mail_xmpp_stream_error(ngx_mail_session_t *s, ngx_connection_t *c,
    char *condition, char *reason)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_log_error(NGX_LOG_INFO, c->log, c->timedout ? NGX_ETIMEDOUT : 0,
                  "%s: %s", reason, condition);

    if (s->out.len) {
        /* a client that does not read would not read this either */
        ngx_mail_close_connection(c);
        return NGX_DONE;
    }

    ngx_mail_xmpp_write_clear(&ctx->out);

    if (!ctx->stream) {
        ngx_mail_xmpp_write_header(s, &ctx->out);
    }

    ngx_mail_xmpp_write_stream_error(&ctx->out, condition, NULL, NULL);

    s->quit = 1;

    ngx_mail_xmpp_flush(s, c);

    return NGX_DONE;
}


char *
ngx_mail_xmpp_stream_condition(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; ngx_mail_xmpp_stream_conditions[i]; i++) {
        if (ngx_strlen(ngx_mail_xmpp_stream_conditions[i]) == name->len
            && ngx_strncmp(ngx_mail_xmpp_stream_conditions[i], name->data,
                           name->len)
               == 0)
        {
            return ngx_mail_xmpp_stream_conditions[i];
        }
    }

    return ngx_mail_xmpp_stream_conditions[0];
}


/*
 * s->out is a stream error.  It becomes a failure of an authentication that
 * is in progress, and needs a header before it if there was none yet.  If the
 * stream was to be passed on, somebody who is needed for that has failed.
 */

void
ngx_mail_xmpp_error_handler(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;
    ngx_mail_xmpp_out_t   out;

    static ngx_str_t  temporary = ngx_string("temporary-auth-failure");

    ngx_memzero(&out, sizeof(ngx_mail_xmpp_out_t));
    out.pool = s->connection->pool;

    /* there is no context till the session is initialized */

    ctx = s->ctx ? ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module) : NULL;

    if (ctx) {
        ngx_mail_xmpp_forget(s);
    }

    if (ctx && ctx->pending && !ctx->pass) {
        ngx_mail_xmpp_write_failure(&out, &temporary, NULL);
        ngx_mail_xmpp_write_stream_end(&out);

    } else {

        if (ctx == NULL || !ctx->stream) {
            ngx_mail_xmpp_write_header(s, &out);
        }

        if (s->connection->close) {
            ngx_mail_xmpp_write_stream_error(&out, "system-shutdown",
                                             NULL, NULL);

        } else if (ctx && ctx->pending) {
            ngx_mail_xmpp_write_stream_error(&out, "remote-connection-failed",
                                             NULL, NULL);

        } else {
            ngx_mail_xmpp_write(&out, s->out.data, s->out.len);
        }
    }

    if (!out.failed) {
        s->out.data = out.start;
        s->out.len = out.last - out.start;
    }
}


/* cryptographically strong, as these must not be guessed */

ngx_int_t
ngx_mail_xmpp_random(ngx_log_t *log, u_char *buf, size_t len)
{
#if (NGX_OPENSSL)

    if (RAND_bytes(buf, (int) len) == 1) {
        return NGX_OK;
    }

    ngx_ssl_error(NGX_LOG_ERR, log, 0, "RAND_bytes() failed");

    return NGX_ERROR;

#else

    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file("/dev/urandom", NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      ngx_open_file_n " \"/dev/urandom\" failed");
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, buf, len);

    (void) ngx_close_file(fd);

    if (n == (ssize_t) len) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                  ngx_read_fd_n " \"/dev/urandom\" failed");

    return NGX_ERROR;

#endif
}
