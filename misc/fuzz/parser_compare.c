
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <ctype.h>
#include <stdlib.h>

#include "parser.h"


static size_t broken_off(u_char *in, size_t n);
static ngx_uint_t newer_name(u_char *in, size_t n, size_t at);
static void check_refusal(expat_t *e, log_t *log, u_char *in, size_t n);
static ngx_uint_t named(log_t *log, u_char *in, size_t n,
    enum XML_Error error);
static ngx_uint_t allowed(expat_t *e, log_t *log, u_char *in, size_t n);
static ngx_uint_t wrong_utf8(u_char *in, size_t n);
static ngx_uint_t utf16(u_char *in, size_t n);
static void our_events(bytes_t *events, log_t *log);
static u_char *get_string(ngx_str_t *s, u_char *p);
static void normalise(ngx_str_t *dst, ngx_str_t *raw, ngx_uint_t value);


/*
 * What may stand behind the byte in question, so that the markup, the
 * reference or the character that it belongs to is complete.
 */

static const char  *endings[] = {
    "", ">", "/>", "a>", "a/>", "='a'/>", "'a'/>", "a='a'/>",
    "'/>", "\"/>", ";'/>", ";\"/>", "1;'/>", "1;\"/>", "lt;'/>", "lt;\"/>",
    ";", "1;", "lt;", "#65;", "x41;", "]]>", "]>", "[CDATA[]]>",
    "CDATA[]]>", "-->", "- -->", "->", "?>", "a?>", " ?>", " version='1.0'?>",
    "='1.0'?>", "'1.0'?>", "'?>", "\"?>", "OCTYPE a>", " a>",
    "\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80",
    "\x80'/>", "\x80\x80'/>", "\x80\x80\x80'/>", "\xa0\x80'/>",
    "\x90\x80\x80'/>",
    "\x80/>", "\x80\x80/>", "\x80\x80\x80/>", "\xa0\x80/>", "\x90\x80\x80/>",
    "\x80='a'/>", "\x80\x80='a'/>"
};


void
compare_expat(log_t *log, u_char *in, size_t n)
{
    size_t          len, at;
    enum XML_Error  error;
    static bytes_t  ours;
    static expat_t  e;

    /* white space before a declaration is ours only, see parse.h */

    for (at = 0; at < n && strchr(" \t\r\n", in[at]) && in[at]; at++) {
        /* void */
    }

    /* a declaration is not looked at till it is complete */

    len = log->good;

    if (len < at) {
        return;
    }

    len -= broken_off(in + at, len - at);

    /* what we take, expat takes */

    error = expat_run(&e, in + at, len - at, NULL, log->closed);

    ours.len = 0;
    our_events(&ours, log);

    if (error == XML_ERROR_INVALID_TOKEN
        && newer_name(in, n, at + XML_GetCurrentByteIndex(e.parser)))
    {
        /* up to there it is the same */

        if (e.events.len > ours.len
            || (e.events.len
                && memcmp(e.events.data, ours.data, e.events.len) != 0))
        {
            broken("other events than expat's");
        }

        return;
    }

    if (error != XML_ERROR_NONE) {
        broken("expat says \"%s\" at byte %d of %d that are taken",
               XML_ErrorString(error),
               (int) (at + XML_GetCurrentByteIndex(e.parser)), (int) len);
    }

    if (e.events.len != ours.len
        || (ours.len && memcmp(e.events.data, ours.data, ours.len) != 0))
    {
        broken("other events than expat's");
    }

    if (log->rc == NGX_ERROR) {

        /* with the byte in question, or with the tag */

        len = log->behind ? log->offset : log->offset + 1;

        check_refusal(&e, log, in + at, len - at);
    }
}


/*
 * How much of a character, a reference, or the name of an end tag the bytes
 * end with.  When these are complete we know whether they are right, and expat
 * may do so before.
 */

static size_t
broken_off(u_char *in, size_t n)
{
    u_char  ch;
    size_t  len, wanted;

    for (len = 1; len <= n; len++) {

        ch = in[n - len];

        if (ch == '&') {
            return len;
        }

        if (ch == '/' && len < n && in[n - len - 1] == '<') {
            return len + 1;
        }

        if (ch < 0x80 && !isalnum(ch) && (ch == '\0' || !strchr(":_-.#", ch)))
        {
            break;
        }
    }

    for (len = 1; len < 4 && len <= n; len++) {

        if ((in[n - len] & 0xc0) != 0x80) {
            wanted = in[n - len] >= 0xf0 ? 4 : in[n - len] >= 0xe0 ? 3
                     : in[n - len] >= 0xc0 ? 2 : 1;

            return wanted > len ? len : 0;
        }
    }

    return 0;
}


