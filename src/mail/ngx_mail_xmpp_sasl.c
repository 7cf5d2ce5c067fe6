
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#define NGX_MAIL_XMPP_CRAM_MD5_LEN  32


static char *ngx_mail_xmpp_sasl_refuse(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_uint_t method);
static ngx_int_t ngx_mail_xmpp_sasl_start(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_uint_t method);
static ngx_int_t ngx_mail_xmpp_sasl_challenge(ngx_mail_session_t *s);
static ngx_int_t ngx_mail_xmpp_sasl_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *data);
static ngx_int_t ngx_mail_xmpp_sasl_decode(ngx_mail_session_t *s,
    ngx_str_t *data, ngx_str_t *decoded);
static ngx_int_t ngx_mail_xmpp_sasl_plain_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
static ngx_int_t ngx_mail_xmpp_sasl_login_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
static ngx_int_t ngx_mail_xmpp_sasl_cram_md5_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
static ngx_int_t ngx_mail_xmpp_sasl_external_step(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *message);
static ngx_int_t ngx_mail_xmpp_sasl_salt(ngx_mail_session_t *s);
static ngx_int_t ngx_mail_xmpp_sasl_user(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *user, ngx_str_t *authzid);
static ngx_int_t ngx_mail_xmpp_sasl_name(ngx_mail_session_t *s,
    ngx_str_t *name, ngx_str_t *local);
static ngx_int_t ngx_mail_xmpp_sasl_passwd(ngx_str_t *passwd);


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
    ngx_str_t   decoded;
    ngx_uint_t  i;

    if (name == NULL || name->len > sizeof(buf)) {
        return NGX_MAIL_XMPP_MECHANISMS;
    }

    decoded.data = buf;
    decoded.len = ngx_mail_xmpp_decode(buf, name);

    for (i = 0; i < NGX_MAIL_XMPP_MECHANISMS; i++) {
        if (ngx_mail_xmpp_mechanisms[i].name.len == decoded.len
            && ngx_memcmp(ngx_mail_xmpp_mechanisms[i].name.data, buf,
                          decoded.len)
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

static ngx_int_t
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

    /* this works in place as the output never overtakes the input */

    decoded->data = text.data;

    return ngx_decode_base64(decoded, &text) == NGX_OK ? NGX_OK : NGX_DECLINED;
}


/* RFC 4616: [authzid] NUL authcid NUL passwd */

static ngx_int_t
ngx_mail_xmpp_sasl_plain_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *message)
{
    u_char     *p, *last;
    ngx_str_t   authzid, authcid, passwd;

    last = message->data + message->len;

    authzid.data = message->data;
    p = ngx_strlchr(authzid.data, last, '\0');
    if (p == NULL) {
        goto malformed;
    }

    authzid.len = p - authzid.data;

    authcid.data = p + 1;
    p = ngx_strlchr(authcid.data, last, '\0');
    if (p == NULL) {
        goto malformed;
    }

    authcid.len = p - authcid.data;

    passwd.data = p + 1;
    passwd.len = last - passwd.data;

    if (ngx_mail_xmpp_sasl_passwd(&passwd) != NGX_OK) {
        goto malformed;
    }

    s->passwd = passwd;

    return ngx_mail_xmpp_sasl_user(s, c, &authcid, &authzid);

malformed:

    return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                      "client sent invalid PLAIN message");
}


static ngx_int_t
ngx_mail_xmpp_sasl_login_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *message)
{
    ngx_str_t             authzid;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->sasl == ngx_mail_xmpp_sasl_login_user) {

        ctx->authcid.len = message->len;
        ctx->authcid.data = ngx_pstrdup(ctx->sasl_pool, message);
        if (ctx->authcid.data == NULL) {
            return NGX_ERROR;
        }

        ctx->sasl = ngx_mail_xmpp_sasl_login_passwd;

        return ngx_mail_xmpp_sasl_challenge(s);
    }

    if (ngx_mail_xmpp_sasl_passwd(message) != NGX_OK) {
        return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                          "client sent invalid password");
    }

    s->passwd = *message;

    /* for the auth server it is a password as any other */

    s->auth_method = NGX_MAIL_AUTH_PLAIN;

    ngx_str_null(&authzid);

    return ngx_mail_xmpp_sasl_user(s, c, &ctx->authcid, &authzid);
}


/* RFC 2195: user SP digest */

