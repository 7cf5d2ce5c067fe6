
/*
 * Feeds the parser, the writer and the JID checks with the cases that come on
 * standard input, and prints what these make of them.
 *
 * A case is a line "KIND LENGTH", LENGTH bytes, and a newline; a result is
 * some lines, and a line with a dot.  A line "! ..." tells of a contract that
 * was broken.  Strings are printed with percent escapes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail.h>
#include <ngx_mail_xmpp_module.h>
#include <ngx_mail_xmpp_parse.h>
#include <ngx_mail_xmpp_write.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <pool.h>
#include <ways.h>


static void case_parse(u_char *in, size_t n);
static void print_log(log_t *log);
static void case_decode(u_char *in, size_t n);
static ngx_uint_t is_text(u_char *in, size_t n);
static void case_jid(char *kind, u_char *in, size_t n);
static ngx_int_t check_jid(char *kind, u_char *in, size_t n,
    ngx_str_t *local, ngx_str_t *domain);
static void case_write(u_char *in, size_t n);
static void case_memory(u_char *in, size_t n);
static void case_chars(void);
static void print(const u_char *p, size_t n);


static const char  *namespaces[] = {
    "none", "other", "xml", "xmlns", "client", "server", "stream", "tls",
    "sasl"
};

static ngx_uint_t   nbroken;


int
main(void)
{
    char     kind[16];
    u_char  *in;
    size_t   n;

    while (scanf("%15s %zu", kind, &n) == 2) {

        in = malloc(n);

        if (in == NULL || getchar() != '\n' || fread(in, 1, n, stdin) != n) {
            return 2;
        }

        nbroken = 0;

        if (strcmp(kind, "parse") == 0) {
            case_parse(in, n);

        } else if (strcmp(kind, "decode") == 0) {
            case_decode(in, n);

        } else if (strcmp(kind, "write") == 0) {
            case_write(in, n);

        } else if (strcmp(kind, "memory") == 0) {
            case_memory(in, n);

        } else if (strcmp(kind, "chars") == 0) {
            case_chars();

        } else {
            case_jid(kind, in, n);
        }

        free(in);

        printf(".\n");
        fflush(stdout);
    }

    return 0;
}


static void
case_parse(u_char *in, size_t n)
{
    static log_t  whole;

    way_all(&whole, in, n);

    print_log(&whole);
}


static void
print_log(log_t *log)
{
    u_char            *p, head[WAY_HEAD], *decoded;
    size_t             n, prefix;
    ngx_str_t          s;
    ngx_uint_t         i;
    static const char *names[] = { "header", "close", "start", "end" };

    p = log->data;

    while (log->len && p < log->data + log->len) {

        p = way_get(head, p, sizeof(head));

        printf("%s %d %s", names[head[0]], head[1], namespaces[head[2]]);

        if (head[0] == ngx_mail_xmpp_stream_start) {
            printf(" %s", namespaces[head[3]]);
        }

        p = way_get(&n, p, sizeof(size_t));

        printf(" ");
        print(p, n);
        p += n;

        /* the values of attributes, and the text behind these */

        for (i = 0; i < head[4]; i++) {
            p = way_get(&prefix, p, sizeof(size_t));
            p = way_get(&n, p, sizeof(size_t));

            if (prefix && (prefix >= n || p[prefix] != ':')) {
                broken("wrong length of a prefix");
            }

            printf(" ");
            print(p, n);
            printf("=");
            p += n;

            p = way_get(&s.len, p, sizeof(size_t));
            s.data = p;
            p += s.len;

            decoded = malloc(s.len);
            print(decoded, ngx_mail_xmpp_decode(decoded, &s));
            free(decoded);
        }

        if (head[0] == ngx_mail_xmpp_element_end) {
            p = way_get(&s.len, p, sizeof(size_t));
            s.data = p;
            p += s.len;

            printf(" ");
            decoded = malloc(s.len);
            print(decoded, ngx_mail_xmpp_decode(decoded, &s));
            free(decoded);
        }

        printf("\n");
    }

    if (log->rc == NGX_ERROR) {
        printf("error %s %d\n", log->error, (int) log->offset);

    } else {
        printf("%s %d\n", log->closed ? "closed" : "again",
               (int) (log->closed ? log->offset : log->level));
    }
}


