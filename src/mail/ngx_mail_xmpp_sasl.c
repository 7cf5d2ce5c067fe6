
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static char *ngx_mail_xmpp_sasl_refuse(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_uint_t i);
static ngx_int_t ngx_mail_xmpp_sasl_start(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_uint_t i);
static ngx_int_t ngx_mail_xmpp_sasl_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *data);
static ngx_int_t ngx_mail_xmpp_sasl_decode(ngx_mail_session_t *s,
    ngx_str_t *data, ngx_str_t *decoded);


/* in the order of preference */

static struct {
    ngx_str_t                   name;
    ngx_uint_t                  enabled;
    ngx_uint_t                  method;
    ngx_mail_xmpp_sasl_state_e  state;
} ngx_mail_xmpp_mechanisms[] = {

    { ngx_string("EXTERNAL"),
      NGX_MAIL_AUTH_EXTERNAL_ENABLED,
      NGX_MAIL_AUTH_EXTERNAL,
      ngx_mail_xmpp_sasl_external },

    { ngx_string("CRAM-MD5"),
      NGX_MAIL_AUTH_CRAM_MD5_ENABLED,
      NGX_MAIL_AUTH_CRAM_MD5,
      ngx_mail_xmpp_sasl_cram_md5 },

    { ngx_string("PLAIN"),
      NGX_MAIL_AUTH_PLAIN_ENABLED,
      NGX_MAIL_AUTH_PLAIN,
      ngx_mail_xmpp_sasl_plain },

    { ngx_string("LOGIN"),
      NGX_MAIL_AUTH_LOGIN_ENABLED,
      NGX_MAIL_AUTH_LOGIN,
      ngx_mail_xmpp_sasl_login_user }
};

#define NGX_MAIL_XMPP_MECHANISMS                                              \
    (sizeof(ngx_mail_xmpp_mechanisms) / sizeof(ngx_mail_xmpp_mechanisms[0]))


static ngx_str_t  ngx_mail_xmpp_conditions[] = {
    ngx_string("not-authorized"),
    ngx_string("aborted"),
    ngx_string("account-disabled"),
    ngx_string("credentials-expired"),
    ngx_string("encryption-required"),
    ngx_string("incorrect-encoding"),
    ngx_string("invalid-authzid"),
    ngx_string("invalid-mechanism"),
    ngx_string("malformed-request"),
    ngx_string("mechanism-too-weak"),
    ngx_string("temporary-auth-failure"),
    ngx_null_string
};


void
ngx_mail_xmpp_sasl_features(ngx_mail_session_t *s, ngx_connection_t *c)
{
    char                      *reason;
    ngx_str_t                  names[NGX_MAIL_XMPP_MECHANISMS];
    ngx_uint_t                 i, n;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);
    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    n = 0;

    for (i = 0; i < NGX_MAIL_XMPP_MECHANISMS; i++) {

        if (!(ngx_mail_xmpp_mechanisms[i].enabled & xscf->auth_methods)) {
            continue;
        }

        reason = ngx_mail_xmpp_sasl_refuse(s, c, i);

        if (reason) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0, "not offering %V: %s",
                          &ngx_mail_xmpp_mechanisms[i].name, reason);
            continue;
        }

        names[n++] = ngx_mail_xmpp_mechanisms[i].name;
    }

    if (n) {
        ngx_mail_xmpp_write_mechanisms(&ctx->out, names, n);
    }
}


/* returns an index, or the number of mechanisms for an unknown one */

ngx_uint_t
ngx_mail_xmpp_sasl_mechanism(ngx_str_t *name)
{
    u_char      buf[64];
    size_t      len;
    ngx_uint_t  i;

    if (name == NULL || name->len > sizeof(buf)) {
        return NGX_MAIL_XMPP_MECHANISMS;
    }

    len = ngx_mail_xmpp_decode(buf, name);

    for (i = 0; i < NGX_MAIL_XMPP_MECHANISMS; i++) {
        if (ngx_mail_xmpp_mechanisms[i].name.len == len
            && ngx_memcmp(ngx_mail_xmpp_mechanisms[i].name.data, buf, len)
               == 0)
        {
            break;
        }
    }

    return i;
}


/* returns the reason why a mechanism may not be used now */

static char *
ngx_mail_xmpp_sasl_refuse(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_uint_t i)
{
#if (NGX_MAIL_SSL)
    X509  *cert;

    if (ngx_mail_starttls_only(s, c)) {
        return "connection is not encrypted";
    }
#endif

    if (ngx_mail_xmpp_mechanisms[i].method != NGX_MAIL_AUTH_EXTERNAL) {
        return NULL;
    }

#if (NGX_MAIL_SSL)

    if (c->ssl) {
        cert = SSL_get_peer_certificate(c->ssl->connection);

        if (cert) {
            X509_free(cert);
            return NULL;
        }
    }

#endif

    return "no client certificate";
}


