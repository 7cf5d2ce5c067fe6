
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>
#include <ngx_mail_xmpp_parse.h>
#include <ngx_mail_xmpp_write.h>

#include <stdlib.h>

#include <pool.h>

#include "parser.h"


#define MAX_TEXT  256


static void check_memory(ngx_str_t *text);
static void find_text(log_t *log, char *name, ngx_uint_t nth,
    ngx_str_t *found);
static size_t expected(u_char *dst, u_char *in, size_t n);
static size_t character(u_char *p, size_t n);
static size_t collapse(u_char *p, size_t n);
static void same_text(const char *what, ngx_str_t *raw, u_char *in, size_t n);
static void same_base64(const char *what, ngx_str_t *text, u_char *in,
    size_t n);
static void lowered(const char *what, ngx_str_t *domain, u_char *in);
static void jid_part(const char *what, ngx_str_t *part, u_char *jid, size_t n);


static u_char  replacement[] = "\xef\xbf\xbd";


/*
 * Whatever the text is, what is written has to be a stream for our parser and
 * for expat, with the text in it.
 */

void
check_text(u_char *in, size_t n)
{
    u_char               name[] = "aborted", plain[2 * MAX_TEXT + 2];
    way_t                way;
    ngx_str_t            text, condition, names[2], found;
    ngx_pool_t           pool;
    ngx_uint_t           server;
    ngx_mail_xmpp_out_t  out;
    static log_t         log;

    if (n > MAX_TEXT) {
        n = MAX_TEXT;
    }

    text.data = memcpy(way_fence(n) - n, in, n);
    text.len = n;

    condition.data = name;
    condition.len = sizeof(name) - 1;

    for (server = 0; server < 2; server++) {

        pool_init(&pool, POOL_BLOCKS);
        memset(&out, 0, sizeof(ngx_mail_xmpp_out_t));
        out.pool = &pool;

        names[0] = text;
        names[1] = condition;

        ngx_mail_xmpp_write_stream(&out, server, &text, &text, &text);
        ngx_mail_xmpp_write_features(&out);
        ngx_mail_xmpp_write_starttls(&out, server);
        ngx_mail_xmpp_write_mechanisms(&out, names, 2);
        ngx_mail_xmpp_write_features_end(&out);
        ngx_mail_xmpp_write_proceed(&out);
        ngx_mail_xmpp_write_tls_failure(&out);
        ngx_mail_xmpp_write_auth_plain(&out, &text, &text);
        ngx_mail_xmpp_write_challenge(&out, &text);
        ngx_mail_xmpp_write_failure(&out, &condition, &text);
        ngx_mail_xmpp_write_success(&out);
        ngx_mail_xmpp_write_stream_error(&out, "see-other-host", &text, &text);

        if (out.failed) {
            broken("writing failed");
        }

        memset(&way, 0, sizeof(way_t));

        way.name = "written";
        way.size = out.last - out.start;
        way.buf = malloc(way.size);

        way_parse(&log, out.start, way.size, &way);

        if (!log.closed || log.offset != way.size) {
            broken("what is written is no stream, at byte %d",
                   (int) log.offset);
        }

        compare_expat(&log, out.start, way.size);

        /* the name of an attribute, or of an element */

        find_text(&log, "id", 0, &found);
        same_text("id", &found, in, n);
        find_text(&log, "from", 0, &found);
        same_text("from", &found, in, n);
        find_text(&log, "to", 0, &found);
        same_text("to", &found, in, n);
        find_text(&log, "mechanism", 0, &found);
        same_text("mechanism", &found, in, n);
        find_text(&log, "text", 0, &found);
        same_text("text of a failure", &found, in, n);
        find_text(&log, "see-other-host", 0, &found);
        same_text("location", &found, in, n);
        find_text(&log, "text", 1, &found);
        same_text("text of an error", &found, in, n);

        find_text(&log, "challenge", 0, &found);
        same_base64("challenge", &found, in, n);

        plain[0] = '\0';
        memcpy(plain + 1, in, n);
        plain[n + 1] = '\0';
        memcpy(plain + n + 2, in, n);

        find_text(&log, "auth", 0, &found);
        same_base64("auth", &found, plain, 2 * n + 2);

        free(way.buf);

        ngx_mail_xmpp_write_clear(&out);

        if (pool_done(&pool)) {
            broken("something is left in the memory");
        }
    }

    check_memory(&text);
}


/* with an allocation that fails, some of them only after others */

