
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


static void *ngx_mail_xmpp_create_srv_conf(ngx_conf_t *cf);
static char *ngx_mail_xmpp_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_mail_xmpp_alpn(ngx_conf_t *cf,
    ngx_mail_core_srv_conf_t *cscf, ngx_uint_t streams);
static char *ngx_mail_xmpp_domain(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_bitmask_t  ngx_mail_xmpp_auth_methods[] = {
    { ngx_string("plain"), NGX_MAIL_AUTH_PLAIN_ENABLED },
    { ngx_string("login"), NGX_MAIL_AUTH_LOGIN_ENABLED },
    { ngx_string("cram-md5"), NGX_MAIL_AUTH_CRAM_MD5_ENABLED },
    { ngx_string("external"), NGX_MAIL_AUTH_EXTERNAL_ENABLED },
    { ngx_string("none"), NGX_MAIL_AUTH_NONE_ENABLED },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_mail_xmpp_stream_types[] = {
    { ngx_string("client"), NGX_MAIL_XMPP_CLIENT },
    { ngx_string("server"), NGX_MAIL_XMPP_SERVER },
    { ngx_string("any"), NGX_MAIL_XMPP_ANY },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_mail_xmpp_relay_buffer_bounds = {
    ngx_conf_check_num_bounds, 1, -1
};


static ngx_mail_handlers_t  ngx_mail_xmpp_handlers = {
    ngx_mail_xmpp_error_handler,
    ngx_mail_xmpp_auth_request,
    ngx_mail_xmpp_auth_header,
    ngx_mail_xmpp_auth_response,
    ngx_mail_xmpp_auth_error,
    ngx_mail_xmpp_init_upstream
};


/* ngx_mail_xmpp_error_handler() completes the errors */

static ngx_mail_protocol_t  ngx_mail_xmpp_protocol = {
    ngx_string("xmpp"),
    ngx_string("\x0bxmpp-client"),
    { 5222, 5223, 5269, 0 },
    NGX_MAIL_XMPP_PROTOCOL,

    ngx_mail_xmpp_init_session,
    ngx_mail_xmpp_init_protocol,
    NULL,
    ngx_mail_xmpp_auth_state,

    ngx_string("<stream:error><internal-server-error "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
               "</stream:error></stream:stream>"),
    ngx_string("<stream:error><not-authorized "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>"
               "SSL certificate error</text>"
               "</stream:error></stream:stream>"),
    ngx_string("<stream:error><not-authorized "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>"
               "No required SSL certificate</text>"
               "</stream:error></stream:stream>"),

    &ngx_mail_xmpp_handlers
};


static ngx_command_t  ngx_mail_xmpp_commands[] = {

    { ngx_string("xmpp_client_buffer"),
      NGX_MAIL_MAIN_CONF|NGX_MAIL_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_MAIL_SRV_CONF_OFFSET,
      offsetof(ngx_mail_xmpp_srv_conf_t, client_buffer_size),
      NULL },

    { ngx_string("xmpp_relay_buffer"),
      NGX_MAIL_MAIN_CONF|NGX_MAIL_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_MAIL_SRV_CONF_OFFSET,
      offsetof(ngx_mail_xmpp_srv_conf_t, relay_buffer_size),
      &ngx_mail_xmpp_relay_buffer_bounds },

    { ngx_string("xmpp_auth"),
      NGX_MAIL_MAIN_CONF|NGX_MAIL_SRV_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_MAIL_SRV_CONF_OFFSET,
      offsetof(ngx_mail_xmpp_srv_conf_t, auth_methods),
      &ngx_mail_xmpp_auth_methods },

    { ngx_string("xmpp_stream"),
      NGX_MAIL_MAIN_CONF|NGX_MAIL_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_MAIL_SRV_CONF_OFFSET,
      offsetof(ngx_mail_xmpp_srv_conf_t, streams),
      &ngx_mail_xmpp_stream_types },

    { ngx_string("xmpp_domain"),
      NGX_MAIL_MAIN_CONF|NGX_MAIL_SRV_CONF|NGX_CONF_1MORE,
      ngx_mail_xmpp_domain,
      NGX_MAIL_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_mail_module_t  ngx_mail_xmpp_module_ctx = {
    &ngx_mail_xmpp_protocol,               /* protocol */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_mail_xmpp_create_srv_conf,         /* create server configuration */
    ngx_mail_xmpp_merge_srv_conf           /* merge server configuration */
};


ngx_module_t  ngx_mail_xmpp_module = {
    NGX_MODULE_V1,
    &ngx_mail_xmpp_module_ctx,             /* module context */
    ngx_mail_xmpp_commands,                /* module directives */
    NGX_MAIL_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_mail_xmpp_create_srv_conf(ngx_conf_t *cf)
{
    ngx_mail_xmpp_srv_conf_t  *xscf;

    xscf = ngx_pcalloc(cf->pool, sizeof(ngx_mail_xmpp_srv_conf_t));
    if (xscf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     xscf->auth_methods = 0;
     *     xscf->ticket = 0;
     *     xscf->domains = NULL;
     */

    xscf->client_buffer_size = NGX_CONF_UNSET_SIZE;
    xscf->relay_buffer_size = NGX_CONF_UNSET_SIZE;
    xscf->streams = NGX_CONF_UNSET_UINT;

    return xscf;
}


static char *
ngx_mail_xmpp_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_mail_xmpp_srv_conf_t *prev = parent;
    ngx_mail_xmpp_srv_conf_t *conf = child;

    ngx_mail_core_srv_conf_t  *cscf;

    ngx_conf_merge_size_value(conf->client_buffer_size,
                              prev->client_buffer_size,
                              (size_t) ngx_pagesize);

    ngx_conf_merge_size_value(conf->relay_buffer_size,
                              prev->relay_buffer_size, 16384);

    ngx_conf_merge_bitmask_value(conf->auth_methods,
                              prev->auth_methods,
                              (NGX_CONF_BITMASK_SET
                               |NGX_MAIL_AUTH_PLAIN_ENABLED));

    cscf = ngx_mail_conf_get_module_srv_conf(cf, ngx_mail_core_module);

    /* either nginx or the upstream server speaks SASL with the client */

    if ((conf->auth_methods & NGX_MAIL_AUTH_NONE_ENABLED)
        && (conf->auth_methods
            & ~(NGX_CONF_BITMASK_SET|NGX_MAIL_AUTH_NONE_ENABLED)))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"none\" can not be combined with other methods "
                      "in \"xmpp_auth\" for server in %s:%ui",
                      cscf->file_name, cscf->line);
        return NGX_CONF_ERROR;
    }

    ngx_conf_merge_uint_value(conf->streams, prev->streams,
                              NGX_MAIL_XMPP_CLIENT);

    if (conf->domains == NULL) {
        conf->domains = prev->domains;
    }

#if (NGX_MAIL_XMPP_TICKET)

    if (cscf->protocol && cscf->protocol->type == NGX_MAIL_XMPP_PROTOCOL) {
        ngx_mail_xmpp_ticket_init(cf, conf);
    }

#endif

    return ngx_mail_xmpp_alpn(cf, cscf, conf->streams);
}


/* the protocol of a server depends on the streams that it accepts */

static char *
ngx_mail_xmpp_alpn(ngx_conf_t *cf, ngx_mail_core_srv_conf_t *cscf,
    ngx_uint_t streams)
{
    ngx_mail_protocol_t  *protocol;

    if (cscf->protocol != &ngx_mail_xmpp_protocol
        || streams == NGX_MAIL_XMPP_CLIENT)
    {
        return NGX_CONF_OK;
    }

    protocol = ngx_palloc(cf->pool, sizeof(ngx_mail_protocol_t));
    if (protocol == NULL) {
        return NGX_CONF_ERROR;
    }

    *protocol = ngx_mail_xmpp_protocol;

    if (streams == NGX_MAIL_XMPP_SERVER) {
        ngx_str_set(&protocol->alpn, "\x0bxmpp-server");

    } else {
        ngx_str_set(&protocol->alpn, "\x0bxmpp-client\x0bxmpp-server");
    }

    cscf->protocol = protocol;

    return NGX_CONF_OK;
}


static char *
ngx_mail_xmpp_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_mail_xmpp_srv_conf_t *xscf = conf;

    ngx_str_t   *value, *domain;
    ngx_uint_t   i;

    if (xscf->domains == NULL) {
        xscf->domains = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (xscf->domains == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_mail_xmpp_jid_domain(&value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid domain \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        domain = ngx_array_push(xscf->domains);
        if (domain == NULL) {
            return NGX_CONF_ERROR;
        }

        *domain = value[i];
    }

    return NGX_CONF_OK;
}