ngx_int_t
ngx_mail_xmpp_sasl_auth(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *data)
{
    char                      *reason;
    ngx_uint_t                 i;
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_xmpp_srv_conf_t  *xscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);
    xscf = ngx_mail_get_module_srv_conf(s, ngx_mail_xmpp_module);

    if (ctx->sasl != ngx_mail_xmpp_sasl_none) {
        return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                       "client sent <auth/> in an exchange");
    }

    /* all mechanisms are those of the upstream server, and only with TLS */

    if (xscf->auth_methods & NGX_MAIL_AUTH_NONE_ENABLED) {
        return ngx_mail_xmpp_sasl_failure(s, c, "encryption-required",
                                          "connection is not encrypted");
    }

    i = ctx->mechanism;

    if (i == NGX_MAIL_XMPP_MECHANISMS
        || !(ngx_mail_xmpp_mechanisms[i].enabled & xscf->auth_methods))
    {
        return ngx_mail_xmpp_sasl_failure(s, c, "invalid-mechanism",
                                 "client asked for unsupported mechanism");
    }

    reason = ngx_mail_xmpp_sasl_refuse(s, c, i);

    if (reason) {

#if (NGX_MAIL_SSL)
        if (ngx_mail_starttls_only(s, c)) {
            return ngx_mail_xmpp_sasl_failure(s, c, "encryption-required",
                                              reason);
        }
#endif

        return ngx_mail_xmpp_sasl_failure(s, c, "invalid-mechanism", reason);
    }

    if (ngx_mail_xmpp_sasl_start(s, c, i) != NGX_OK) {
        return NGX_ERROR;
    }

    if (data == NULL) {

        if (ctx->children) {
            return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                              "client sent child in <auth/>");
        }

        return ngx_mail_xmpp_sasl_challenge(s);
    }

    if (ctx->sasl == ngx_mail_xmpp_sasl_cram_md5) {
        return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                     "client sent response before challenge");
    }

    return ngx_mail_xmpp_sasl_step(s, c, data);
}


ngx_int_t
ngx_mail_xmpp_sasl_response(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *data)
{
    ngx_str_t             empty;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->sasl == ngx_mail_xmpp_sasl_none) {
        return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                    "client sent <response/> without <auth/>");
    }

    if (data == NULL) {

        if (ctx->children) {
            return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                          "client sent child in <response/>");
        }

        ngx_str_set(&empty, "=");
        data = &empty;
    }

    return ngx_mail_xmpp_sasl_step(s, c, data);
}


ngx_int_t
ngx_mail_xmpp_sasl_abort(ngx_mail_session_t *s, ngx_connection_t *c)
{
    return ngx_mail_xmpp_sasl_failure(s, c, "aborted",
                                      "client aborted authentication");
}


ngx_int_t
ngx_mail_xmpp_sasl_failure(ngx_mail_session_t *s, ngx_connection_t *c,
    char *condition, char *reason)
{
    ngx_str_t             name;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_log_error(NGX_LOG_INFO, c->log, 0, "%s: %s", reason, condition);

    ngx_mail_xmpp_sasl_clear(s);

    name.data = (u_char *) condition;
    name.len = ngx_strlen(condition);

    ngx_mail_xmpp_write_failure(&ctx->out, &name, NULL);

    return NGX_DECLINED;
}


void
ngx_mail_xmpp_sasl_clear(ngx_mail_session_t *s)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    /* the password may be one that the auth server has sent */

    if (s->passwd.data) {
        ngx_explicit_memzero(s->passwd.data, s->passwd.len);
    }

    if (ctx->secret.data) {
        ngx_explicit_memzero(ctx->secret.data, ctx->secret.len);
    }

    ngx_str_null(&s->login);
    ngx_str_null(&s->passwd);
    ngx_str_null(&s->salt);

    ngx_str_null(&ctx->secret);
    ngx_str_null(&ctx->authcid);
    ngx_str_null(&ctx->digest);

    if (ctx->sasl_pool) {
        ngx_destroy_pool(ctx->sasl_pool);
        ctx->sasl_pool = NULL;
    }

    ctx->sasl = ngx_mail_xmpp_sasl_none;
}


