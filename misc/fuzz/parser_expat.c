
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <stdio.h>
#include <stdlib.h>

#include "parser.h"


/* no character of XML, so it can not stand in a namespace */
#define SEPARATOR  '\1'


static void consume(void *data);
static void on_bind(void *data, const char *prefix, const char *uri);
static void on_unbind(void *data, const char *prefix);
static void on_start(void *data, const char *name, const char **attrs);
static void on_end(void *data, const char *name);
static void on_text(void *data, const char *s, int len);
static void on_cdata(void *data);
static void on_declaration(void *data, const char *version,
    const char *encoding, int standalone);
static void on_comment(void *data, const char *text);
static void on_instruction(void *data, const char *target, const char *text);
static void on_doctype(void *data, const char *name, const char *system,
    const char *public, int internal);
static void on_other(void *data, const char *s, int len);
static ngx_uint_t triplet(const char *name, ngx_str_t *local,
    ngx_str_t *prefix);
static ngx_uint_t namespace(u_char *uri, size_t len);
static void write_string(bytes_t *bytes, ngx_str_t *s);
static int by_name(const void *one, const void *two);


enum XML_Error
expat_run(expat_t *e, const u_char *in, size_t n, const char *rest, int final)
{
    XML_Parser  parser;

    if (e->parser == NULL) {
        e->parser = XML_ParserCreateNS("UTF-8", SEPARATOR);

        if (e->parser == NULL) {
            abort();
        }

    } else {
        XML_ParserReset(e->parser, "UTF-8");
    }

    parser = e->parser;

    /* it would wait for more bytes before it looks again at what was broken
       off */

#if XML_MAJOR_VERSION > 2 || XML_MINOR_VERSION >= 6
    XML_SetReparseDeferralEnabled(parser, XML_FALSE);
#endif

    XML_SetUserData(parser, e);
    XML_SetReturnNSTriplet(parser, 1);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetNamespaceDeclHandler(parser, on_bind, on_unbind);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetCdataSectionHandler(parser, on_cdata, consume);
    XML_SetXmlDeclHandler(parser, on_declaration);
    XML_SetCommentHandler(parser, on_comment);
    XML_SetProcessingInstructionHandler(parser, on_instruction);
    XML_SetDoctypeDeclHandler(parser, on_doctype, consume);
    XML_SetDefaultHandler(parser, on_other);

    /* of a tag that was wrong */

    while (e->nattrs) {
        e->nattrs--;
        free(e->attrs[e->nattrs].name.data);
        free(e->attrs[e->nattrs].value.data);
    }

    e->events.len = 0;
    e->text.len = 0;
    e->leaf = 0;
    e->consumed = 0;
    e->level = 0;
    e->nbindings = 0;
    e->max_level = 0;
    e->max_attrs = 0;
    e->max_bindings = 0;
    e->restricted = 0;
    e->text_between = 0;
    e->version = 0;
    e->encoding = 0;

    if (XML_Parse(parser, (char *) in, n, rest ? 0 : final) != XML_STATUS_OK
        || (rest
            && XML_Parse(parser, rest, strlen(rest), final) != XML_STATUS_OK))
    {
        return XML_GetErrorCode(parser);
    }

    return XML_ERROR_NONE;
}


/* expat's events */

static void
consume(void *data)
{
    size_t    end;
    expat_t  *e = data;

    end = XML_GetCurrentByteIndex(e->parser)
          + XML_GetCurrentByteCount(e->parser);

    if (e->consumed < end) {
        e->consumed = end;
    }
}


/* the declarations of a tag come before the tag */

static void
on_bind(void *data, const char *prefix, const char *uri)
{
    attr_t   *attr;
    expat_t  *e = data;

    /* it is always declared, and takes no room */

    if (prefix == NULL || strcmp(prefix, "xml") != 0) {

        if (++e->nbindings > e->max_bindings) {
            e->max_bindings = e->nbindings;
        }
    }

    if (e->nattrs == MAX_ATTRS) {
        return;
    }

    attr = &e->attrs[e->nattrs++];

    attr->name.len = prefix ? 6 + strlen(prefix) : 5;
    attr->name.data = malloc(attr->name.len + 1);
    sprintf((char *) attr->name.data, prefix ? "xmlns:%s" : "xmlns", prefix);

    uri = uri ? uri : "";

    attr->value.len = strlen(uri);
    attr->value.data = (u_char *) strdup(uri);
}