static void
check_memory(ngx_str_t *text)
{
    ngx_pool_t           pool;
    ngx_mail_xmpp_out_t  out;

    pool_init(&pool, way_random() % 8);
    memset(&out, 0, sizeof(ngx_mail_xmpp_out_t));
    out.pool = &pool;

    ngx_mail_xmpp_write_stream(&out, 0, text, text, NULL);
    ngx_mail_xmpp_write_auth_plain(&out, text, text);
    ngx_mail_xmpp_write_challenge(&out, text);
    ngx_mail_xmpp_write_stream_error(&out, "bad-format", NULL, text);

    if (out.failed != pool.failed) {
        broken("a failure is not noticed");
    }

    ngx_mail_xmpp_write_clear(&out);

    if (pool_done(&pool)) {
        broken("something is left in the memory of what failed");
    }
}


/* the value of an attribute, or the text of an element, the nth of a name */

static void
find_text(log_t *log, char *name, ngx_uint_t nth, ngx_str_t *found)
{
    u_char      *p, head[WAY_HEAD];
    size_t       n;
    ngx_str_t    s;
    ngx_uint_t   i;

    p = log->data;

    while (p < log->data + log->len) {

        p = way_get(head, p, WAY_HEAD);
        p = way_get(&s.len, p, sizeof(size_t));
        s.data = p;
        p += s.len;

        for (i = 0; i < head[4]; i++) {
            ngx_str_t  attr;

            p = way_get(&n, p, sizeof(size_t));
            p = way_get(&attr.len, p, sizeof(size_t));
            attr.data = p;
            p += attr.len;
            p = way_get(&found->len, p, sizeof(size_t));
            found->data = p;
            p += found->len;

            if (attr.len == strlen(name)
                && memcmp(attr.data, name, attr.len) == 0 && nth-- == 0)
            {
                return;
            }
        }

        if (head[0] != ngx_mail_xmpp_element_end) {
            continue;
        }

        p = way_get(&found->len, p, sizeof(size_t));
        found->data = p;
        p += found->len;

        if (s.len == strlen(name) && memcmp(s.data, name, s.len) == 0
            && nth-- == 0)
        {
            return;
        }
    }

    broken("%s is not in what is written", name);
}


static void
same_text(const char *what, ngx_str_t *raw, u_char *in, size_t n)
{
    u_char  *text, *wanted;
    size_t   len, size;

    text = malloc(raw->len);
    len = collapse(text, ngx_mail_xmpp_decode(text, raw));

    wanted = malloc(3 * n);
    size = collapse(wanted, expected(wanted, in, n));

    if (len != size || memcmp(text, wanted, len) != 0) {
        broken("%s is written as another text", what);
    }

    free(text);
    free(wanted);
}


/*
 * A text as it has to arrive: what XML can not have is replaced.  How many
 * replacements a broken sequence is worth does not matter, so a row of them is
 * taken for one on both sides.
 */

static size_t
expected(u_char *dst, u_char *in, size_t n)
{
    size_t   i, len;
    u_char  *d;

    d = dst;

    for (i = 0; i < n; i += len) {

        len = character(in + i, n - i);

        if (len == 0) {
            d = (u_char *) memcpy(d, replacement, 3) + 3;
            len = 1;
            continue;
        }

        d = (u_char *) memcpy(d, in + i, len) + len;
    }

    return d - dst;
}


/* the length of a character of XML, by the table of the Unicode standard */

static size_t
character(u_char *p, size_t n)
{
    size_t       i, len;
    ngx_uint_t   row;
    static const struct {
        u_char   first[2];
        u_char   second[2];
        size_t   len;
    } rows[] = {
        { { 0x09, 0x0a }, { 0x00, 0x00 }, 1 },
        { { 0x0d, 0x0d }, { 0x00, 0x00 }, 1 },
        { { 0x20, 0x7f }, { 0x00, 0x00 }, 1 },
        { { 0xc2, 0xdf }, { 0x80, 0xbf }, 2 },
        { { 0xe0, 0xe0 }, { 0xa0, 0xbf }, 3 },
        { { 0xe1, 0xec }, { 0x80, 0xbf }, 3 },
        { { 0xed, 0xed }, { 0x80, 0x9f }, 3 },
        { { 0xee, 0xef }, { 0x80, 0xbf }, 3 },
        { { 0xf0, 0xf0 }, { 0x90, 0xbf }, 4 },
        { { 0xf1, 0xf3 }, { 0x80, 0xbf }, 4 },
        { { 0xf4, 0xf4 }, { 0x80, 0x8f }, 4 }
    };

    for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {

        len = rows[row].len;

        if (p[0] < rows[row].first[0] || p[0] > rows[row].first[1]) {
            continue;
        }

        if (len == 1) {
            return 1;
        }

        if (n < len || p[1] < rows[row].second[0]
            || p[1] > rows[row].second[1])
        {
            return 0;
        }

        for (i = 2; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return 0;
            }
        }

        /* U+FFFE and U+FFFF */
        if (len == 3 && memcmp(p, "\xef\xbf", 2) == 0 && p[2] > 0xbd) {
            return 0;
        }

        return len;
    }

    return 0;
}