/*
 * Names are made of what the fifth edition of XML 1.0 lets stand in them;
 * expat knows the fourth one, with fewer characters.
 */

static ngx_uint_t
newer_name(u_char *in, size_t n, size_t at)
{
    u_char    *p;
    uint32_t   code;

    if (at >= n || in[at] < 0x80) {
        return 0;
    }

    p = in + at;
    code = ngx_mail_xmpp_utf8_decode(&p, in + n);

    return code != NGX_MAIL_XMPP_INVALID && ngx_mail_xmpp_xml_name(code);
}


/*
 * What we refuse, expat refuses too, or it takes it together with one of the
 * endings.  Then it has to be something that XMPP does not have, or that goes
 * beyond our limits, and our error has to say so.
 */

static void
check_refusal(expat_t *e, log_t *log, u_char *in, size_t n)
{
    size_t          i;
    enum XML_Error  error;

    error = expat_run(e, in, n, NULL, 0);

    if (!named(log, in, n, error)) {
        broken("%s at byte %d, and expat says \"%s\"", log->error,
               (int) log->offset,
               error == XML_ERROR_NONE ? "go on" : XML_ErrorString(error));
    }

    if (error != XML_ERROR_NONE) {
        return;
    }

    for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {

        error = expat_run(e, in, n, endings[i], 0);

        if (error == XML_ERROR_NONE
            && e->consumed == n + strlen(endings[i])
            && !allowed(e, log, in, n))
        {
            broken("%s at byte %d, and expat takes it, with \"%s\"",
                   log->error, (int) log->offset, endings[i]);
        }
    }
}


/* is it what the error says, as far as the last bytes tell? */

static ngx_uint_t
named(log_t *log, u_char *in, size_t n, enum XML_Error error)
{
    size_t  i;

    /* bytes that are not UTF-8 come first, whatever they stand in */

    if (wrong_utf8(in, n)) {
        return strcmp(log->error, "unsupported-encoding") == 0;
    }

    if (log->behind) {

        /* a tag can be wrong in more than one way */

        if (error == XML_ERROR_UNBOUND_PREFIX
            || error == XML_ERROR_UNDECLARING_PREFIX
            || error == XML_ERROR_RESERVED_PREFIX_XML
            || error == XML_ERROR_RESERVED_PREFIX_XMLNS
            || error == XML_ERROR_RESERVED_NAMESPACE_URI
            || error == XML_ERROR_DUPLICATE_ATTRIBUTE)
        {
            return strcmp(log->error, "bad-namespace-prefix") == 0
                   || strcmp(log->error, "policy-violation") == 0
                   || (strcmp(log->error, "not-well-formed") == 0
                       && error != XML_ERROR_UNDECLARING_PREFIX);
        }

        /* namespaces, of which expat has no limit, or a newer name */

        return strcmp(log->error, "policy-violation") == 0
               || error == XML_ERROR_INVALID_TOKEN;
    }

    if (strcmp(log->error, "restricted-xml") == 0) {

        for (i = n - 2; i > 0 && in[i] != '<' && in[i] != '&'; i--) {
            /* void */
        }

        return in[i] == '&' || in[i + 1] == '!' || in[i + 1] == '?';
    }

    if (strcmp(log->error, "bad-format") == 0) {
        return log->level == 1;
    }

    if (strcmp(log->error, "unsupported-encoding") == 0) {
        return utf16(in, n) || memmem(in, n, "encoding", 8) != NULL;
    }

    return strcmp(log->error, "not-well-formed") == 0
           || strcmp(log->error, "policy-violation") == 0;
}


/* all that is XML but not for us, by the error */

