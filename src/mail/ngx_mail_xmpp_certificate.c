
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


#if (NGX_MAIL_SSL)


#include <openssl/x509v3.h>


/* a certificate may have any number of names, a header may not be endless */

#define NGX_MAIL_XMPP_NAMES_SIZE   4096

#define NGX_MAIL_XMPP_OID_ADDR     "1.3.6.1.5.5.7.8.5"  /* id-on-xmppAddr */
#define NGX_MAIL_XMPP_OID_SRV      "1.3.6.1.5.5.7.8.7"  /* id-on-dnsSRV */


static ngx_int_t ngx_mail_xmpp_certificate_name(GENERAL_NAME *gn,
    ngx_str_t *name);
static ngx_uint_t ngx_mail_xmpp_certificate_dns(ngx_str_t *name);
static ngx_uint_t ngx_mail_xmpp_certificate_addr(ngx_str_t *name);
static u_char *ngx_mail_xmpp_certificate_escape(u_char *p, u_char *last,
    ngx_str_t *name);


/*
 * RFC 6120, 13.7.1: the names by which a server or a client is known are in
 * the subjectAltName.  The kinds can be told apart in the list: only a SRV
 * name starts with an underscore, only a DNS name may have a "*".
 */

ngx_int_t
ngx_mail_xmpp_certificate_names(ngx_mail_session_t *s, ngx_pool_t *pool,
    ngx_str_t *names)
{
    int                   i, n;
    u_char               *p, *next, *last;
    X509                 *cert;
    ngx_str_t             name;
    GENERAL_NAME         *gn;
    GENERAL_NAMES        *sans;
    ngx_connection_t     *c;
    ngx_mail_ssl_conf_t  *sslcf;

    ngx_str_null(names);

    c = s->connection;

    sslcf = ngx_mail_get_module_srv_conf(s, ngx_mail_ssl_module);

    if (c->ssl == NULL || !sslcf->verify) {
        return NGX_OK;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_OK;
    }

    sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

    X509_free(cert);

    if (sans == NULL) {
        /* it may be malformed */
        ERR_clear_error();
        return NGX_OK;
    }

    names->data = ngx_pnalloc(pool, NGX_MAIL_XMPP_NAMES_SIZE);
    if (names->data == NULL) {
        GENERAL_NAMES_free(sans);
        return NGX_ERROR;
    }

    p = names->data;
    last = names->data + NGX_MAIL_XMPP_NAMES_SIZE;

    n = sk_GENERAL_NAME_num(sans);

    for (i = 0; i < n; i++) {

        gn = sk_GENERAL_NAME_value(sans, i);

        if (ngx_mail_xmpp_certificate_name(gn, &name) != NGX_OK) {
            continue;
        }

        next = ngx_mail_xmpp_certificate_escape(p, last, &name);

        if (next == NULL) {
            ngx_log_error(NGX_LOG_INFO, c->log, 0,
                          "client certificate has too many names");
            break;
        }

        p = next;
    }

    GENERAL_NAMES_free(sans);

    if (p != names->data) {
        names->len = p - names->data - (sizeof(", ") - 1);
    }

    return NGX_OK;
}


/* NGX_OK, or NGX_DECLINED if it is of another kind, or invalid */

static ngx_int_t
ngx_mail_xmpp_certificate_name(GENERAL_NAME *gn, ngx_str_t *name)
{
    char          oid[32];
    ASN1_STRING  *str;

    switch (gn->type) {

    case GEN_DNS:
        str = gn->d.dNSName;

        name->data = ASN1_STRING_data(str);
        name->len = ASN1_STRING_length(str);

        if (ngx_mail_xmpp_certificate_dns(name) && name->data[0] != '_') {
            return NGX_OK;
        }

        return NGX_DECLINED;

    case GEN_OTHERNAME:

        if (OBJ_obj2txt(oid, sizeof(oid), gn->d.otherName->type_id, 1) < 0) {
            return NGX_DECLINED;
        }

        str = gn->d.otherName->value->value.asn1_string;

        if (gn->d.otherName->value->type == V_ASN1_UTF8STRING
            && ngx_strcmp(oid, NGX_MAIL_XMPP_OID_ADDR) == 0)
        {
            name->data = ASN1_STRING_data(str);
            name->len = ASN1_STRING_length(str);

            if (ngx_mail_xmpp_certificate_addr(name)) {
                return NGX_OK;
            }
        }

        if (gn->d.otherName->value->type == V_ASN1_IA5STRING
            && ngx_strcmp(oid, NGX_MAIL_XMPP_OID_SRV) == 0)
        {
            name->data = ASN1_STRING_data(str);
            name->len = ASN1_STRING_length(str);

            if (ngx_mail_xmpp_certificate_dns(name) && name->data[0] == '_') {
                return NGX_OK;
            }
        }

        return NGX_DECLINED;

    default:
        return NGX_DECLINED;
    }
}


static ngx_uint_t
ngx_mail_xmpp_certificate_dns(ngx_str_t *name)
{
    u_char  *p;

    for (p = name->data; p < name->data + name->len; p++) {
        if ((*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z')
            && (*p < '0' || *p > '9')
            && *p != '-' && *p != '.' && *p != '*' && *p != '_')
        {
            return 0;
        }
    }

    return name->len != 0;
}


/* a JID, which is reported as it is written */

static ngx_uint_t
ngx_mail_xmpp_certificate_addr(ngx_str_t *name)
{
    u_char     buf[3 * 1023 + 2];
    ngx_str_t  jid, local, domain;

    if (name->len > sizeof(buf)) {
        return 0;
    }

    ngx_memcpy(buf, name->data, name->len);

    jid.data = buf;
    jid.len = name->len;

    if (ngx_mail_xmpp_jid_split(&jid, &local, &domain) != NGX_OK) {
        return 0;
    }

    /* a resource, which nobody needs there */

    return ngx_strlchr(buf, buf + jid.len, '/') == NULL;
}


/* a name and a comma behind it, NULL if there is no room for both */

static u_char *
ngx_mail_xmpp_certificate_escape(u_char *p, u_char *last, ngx_str_t *name)
{
    size_t  i;

    for (i = 0; i < name->len; i++) {

        if ((size_t) (last - p) < sizeof("%2C, ") - 1) {
            return NULL;
        }

        if (name->data[i] <= ' ' || name->data[i] == '%'
            || name->data[i] == ',')
        {
            p = ngx_sprintf(p, "%%%02Xd", name->data[i]);

        } else {
            *p++ = name->data[i];
        }
    }

    /* there is room for this behind the last character */

    *p++ = ',';
    *p++ = ' ';

    return p;
}


#endif