static void
case_decode(u_char *in, size_t n)
{
    u_char     *dst, *part;
    size_t      i, len;
    ngx_str_t   s;

    s.data = in;
    s.len = n;

    dst = malloc(n);
    len = ngx_mail_xmpp_decode(dst, &s);
    print(dst, len);
    printf("\n");

    /* any length that is a text by itself, with the fence behind both */

    for (i = 0; i <= n; i++) {

        if (!is_text(in, i)) {
            continue;
        }

        part = malloc(i);
        s.data = memcpy(way_fence(i) - i, in, i);
        s.len = i;

        if (ngx_mail_xmpp_decode(part, &s) > len || memcmp(s.data, in, i) != 0
            || memcmp(part, dst, ngx_mail_xmpp_decode(part, &s)) != 0)
        {
            broken("the first %d bytes are another text", (int) i);
        }

        free(part);
    }

    s.data = in;
    s.len = n;

    if (ngx_mail_xmpp_decode(in, &s) != len || memcmp(in, dst, len) != 0) {
        broken("decoded in place it is another text");
    }

    free(dst);
}


/* only a text that the parser has found to be right may be decoded */

static ngx_uint_t
is_text(u_char *in, size_t n)
{
    u_char                         *xml, *p;
    ngx_buf_t                       b;
    static ngx_mail_xmpp_parser_t   parser;

    xml = malloc(n + sizeof("<s><a></a>"));

    p = memcpy(xml, "<s><a>", 6);
    p = memcpy(p + 6, in, n);
    memcpy(p + n, "</a>", 4);

    b.start = xml;
    b.pos = xml;
    b.last = xml + n + 10;
    b.end = b.last;

    ngx_mail_xmpp_parse_init(&parser);

    while (ngx_mail_xmpp_parse(&parser, &b) == NGX_OK) { /* void */ }

    free(xml);

    return parser.error == NULL && parser.level == 1 && b.pos == b.last
           && parser.event == ngx_mail_xmpp_element_end
           && parser.text.len == n;
}


static void
case_jid(char *kind, u_char *in, size_t n)
{
    u_char     *copy;
    size_t      i;
    ngx_int_t   rc;
    ngx_str_t   local, domain;

    /* any length before the fence */

    for (i = 0; i < n; i++) {
        copy = memcpy(way_fence(i) - i, in, i);
        (void) check_jid(kind, copy, i, &local, &domain);
    }

    copy = memcpy(way_fence(n) - n, in, n);

    rc = check_jid(kind, copy, n, &local, &domain);

    if (rc != NGX_OK) {
        printf(rc == NGX_DECLINED ? "declined\n" : "error\n");
        return;
    }

    printf("ok ");
    print(local.data, local.len);
    printf(" ");
    print(domain.data, domain.len);
    printf("\n");
}


static ngx_int_t
check_jid(char *kind, u_char *in, size_t n, ngx_str_t *local,
    ngx_str_t *domain)
{
    ngx_str_t  jid;

    ngx_str_null(local);
    ngx_str_null(domain);

    jid.data = in;
    jid.len = n;

    if (strcmp(kind, "local") == 0) {
        *local = jid;
        return ngx_mail_xmpp_jid_local(local);
    }

    if (strcmp(kind, "domain") == 0) {
        *domain = jid;
        return ngx_mail_xmpp_jid_domain(domain);
    }

    if (strcmp(kind, "jid") != 0) {
        abort();
    }

    return ngx_mail_xmpp_jid_split(&jid, local, domain);
}


static void
print_out(const char *name, ngx_mail_xmpp_out_t *out)
{
    printf("%s ", name);
    print(out->start, out->last - out->start);
    printf("\n");

    if (out->failed) {
        broken("%s: failed", name);
    }

    ngx_mail_xmpp_write_clear(out);

    if (out->last != out->start) {
        broken("%s: not cleared", name);
    }
}