static ngx_int_t
ngx_mail_xmpp_sasl_cram_md5_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *message)
{
    u_char     *p, *last;
    ngx_str_t   user, authzid;

    last = message->data + message->len;

    if (message->len < 1 + 1 + NGX_MAIL_XMPP_CRAM_MD5_LEN) {
        goto malformed;
    }

    s->passwd.len = NGX_MAIL_XMPP_CRAM_MD5_LEN;
    s->passwd.data = last - NGX_MAIL_XMPP_CRAM_MD5_LEN;

    for (p = s->passwd.data; p < last; p++) {
        if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'f')) {
            goto malformed;
        }
    }

    p = s->passwd.data - 1;

    if (*p != ' ') {
        goto malformed;
    }

    user.data = message->data;
    user.len = p - user.data;

    ngx_str_null(&authzid);

    return ngx_mail_xmpp_sasl_user(s, c, &user, &authzid);

malformed:

    return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                      "client sent invalid CRAM-MD5 response");
}


/* XEP-0178: without a name it is the auth server that tells who this is */

static ngx_int_t
ngx_mail_xmpp_sasl_external_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *message)
{
    ngx_str_t  local, authzid;

    if (message->len == 0) {
        return NGX_DONE;
    }

    if (ngx_mail_xmpp_sasl_name(s, message, &local) != NGX_OK) {
        return ngx_mail_xmpp_sasl_failure(s, c, "invalid-authzid",
                                  "client sent invalid authorization identity");
    }

    ngx_str_null(&authzid);

    return ngx_mail_xmpp_sasl_user(s, c, &local, &authzid);
}


/* the CRLF at its end is what the auth_http module needs */

static ngx_int_t
ngx_mail_xmpp_sasl_salt(ngx_mail_session_t *s)
{
    u_char                    *p, random[16];
    ngx_mail_xmpp_ctx_t       *ctx;
    ngx_mail_core_srv_conf_t  *cscf;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);
    cscf = ngx_mail_get_module_srv_conf(s, ngx_mail_core_module);

    if (ngx_mail_xmpp_random(s->connection->log, random, sizeof(random))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(ctx->sasl_pool, sizeof("<.@>" CRLF) - 1
                                    + 2 * sizeof(random) + NGX_TIME_T_LEN
                                    + cscf->server_name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s->salt.data = p;

    *p++ = '<';
    p = ngx_hex_dump(p, random, sizeof(random));
    p = ngx_sprintf(p, ".%T@%V>" CRLF, ngx_time(), &cscf->server_name);

    s->salt.len = p - s->salt.data;

    return NGX_OK;
}


/* makes s->login of the user's name and the domain of the stream */

static ngx_int_t
ngx_mail_xmpp_sasl_user(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *user, ngx_str_t *authzid)
{
    u_char               *p;
    ngx_str_t             local, name;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    switch (ngx_mail_xmpp_sasl_name(s, user, &local)) {

    case NGX_OK:
        break;

    case NGX_ABORT:
        return ngx_mail_xmpp_sasl_failure(s, c, "not-authorized",
                                       "client sent user of another domain");

    default: /* NGX_DECLINED */
        return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                          "client sent invalid user");
    }

    if (authzid->len) {

        if (ngx_mail_xmpp_sasl_name(s, authzid, &name) != NGX_OK
            || name.len != local.len
            || ngx_memcmp(name.data, local.data, local.len) != 0)
        {
            return ngx_mail_xmpp_sasl_failure(s, c, "invalid-authzid",
                               "client sent another authorization identity");
        }
    }

    p = ngx_pnalloc(ctx->sasl_pool, local.len + 1 + ctx->domain.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s->login.data = p;

    p = ngx_cpymem(p, local.data, local.len);
    *p++ = '@';
    p = ngx_cpymem(p, ctx->domain.data, ctx->domain.len);

    s->login.len = p - s->login.data;

    return NGX_DONE;
}


/*
 * a name as it is or as a bare JID; NGX_ABORT if the JID has another domain
 * than the stream
 */

static ngx_int_t
ngx_mail_xmpp_sasl_name(ngx_mail_session_t *s, ngx_str_t *name,
    ngx_str_t *local)
{
    u_char               *p, *last;
    ngx_str_t             domain;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    last = name->data + name->len;

    *local = *name;

    p = ngx_strlchr(name->data, last, '@');

    if (p) {
        local->len = p - name->data;

        domain.data = p + 1;
        domain.len = last - domain.data;

        if (ngx_mail_xmpp_jid_domain(&domain) != NGX_OK
            || domain.len != ctx->domain.len
            || ngx_memcmp(domain.data, ctx->domain.data, domain.len) != 0)
        {
            return NGX_ABORT;
        }
    }

    return ngx_mail_xmpp_jid_local(local);
}


static ngx_int_t
ngx_mail_xmpp_sasl_passwd(ngx_str_t *passwd)
{
    u_char    *p, *last;
    uint32_t   code;

    if (passwd->len == 0) {
        return NGX_DECLINED;
    }

    p = passwd->data;
    last = passwd->data + passwd->len;

    while (p < last) {
        code = ngx_mail_xmpp_utf8_decode(&p, last);

        if (code == 0 || code == NGX_MAIL_XMPP_INVALID) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}
