
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#define NGX_MAIL_XMPP_CRAM_MD5_LEN  32


static ngx_int_t ngx_mail_xmpp_sasl_user(ngx_mail_session_t *s,
    ngx_connection_t *c, ngx_str_t *user, ngx_str_t *authzid);
static ngx_int_t ngx_mail_xmpp_sasl_name(ngx_mail_session_t *s,
    ngx_str_t *name, ngx_str_t *local);
static ngx_int_t ngx_mail_xmpp_sasl_passwd(ngx_str_t *passwd);


/* RFC 4616: [authzid] NUL authcid NUL passwd */

ngx_int_t
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


ngx_int_t
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

ngx_int_t
ngx_mail_xmpp_sasl_cram_md5_step(ngx_mail_session_t *s, ngx_connection_t *c,
    ngx_str_t *message)
{
    u_char               *p, *last;
    ngx_str_t             user, authzid;
    ngx_mail_xmpp_ctx_t  *ctx;

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

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    ctx->digest = s->passwd;

    return ngx_mail_xmpp_sasl_user(s, c, &user, &authzid);

malformed:

    return ngx_mail_xmpp_sasl_failure(s, c, "malformed-request",
                                      "client sent invalid CRAM-MD5 response");
}


/* XEP-0178: without a name it is the auth server that tells who this is */

ngx_int_t
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

ngx_int_t
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