ngx_str_t *
ngx_mail_xmpp_sasl_condition(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; ngx_mail_xmpp_conditions[i].len; i++) {
        if (ngx_mail_xmpp_conditions[i].len == name->len
            && ngx_memcmp(ngx_mail_xmpp_conditions[i].data, name->data,
                          name->len)
               == 0)
        {
            return &ngx_mail_xmpp_conditions[i];
        }
    }

    return &ngx_mail_xmpp_conditions[0];
}


static ngx_int_t
ngx_mail_xmpp_sasl_start(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_uint_t i)
{
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ngx_log_debug1(NGX_LOG_DEBUG_MAIL, c->log, 0, "xmpp auth mechanism: %V",
                   &ngx_mail_xmpp_mechanisms[i].name);

    ngx_mail_xmpp_sasl_clear(s);

    ctx->sasl_pool = ngx_create_pool(1024, c->log);
    if (ctx->sasl_pool == NULL) {
        return NGX_ERROR;
    }

    ctx->sasl = ngx_mail_xmpp_mechanisms[i].state;
    s->auth_method = ngx_mail_xmpp_mechanisms[i].method;

    return NGX_OK;
}


/* RFC 6120, 6.4.3: an empty challenge asks for the initial response */

ngx_int_t
ngx_mail_xmpp_sasl_challenge(ngx_mail_session_t *s)
{
    ngx_str_t             challenge;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    switch (ctx->sasl) {

    case ngx_mail_xmpp_sasl_login_user:
        ngx_str_set(&challenge, "Username:");
        break;

    case ngx_mail_xmpp_sasl_login_passwd:
        ngx_str_set(&challenge, "Password:");
        break;

    case ngx_mail_xmpp_sasl_cram_md5:
        if (ngx_mail_xmpp_sasl_salt(s) != NGX_OK) {
            return NGX_ERROR;
        }

        challenge.data = s->salt.data;
        challenge.len = s->salt.len - (sizeof(CRLF) - 1);
        break;

    default:
        ngx_str_null(&challenge);
    }

    ngx_mail_xmpp_write_challenge(&ctx->out, &challenge);

    return NGX_OK;
}


static ngx_int_t
ngx_mail_xmpp_sasl_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *data)
{
    ngx_int_t             rc;
    ngx_str_t             message;
    ngx_mail_xmpp_ctx_t  *ctx;

    rc = ngx_mail_xmpp_sasl_decode(s, data, &message);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_mail_xmpp_sasl_failure(s, c, "incorrect-encoding",
                                          "client sent invalid base64");
    }

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    switch (ctx->sasl) {

    case ngx_mail_xmpp_sasl_plain:
        return ngx_mail_xmpp_sasl_plain_step(s, c, &message);

    case ngx_mail_xmpp_sasl_login_user:
    case ngx_mail_xmpp_sasl_login_passwd:
        return ngx_mail_xmpp_sasl_login_step(s, c, &message);

    case ngx_mail_xmpp_sasl_cram_md5:
        return ngx_mail_xmpp_sasl_cram_md5_step(s, c, &message);

    default: /* ngx_mail_xmpp_sasl_external */
        return ngx_mail_xmpp_sasl_external_step(s, c, &message);
    }
}


/* base64 of RFC 4648, section 4, to the letter; "=" stands for no data */

static ngx_int_t
ngx_mail_xmpp_sasl_decode(ngx_mail_session_t *s, ngx_str_t *data,
    ngx_str_t *decoded)
{
    u_char               *p, *last;
    ngx_str_t             text;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    text.data = ngx_pnalloc(ctx->sasl_pool, data->len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_mail_xmpp_decode(text.data, data);

    /* what the step before has left, LOGIN takes two */

    if (ctx->secret.data) {
        ngx_explicit_memzero(ctx->secret.data, ctx->secret.len);
    }

    ctx->secret = text;

    if (text.len == 1 && text.data[0] == '=') {
        decoded->data = text.data;
        decoded->len = 0;
        return NGX_OK;
    }

    last = text.data + text.len;

    for (p = text.data; p < last; p++) {
        if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'z')
            && (*p < 'A' || *p > 'Z') && *p != '+' && *p != '/')
        {
            break;
        }
    }

    if (text.len % 4 != 0 || last - p > 2
        || (p < last && (*p != '=' || last[-1] != '=')))
    {
        return NGX_DECLINED;
    }

    /* bits that stand for nothing have to be zero */

    if (p < last
        && ngx_strchr((last - p == 1 ? "AEIMQUYcgkosw048" : "AQgw"), p[-1])
           == NULL)
    {
        return NGX_DECLINED;
    }

    /* this works in place as the output never overtakes the input */

    decoded->data = text.data;

    return ngx_decode_base64(decoded, &text) == NGX_OK ? NGX_OK : NGX_DECLINED;
}