static void
on_unbind(void *data, const char *prefix)
{
    expat_t  *e = data;

    if (prefix == NULL || strcmp(prefix, "xml") != 0) {
        e->nbindings--;
    }
}


static void
on_start(void *data, const char *name, const char **attrs)
{
    attr_t      *attr;
    expat_t     *e = data;
    ngx_str_t    local, prefix;
    ngx_uint_t   i, n, ns, default_ns;

    consume(e);

    default_ns = NGX_MAIL_XMPP_NS_NONE;

    for (i = 0; i < e->nattrs; i++) {
        if (e->attrs[i].name.len == 5) {
            default_ns = namespace(e->attrs[i].value.data,
                                   e->attrs[i].value.len);
        }
    }

    for (n = e->nattrs; *attrs && n < MAX_ATTRS; attrs += 2) {

        (void) triplet(attrs[0], &local, &prefix);

        attr = &e->attrs[n++];

        attr->name.len = prefix.len ? prefix.len + 1 + local.len : local.len;
        attr->name.data = malloc(attr->name.len + 1);
        attr->value.len = strlen(attrs[1]);
        attr->value.data = (u_char *) strdup(attrs[1]);

        if (prefix.len) {
            memcpy(attr->name.data, prefix.data, prefix.len);
            attr->name.data[prefix.len] = ':';
            memcpy(attr->name.data + prefix.len + 1, local.data, local.len);

        } else {
            memcpy(attr->name.data, local.data, local.len);
        }
    }

    ns = triplet(name, &local, &prefix);

    write_start(&e->events, e->level, ns, default_ns, &local, e->attrs, n);

    if (n > e->max_attrs) {
        e->max_attrs = n;
    }

    for (i = 0; i < n; i++) {
        free(e->attrs[i].name.data);
        free(e->attrs[i].value.data);
    }

    if (++e->level > e->max_level) {
        e->max_level = e->level;
    }

    e->nattrs = 0;
    e->leaf = 1;
    e->text.len = 0;
}


static void
on_end(void *data, const char *name)
{
    expat_t    *e = data;
    ngx_str_t   local, prefix, text;
    ngx_uint_t  ns;

    consume(e);

    ns = triplet(name, &local, &prefix);

    text.data = e->text.data;
    text.len = e->leaf ? e->text.len : 0;

    write_end(&e->events, --e->level, ns, &local, &text);

    e->leaf = 0;
}


static void
on_text(void *data, const char *s, int len)
{
    int       i;
    expat_t  *e = data;

    consume(e);

    if (e->level > 1) {
        append(&e->text, s, len);
        return;
    }

    for (i = 0; i < len; i++) {
        if (strchr(" \t\r\n", s[i]) == NULL) {
            e->text_between = 1;
        }
    }
}


static void
on_cdata(void *data)
{
    expat_t  *e = data;

    consume(e);

    if (e->level == 1) {
        e->text_between = 1;
    }
}


static void
on_declaration(void *data, const char *version, const char *encoding,
    int standalone)
{
    expat_t  *e = data;

    (void) standalone;

    consume(e);

    if (version && strcmp(version, "1.0") != 0) {
        e->version = 1;
    }

    if (encoding && strcasecmp(encoding, "UTF-8") != 0) {
        e->encoding = 1;
    }
}


static void
on_comment(void *data, const char *text)
{
    expat_t  *e = data;

    (void) text;

    consume(e);
    e->restricted = 1;
}


static void
on_instruction(void *data, const char *target, const char *text)
{
    expat_t  *e = data;

    (void) target;
    (void) text;

    consume(e);
    e->restricted = 1;
}


static void
on_doctype(void *data, const char *name, const char *system,
    const char *public, int internal)
{
    expat_t  *e = data;

    (void) name;
    (void) system;
    (void) public;
    (void) internal;

    consume(e);
    e->restricted = 1;
}