static void
case_write(u_char *in, size_t n)
{
    u_char               mechanism[] = "PLAIN", condition[] = "aborted";
    size_t               i;
    ngx_str_t            text, fixed, names[2];
    ngx_pool_t           pool;
    ngx_mail_xmpp_out_t  out;

    pool_init(&pool, POOL_BLOCKS);
    memset(&out, 0, sizeof(ngx_mail_xmpp_out_t));
    out.pool = &pool;

    /* any length before the fence: as a text, and in base64 */

    for (i = 1; i <= n; i++) {
        text.data = memcpy(way_fence(i) - i, in, i);
        text.len = i;

        ngx_mail_xmpp_write_mechanisms(&out, &text, 1);
        ngx_mail_xmpp_write_challenge(&out, &text);
        ngx_mail_xmpp_write_clear(&out);
    }

    text.data = memcpy(way_fence(n) - n, in, n);
    text.len = n;

    ngx_mail_xmpp_write_stream(&out, 0, &text, &text, &text);
    print_out("header", &out);

    ngx_mail_xmpp_write_stream(&out, 0, &text, NULL, NULL);
    print_out("header-without", &out);

    ngx_mail_xmpp_write_stream(&out, 1, &text, &text, NULL);
    print_out("header-server", &out);

    ngx_mail_xmpp_write_stream_error(&out, "bad-format", NULL, &text);
    print_out("stream-error", &out);

    ngx_mail_xmpp_write_stream_error(&out, "bad-format", NULL, NULL);
    print_out("stream-error-without", &out);

    ngx_mail_xmpp_write_stream_error(&out, "see-other-host", &text, NULL);
    print_out("location", &out);

    fixed.data = condition;
    fixed.len = sizeof(condition) - 1;

    ngx_mail_xmpp_write_failure(&out, &fixed, &text);
    print_out("failure", &out);

    ngx_mail_xmpp_write_failure(&out, &fixed, NULL);
    print_out("failure-without", &out);

    names[0] = text;
    names[1].data = mechanism;
    names[1].len = sizeof(mechanism) - 1;

    ngx_mail_xmpp_write_features(&out);
    ngx_mail_xmpp_write_starttls(&out, 1);
    ngx_mail_xmpp_write_mechanisms(&out, names, 2);
    ngx_mail_xmpp_write_features_end(&out);
    print_out("features", &out);

    ngx_mail_xmpp_write_features(&out);
    ngx_mail_xmpp_write_starttls(&out, 0);
    ngx_mail_xmpp_write_features_end(&out);
    print_out("features-without", &out);

    ngx_mail_xmpp_write_challenge(&out, &text);
    print_out("challenge", &out);

    ngx_mail_xmpp_write_auth_plain(&out, &text, &text);
    print_out("auth", &out);

    ngx_mail_xmpp_write_proceed(&out);
    print_out("proceed", &out);

    ngx_mail_xmpp_write_tls_failure(&out);
    print_out("tls-failure", &out);

    ngx_mail_xmpp_write_success(&out);
    print_out("success", &out);

    if (pool_done(&pool)) {
        broken("something is left in the memory");
    }
}


/* all at once, each allocation fails in its turn */

static void
case_memory(u_char *in, size_t n)
{
    u_char               condition[] = "aborted";
    ngx_str_t            text, fixed;
    ngx_uint_t           left;
    ngx_pool_t           pool;
    ngx_mail_xmpp_out_t  out;

    text.data = in;
    text.len = n;
    fixed.data = condition;
    fixed.len = sizeof(condition) - 1;

    for (left = 0; left < POOL_BLOCKS; left++) {

        pool_init(&pool, left);
        memset(&out, 0, sizeof(ngx_mail_xmpp_out_t));
        out.pool = &pool;

        ngx_mail_xmpp_write_auth_plain(&out, &text, &text);
        ngx_mail_xmpp_write_failure(&out, &fixed, &text);
        ngx_mail_xmpp_write_challenge(&out, &text);
        ngx_mail_xmpp_write_stream_end(&out);

        if (out.failed != pool.failed) {
            broken("failed is %d without allocation %d", (int) out.failed,
                   (int) left);
        }

        printf("%s%s", left ? " " : "", out.failed ? "failed" : "ok");

        ngx_mail_xmpp_write_clear(&out);

        if (pool_done(&pool)) {
            broken("something is left in the memory");
        }
    }

    printf("\n");
}


/* the ranges of characters outside of ASCII */

static void
case_chars(void)
{
    uint32_t           code, first;
    ngx_uint_t         i;
    static const struct {
        const char     *name;
        ngx_uint_t    (*is)(uint32_t code);
    } classes[] = {
        { "Char", ngx_mail_xmpp_xml_char },
        { "NameStartChar", ngx_mail_xmpp_xml_name_start },
        { "NameChar", ngx_mail_xmpp_xml_name }
    };

    for (i = 0; i < 3; i++) {
        printf("%s", classes[i].name);

        first = 0;

        for (code = 0x80; code <= 0x120000; code++) {

            if (classes[i].is(code)) {
                if (first == 0) {
                    first = code;
                }

            } else if (first) {
                printf(" %x-%x", first, code - 1);
                first = 0;
            }
        }

        printf("\n");
    }
}


void
broken(const char *fmt, ...)
{
    va_list  args;

    if (nbroken++ >= 5) {
        return;
    }

    printf("! ");

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
}


static void
print(const u_char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (p[i] > ' ' && p[i] < 0x7f && p[i] != '%' && p[i] != '=') {
            putchar(p[i]);

        } else {
            printf("%%%02X", p[i]);
        }
    }
}