static size_t
collapse(u_char *p, size_t n)
{
    size_t  i, len;

    for (i = 0, len = 0; i < n; i++) {

        if (len >= 3 && n - i >= 3 && memcmp(p + len - 3, replacement, 3) == 0
            && memcmp(p + i, replacement, 3) == 0)
        {
            i += 2;
            continue;
        }

        p[len++] = p[i];
    }

    return len;
}


static void
same_base64(const char *what, ngx_str_t *text, u_char *in, size_t n)
{
    ngx_str_t  data, encoded;

    data.data = in;
    data.len = n;

    encoded.data = malloc(ngx_base64_encoded_length(n));
    ngx_encode_base64(&encoded, &data);

    if (encoded.len != text->len
        || memcmp(encoded.data, text->data, text->len) != 0)
    {
        broken("%s is written as other base64", what);
    }

    free(encoded.data);
}


/*
 * A JID that is taken consists of parts of what was given, and its parts are
 * taken again as they are.
 */

void
check_jid(u_char *in, size_t n)
{
    u_char     *copy, *again;
    ngx_str_t   jid, local, domain, l, d;

    copy = memcpy(way_fence(n) - n, in, n);

    local.data = copy;
    local.len = n;

    if (ngx_mail_xmpp_jid_local(&local) == NGX_OK) {
        jid_part("local part", &local, copy, n);

        if (local.len != n) {
            broken("a local part that is shorter");
        }
    }

    if (memcmp(copy, in, n) != 0) {
        broken("a local part was changed");
    }

    domain.data = copy;
    domain.len = n;

    if (ngx_mail_xmpp_jid_domain(&domain) == NGX_OK) {
        jid_part("domain", &domain, copy, n);
        lowered("domain", &domain, in);

        d = domain;
        again = malloc(d.len);
        memcpy(again, d.data, d.len);

        if (ngx_mail_xmpp_jid_domain(&d) != NGX_OK || d.len != domain.len
            || memcmp(again, d.data, d.len) != 0)
        {
            broken("a domain that is another one the second time");
        }

        free(again);
    }

    copy = memcpy(way_fence(n) - n, in, n);

    jid.data = copy;
    jid.len = n;

    if (ngx_mail_xmpp_jid_split(&jid, &local, &domain) != NGX_OK) {
        return;
    }

    jid_part("domain", &domain, copy, n);
    lowered("domain of a JID", &domain, in + (domain.data - copy));

    if (local.len) {
        jid_part("local part", &local, copy, n);

        if (memcmp(local.data, in, local.len) != 0) {
            broken("the local part of a JID was changed");
        }
    }

    /* without the resource */

    again = malloc(local.len + 1 + domain.len);
    jid.data = again;

    if (local.len) {
        memcpy(again, local.data, local.len);
        again[local.len] = '@';
        again += local.len + 1;
    }

    memcpy(again, domain.data, domain.len);
    jid.len = again + domain.len - jid.data;

    if (ngx_mail_xmpp_jid_split(&jid, &l, &d) != NGX_OK
        || l.len != local.len || d.len != domain.len
        || memcmp(d.data, domain.data, d.len) != 0
        || (l.len && memcmp(l.data, local.data, l.len) != 0))
    {
        broken("a JID that is another one the second time");
    }

    free(jid.data);
}


/* ASCII only; other letters are compared as they are */

static void
lowered(const char *what, ngx_str_t *domain, u_char *in)
{
    size_t  i;

    for (i = 0; i < domain->len; i++) {
        if (domain->data[i]
            != (in[i] >= 'A' && in[i] <= 'Z' ? in[i] + 32 : in[i]))
        {
            broken("a %s that is another one", what);
        }
    }
}


static void
jid_part(const char *what, ngx_str_t *part, u_char *jid, size_t n)
{
    size_t  i, len;

    if (part->data < jid || part->data + part->len > jid + n) {
        broken("a %s that is not in the JID", what);
    }

    if (part->len == 0 || part->len > 1023) {
        broken("a %s of %d bytes", what, (int) part->len);
    }

    for (i = 0; i < part->len; i += len) {

        len = character(part->data + i, part->len - i);

        if (len == 0 || part->data[i] <= ' ' || part->data[i] == 0x7f
            || strchr("\"&'/<>@", part->data[i]))
        {
            broken("a %s with a wrong character", what);
        }
    }
}