static void
on_other(void *data, const char *s, int len)
{
    (void) s;
    (void) len;

    consume(data);
}


/* a name as expat gives it: namespace, local name, prefix */

static ngx_uint_t
triplet(const char *name, ngx_str_t *local, ngx_str_t *prefix)
{
    const char  *p, *q;

    ngx_str_null(prefix);

    p = strchr(name, SEPARATOR);

    if (p == NULL) {
        local->data = (u_char *) name;
        local->len = strlen(name);

        return NGX_MAIL_XMPP_NS_NONE;
    }

    local->data = (u_char *) p + 1;

    q = strchr(p + 1, SEPARATOR);

    if (q) {
        local->len = q - p - 1;
        prefix->data = (u_char *) q + 1;
        prefix->len = strlen(q + 1);

    } else {
        local->len = strlen(p + 1);
    }

    return namespace((u_char *) name, p - name);
}


static ngx_uint_t
namespace(u_char *uri, size_t len)
{
    ngx_uint_t  i;
    static const struct {
        const char  *uri;
        ngx_uint_t   ns;
    } known[] = {
        { "", NGX_MAIL_XMPP_NS_NONE },
        { "jabber:client", NGX_MAIL_XMPP_NS_CLIENT },
        { "jabber:server", NGX_MAIL_XMPP_NS_SERVER },
        { "http://etherx.jabber.org/streams", NGX_MAIL_XMPP_NS_STREAM },
        { "urn:ietf:params:xml:ns:xmpp-tls", NGX_MAIL_XMPP_NS_TLS },
        { "urn:ietf:params:xml:ns:xmpp-sasl", NGX_MAIL_XMPP_NS_SASL },
        { "http://www.w3.org/XML/1998/namespace", NGX_MAIL_XMPP_NS_XML }
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (len == strlen(known[i].uri)
            && memcmp(uri, known[i].uri, len) == 0)
        {
            return known[i].ns;
        }
    }

    return NGX_MAIL_XMPP_NS_OTHER;
}


void
write_start(bytes_t *events, ngx_uint_t depth, ngx_uint_t ns,
    ngx_uint_t default_ns, ngx_str_t *name, attr_t *attrs, ngx_uint_t nattrs)
{
    ngx_uint_t  i, head[4];

    head[0] = 1;
    head[1] = depth;
    head[2] = ns;
    head[3] = depth ? 0 : default_ns;

    append(events, head, sizeof(head));
    write_string(events, name);

    /* these have no order, and expat reports the namespaces first */

    qsort(attrs, nattrs, sizeof(attr_t), by_name);

    append(events, &nattrs, sizeof(ngx_uint_t));

    for (i = 0; i < nattrs; i++) {
        write_string(events, &attrs[i].name);
        write_string(events, &attrs[i].value);
    }
}


void
write_end(bytes_t *events, ngx_uint_t depth, ngx_uint_t ns, ngx_str_t *name,
    ngx_str_t *text)
{
    ngx_uint_t  head[3];

    head[0] = 0;
    head[1] = depth;
    head[2] = ns;

    append(events, head, sizeof(head));
    write_string(events, name);
    write_string(events, text);
}


static void
write_string(bytes_t *bytes, ngx_str_t *s)
{
    append(bytes, &s->len, sizeof(size_t));
    append(bytes, s->data, s->len);
}


static int
by_name(const void *one, const void *two)
{
    int               rc;
    size_t            len;
    const ngx_str_t  *a, *b;

    a = &((const attr_t *) one)->name;
    b = &((const attr_t *) two)->name;

    len = a->len < b->len ? a->len : b->len;
    rc = memcmp(a->data, b->data, len);

    return rc ? rc : (a->len > b->len) - (a->len < b->len);
}


void
append(bytes_t *bytes, const void *p, size_t n)
{
    if (bytes->len + n > bytes->size) {
        bytes->size = (bytes->len + n) * 2;
        bytes->data = realloc(bytes->data, bytes->size);

        if (bytes->data == NULL) {
            abort();
        }
    }

    if (n) {
        memcpy(bytes->data + bytes->len, p, n);
        bytes->len += n;
    }
}