static ngx_uint_t
allowed(expat_t *e, log_t *log, u_char *in, size_t n)
{
    /* elements in each other, attributes, namespaces in scope */

    if (strcmp(log->error, "policy-violation") == 0) {
        return e->max_level > NGX_MAIL_XMPP_MAX_DEPTH
               || e->max_attrs > NGX_MAIL_XMPP_MAX_ATTRS
               || e->max_bindings > NGX_MAIL_XMPP_MAX_BINDINGS;
    }

    if (strcmp(log->error, "restricted-xml") == 0) {
        return e->restricted;
    }

    /* a reference between the children may be one of white space */

    if (strcmp(log->error, "bad-format") == 0) {
        return e->text_between || (log->level == 1 && in[n - 1] == '&');
    }

    /* expat is told the encoding, and knows UTF-16 nevertheless */

    if (strcmp(log->error, "unsupported-encoding") == 0) {
        return e->encoding || utf16(in, n);
    }

    /* a mark at the start, which only UTF-16 has to have */

    if (strcmp(log->error, "not-well-formed") == 0) {
        return e->version || (n >= 3 && memcmp(in, "\xef\xbb\xbf", 3) == 0);
    }

    return 0;
}


/* RFC 3629; a character that is broken off at the end is all right */

static ngx_uint_t
wrong_utf8(u_char *in, size_t n)
{
    u_char  ch, low, high;
    size_t  i, j, len;

    for (i = 0; i < n; i += len) {

        ch = in[i];
        len = 1;

        if (ch < 0x80) {
            continue;
        }

        if (ch < 0xc2 || ch > 0xf4) {
            return 1;
        }

        len = ch >= 0xf0 ? 4 : ch >= 0xe0 ? 3 : 2;

        low = ch == 0xe0 ? 0xa0 : ch == 0xf0 ? 0x90 : 0x80;
        high = ch == 0xed ? 0x9f : ch == 0xf4 ? 0x8f : 0xbf;

        for (j = i + 1; j < i + len && j < n; j++) {

            if (in[j] < low || in[j] > high) {
                return 1;
            }

            low = 0x80;
            high = 0xbf;
        }
    }

    return 0;
}


static ngx_uint_t
utf16(u_char *in, size_t n)
{
    return (n > 0 && (in[0] == '\0' || in[0] == 0xfe || in[0] == 0xff))
           || (n > 1 && in[1] == '\0');
}


/*
 * Our events as expat reports them: decoded, and with white space as XML wants
 * it, as we leave it as it is.
 */

static void
our_events(bytes_t *events, log_t *log)
{
    u_char      *p, head[WAY_HEAD];
    attr_t       attrs[MAX_ATTRS];
    size_t       prefix;
    ngx_str_t    name, text, s;
    ngx_uint_t   i;

    events->len = 0;
    p = log->data;

    while (log->len && p < log->data + log->len) {

        p = way_get(head, p, WAY_HEAD);
        p = get_string(&name, p);

        for (i = 0; i < head[4]; i++) {
            p = way_get(&prefix, p, sizeof(size_t));
            p = get_string(&attrs[i].name, p);
            p = get_string(&s, p);

            if (prefix && (prefix >= attrs[i].name.len
                           || attrs[i].name.data[prefix] != ':'))
            {
                broken("wrong length of a prefix");
            }

            normalise(&attrs[i].value, &s, 1);
        }

        if (head[0] == ngx_mail_xmpp_stream_start
            || head[0] == ngx_mail_xmpp_element_start)
        {
            write_start(events, head[1], head[2], head[3], &name, attrs,
                        head[4]);

        } else {
            ngx_str_null(&text);

            if (head[0] == ngx_mail_xmpp_element_end) {
                p = get_string(&s, p);
                normalise(&text, &s, 0);
            }

            write_end(events, head[1], head[2], &name, &text);
            free(text.data);
        }

        for (i = 0; i < head[4]; i++) {
            free(attrs[i].value.data);
        }
    }
}


static u_char *
get_string(ngx_str_t *s, u_char *p)
{
    p = way_get(&s->len, p, sizeof(size_t));
    s->data = p;

    return p + s->len;
}


/* XML 1.0, 2.11 and 3.3.3: done before references are replaced */

static void
normalise(ngx_str_t *dst, ngx_str_t *raw, ngx_uint_t value)
{
    u_char  *p, *last, ch;

    dst->data = malloc(raw->len);
    dst->len = 0;

    last = raw->data + raw->len;

    for (p = raw->data; p < last; p++) {

        ch = *p;

        if (ch == CR) {

            if (p + 1 < last && p[1] == LF) {
                p++;
            }

            ch = LF;
        }

        if (value && (ch == LF || ch == '\t')) {
            ch = ' ';
        }

        dst->data[dst->len++] = ch;
    }

    dst->len = ngx_mail_xmpp_decode(dst->data, dst);
}
