
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>


/*
 * A server from the time before XMPP 1.0 sends no version, it knows neither
 * features nor STARTTLS.  It may leave out the addresses too, as the elements
 * of dialback have their own (XEP-0220).
 */

ngx_int_t
ngx_mail_xmpp_server_header(ngx_mail_session_t *s, ngx_connection_t *c)
{
    ngx_int_t             rc;
    ngx_str_t             local;
    ngx_mail_xmpp_ctx_t  *ctx;

    ctx = ngx_mail_get_module_ctx(s, ngx_mail_xmpp_module);

    if (ctx->version || ngx_mail_xmpp_parse_attr(ctx->parser, "to")) {

        rc = ngx_mail_xmpp_stream_to(s, c);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_mail_xmpp_stream_from(s, c, &local);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED || local.len) {
        ngx_str_null(&ctx->from);

        return ngx_mail_xmpp_stream_error(s, c, "invalid-from",
                                          "client sent invalid domain");
    }

#if (NGX_MAIL_SSL)

    if (!ctx->version && ngx_mail_starttls_only(s, c)) {
        return ngx_mail_xmpp_stream_error(s, c, "policy-violation",
                              "client sent no version, connection is not "
                              "encrypted");
    }

#endif

    return NGX_OK;
}
