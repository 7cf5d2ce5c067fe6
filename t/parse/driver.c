
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
#include <sys/mman.h>
#include <unistd.h>

#include <pool.h>


#define MAX_EVENTS     4096
#define RANDOM_ROUNDS  20


typedef enum {
    piece_all = 0,
    piece_byte,
    piece_split,
    piece_random
} piece_e;


/* a way to hand a stream to the parser */

typedef struct {
    const char  *name;
    piece_e      piece;
    size_t       split;
    ngx_uint_t   compact;
    u_char      *buf;
    size_t       size;
} way_t;


/* what the parser made of it, the events one behind the other in "data" */

typedef struct {
    u_char      *data;
    size_t       len;
    size_t       size;

    ngx_int_t    rc;
    char        *error;
    size_t       offset;
    ngx_uint_t   level;
    ngx_uint_t   closed;

    ngx_uint_t   n;

    struct {
        size_t      offset;    /* in the stream, behind the event */
        size_t      len;       /* of "data" then */
        u_char      event;
        u_char      depth;
    } events[MAX_EVENTS];
} log_t;


static void case_parse(u_char *in, size_t n);
static void parse(log_t *log, u_char *in, size_t n, way_t *way);
static void record(log_t *log, ngx_mail_xmpp_parser_t *p, ngx_buf_t *b);
static void compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b, u_char *to,
    way_t *way);
static void compare(log_t *log, log_t *whole, way_t *way);
static void prefix(log_t *log, log_t *whole, u_char *in, size_t n);
static size_t room(log_t *log, size_t n);
static void print_log(log_t *log);
static void case_decode(u_char *in, size_t n);
static void case_jid(char *kind, u_char *in, size_t n);
static void case_write(u_char *in, size_t n);
static void case_memory(u_char *in, size_t n);
static void case_chars(void);
static void broken(const char *fmt, ...);
static void print(const u_char *p, size_t n);
static uint32_t next_random(void);


static const char  *namespaces[] = {
    "none", "other", "xml", "xmlns", "client", "server", "stream", "tls",
    "sasl"
};

static ngx_uint_t   nbroken;
static uint32_t     seed = 1;


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
    u_char        *page, *end;
    size_t         i, size, psize;
    way_t          way;
    ngx_uint_t     round;
    static log_t   whole, log;

    psize = sysconf(_SC_PAGESIZE);
    size = (n / psize + 1) * psize;

    page = mmap(NULL, size + psize, PROT_READ|PROT_WRITE,
                MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED
        || mprotect(page + size, psize, PROT_NONE) != 0)
    {
        abort();
    }

    end = page + size;

    memset(&way, 0, sizeof(way_t));

    way.name = "whole";
    way.buf = end - n;
    way.size = n;

    parse(&whole, in, n, &way);

    /* any length at the end of a page */

    way.name = "end of page";

    for (i = 1; i <= n; i++) {
        way.buf = end - i;
        way.size = i;

        parse(&log, in, i, &way);
        prefix(&log, &whole, in, i);
    }

    /* all the pieces */

    way.size = n;
    way.buf = malloc(n);

    for (way.compact = 0; way.compact < 2; way.compact++) {

        way.name = way.compact ? "split, compacted" : "split";
        way.piece = piece_split;

        for (way.split = 1; way.split < n; way.split++) {
            parse(&log, in, n, &way);
            compare(&log, &whole, &way);
        }
    }

    way.split = 0;

    for (way.compact = 0; way.compact < 3; way.compact++) {

        if (way.compact) {

            /* nothing but the header and a child has to fit */

            free(way.buf);
            way.size = room(&whole, n);
            way.buf = malloc(way.size);
        }

        way.name = way.compact ? "byte by byte, compacted" : "byte by byte";
        way.piece = piece_byte;

        parse(&log, in, n, &way);
        compare(&log, &whole, &way);

        way.name = way.compact ? "random pieces, compacted" : "random pieces";
        way.piece = piece_random;

        for (round = 0; round < RANDOM_ROUNDS; round++) {
            parse(&log, in, n, &way);
            compare(&log, &whole, &way);
        }
    }

    free(way.buf);
    munmap(page, size + psize);

    print_log(&whole);
}


static void
parse(log_t *log, u_char *in, size_t n, way_t *way)
{
    u_char                         *to;
    size_t                          fed, piece;
    ngx_buf_t                       b;
    ngx_uint_t                      pending;
    static ngx_mail_xmpp_parser_t   p;

    memset(way->buf, 0xff, way->size);

    b.start = way->buf;
    b.pos = way->buf;
    b.last = way->buf;
    b.end = way->buf + way->size;

    to = way->buf;
    fed = 0;

    log->len = 0;
    log->n = 0;
    log->error = NULL;
    log->closed = 0;

    ngx_mail_xmpp_parse_init(&p);

    for ( ;; ) {

        pending = ngx_mail_xmpp_parse_pending(&p);

        log->rc = ngx_mail_xmpp_parse(&p, &b);
        log->offset = fed - (b.last - b.pos);

        if (b.pos < b.start || b.pos > b.last) {
            broken("%s: pos is outside of the buffer", way->name);
            break;
        }

        if (log->rc == NGX_ERROR) {
            log->error = p.error;
            break;
        }

        if (log->rc == NGX_OK) {
            record(log, &p, &b);

            if (p.event == ngx_mail_xmpp_stream_end) {
                log->closed = 1;
                break;
            }

            if (p.event == ngx_mail_xmpp_stream_start) {
                to = b.pos;
            }

            if (way->compact > 1
                && p.event == ngx_mail_xmpp_element_end && p.depth == 1)
            {
                compact(&p, &b, to, way);
            }

            continue;
        }

        if (log->rc != NGX_AGAIN || b.pos != b.last || pending) {
            broken("%s: returned %d with %d bytes left", way->name,
                   (int) log->rc, (int) (b.last - b.pos));
            break;
        }

        if (way->compact) {
            compact(&p, &b, to, way);
        }

        if (fed == n) {
            break;
        }

        piece = n - fed;

        if (way->piece == piece_byte) {
            piece = 1;

        } else if (way->piece == piece_split && fed < way->split) {
            piece = way->split - fed;

        } else if (way->piece == piece_random) {
            piece = 1 + next_random() % 40;
        }

        if (piece > n - fed) {
            piece = n - fed;
        }

        if (piece > (size_t) (b.end - b.last)) {
            piece = b.end - b.last;
        }

        if (piece == 0) {
            broken("%s: no room at byte %d", way->name, (int) fed);
            break;
        }

        memcpy(b.last, in + fed, piece);

        b.last += piece;
        fed += piece;
    }

    log->level = p.level;

    if (way->compact == 0 && memcmp(way->buf, in, fed) != 0) {
        broken("%s: the bytes were changed", way->name);
    }
}


static void
put(log_t *log, const void *p, size_t n)
{
    if (log->len + n > log->size) {
        log->size = (log->len + n) * 2;
        log->data = realloc(log->data, log->size);
    }

    if (n) {
        memcpy(log->data + log->len, p, n);
        log->len += n;
    }
}


static void
put_string(log_t *log, ngx_str_t *s, ngx_buf_t *b)
{
    if (s->len && (s->data < b->start || s->data + s->len > b->last)) {
        broken("a string is outside of the buffer");
        ngx_str_null(s);
    }

    put(log, &s->len, sizeof(size_t));
    put(log, s->data, s->len);
}


static void
record(log_t *log, ngx_mail_xmpp_parser_t *p, ngx_buf_t *b)
{
    u_char      head[5];
    ngx_uint_t  i;

    head[0] = p->event;
    head[1] = p->depth;
    head[2] = p->ns;
    head[3] = p->default_ns;
    head[4] = p->nattrs;

    put(log, head, sizeof(head));
    put_string(log, &p->name, b);

    for (i = 0; i < p->nattrs; i++) {
        put(log, &p->attrs[i].prefix, sizeof(size_t));
        put_string(log, &p->attrs[i].name, b);
        put_string(log, &p->attrs[i].value, b);
    }

    if (p->event == ngx_mail_xmpp_element_end) {
        put_string(log, &p->text, b);
    }

    if (log->n == MAX_EVENTS) {
        abort();
    }

    log->events[log->n].offset = log->offset;
    log->events[log->n].len = log->len;
    log->events[log->n].event = p->event;
    log->events[log->n].depth = p->depth;
    log->n++;
}


static void
compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b, u_char *to, way_t *way)
{
    u_char  *last;
    size_t   left;

    last = b->last;
    left = b->last - b->pos;

    ngx_mail_xmpp_parse_compact(p, b, to);

    if (b->last > last || b->pos < to
        || (size_t) (b->last - b->pos) != left)
    {
        broken("%s: compacted beyond the bytes", way->name);
        abort();
    }

    for (last--; last >= b->last; last--) {
        if (*last) {
            broken("%s: bytes are left behind", way->name);
            break;
        }
    }

    /* what comes next must not be there already */

    memset(b->last, 0xff, b->end - b->last);
}


static void
compare(log_t *log, log_t *whole, way_t *way)
{
    if (log->rc != whole->rc || log->offset != whole->offset
        || log->level != whole->level || log->closed != whole->closed
        || (log->error && strcmp(log->error, whole->error) != 0))
    {
        broken("%s (%d): ends with %d %s at %d", way->name, (int) way->split,
               (int) log->rc, log->error ? log->error : "", (int) log->offset);
        return;
    }

    if (log->len != whole->len
        || (log->len && memcmp(log->data, whole->data, log->len) != 0))
    {
        broken("%s (%d): other events", way->name, (int) way->split);
    }
}


/* the first n bytes have to make the events that end in these */

static void
prefix(log_t *log, log_t *whole, u_char *in, size_t n)
{
    size_t      len;
    ngx_uint_t  i;
    ngx_int_t   rc;

    len = 0;

    for (i = 0; i < whole->n && whole->events[i].offset <= n; i++) {
        len = whole->events[i].len;
    }

    rc = NGX_AGAIN;

    if ((whole->rc == NGX_ERROR && n > whole->offset)
        || (whole->closed && n >= whole->offset))
    {
        rc = whole->rc;
    }

    /* a tag is wrong as a whole */

    if (whole->rc == NGX_ERROR && n == whole->offset && in[n - 1] == '>') {
        rc = log->rc;
    }

    if (log->rc != rc
        || (rc == NGX_ERROR && strcmp(log->error, whole->error) != 0)
        || log->offset != (rc == NGX_AGAIN ? n : whole->offset))
    {
        broken("the first %d bytes end with %d at %d", (int) n, (int) log->rc,
               (int) log->offset);
        return;
    }

    if (log->len != len || (len && memcmp(log->data, whole->data, len) != 0)) {
        broken("the first %d bytes make other events", (int) n);
    }
}


/* the longest header with a child, and all there is in between */

static size_t
room(log_t *log, size_t n)
{
    size_t      header, child, last;
    ngx_uint_t  i;

    header = 0;
    child = 0;
    last = 0;

    for (i = 0; i < log->n; i++) {

        if (log->events[i].event == ngx_mail_xmpp_stream_start) {
            header = log->events[i].offset;
            last = header;
        }

        if (log->events[i].event == ngx_mail_xmpp_element_end
            && log->events[i].depth == 1)
        {
            if (log->events[i].offset - last > child) {
                child = log->events[i].offset - last;
            }

            last = log->events[i].offset;
        }
    }

    if (n - last > child) {
        child = n - last;
    }

    return header + child;
}


static u_char *
get(void *dst, u_char *p, size_t n)
{
    memcpy(dst, p, n);

    return p + n;
}


static void
print_log(log_t *log)
{
    u_char            *p, head[5], *decoded;
    size_t             n, prefix;
    ngx_str_t          s;
    ngx_uint_t         i;
    static const char *names[] = { "header", "close", "start", "end" };

    p = log->data;

    while (log->len && p < log->data + log->len) {

        p = get(head, p, sizeof(head));

        printf("%s %d %s", names[head[0]], head[1], namespaces[head[2]]);

        if (head[0] == ngx_mail_xmpp_stream_start) {
            printf(" %s", namespaces[head[3]]);
        }

        p = get(&n, p, sizeof(size_t));

        printf(" ");
        print(p, n);
        p += n;

        /* the values of attributes, and the text behind these */

        for (i = 0; i < head[4]; i++) {
            p = get(&prefix, p, sizeof(size_t));
            p = get(&n, p, sizeof(size_t));

            if (prefix && (prefix >= n || p[prefix] != ':')) {
                broken("wrong length of a prefix");
            }

            printf(" ");
            print(p, n);
            printf("=");
            p += n;

            p = get(&s.len, p, sizeof(size_t));
            s.data = p;
            p += s.len;

            decoded = malloc(s.len);
            print(decoded, ngx_mail_xmpp_decode(decoded, &s));
            free(decoded);
        }

        if (head[0] == ngx_mail_xmpp_element_end) {
            p = get(&s.len, p, sizeof(size_t));
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
    u_char     *dst;
    size_t      len;
    ngx_str_t   s;

    s.data = in;
    s.len = n;

    dst = malloc(n);
    len = ngx_mail_xmpp_decode(dst, &s);
    print(dst, len);
    printf("\n");

    if (ngx_mail_xmpp_decode(in, &s) != len || memcmp(in, dst, len) != 0) {
        broken("decoded in place it is another text");
    }

    free(dst);
}


static void
case_jid(char *kind, u_char *in, size_t n)
{
    ngx_int_t  rc;
    ngx_str_t  jid, local, domain;

    jid.data = in;
    jid.len = n;

    if (strcmp(kind, "local") == 0) {
        ngx_str_null(&domain);
        local = jid;
        rc = ngx_mail_xmpp_jid_local(&local);

    } else if (strcmp(kind, "domain") == 0) {
        ngx_str_null(&local);
        domain = jid;
        rc = ngx_mail_xmpp_jid_domain(&domain);

    } else if (strcmp(kind, "jid") == 0) {
        rc = ngx_mail_xmpp_jid_split(&jid, &local, &domain);

    } else {
        abort();
    }

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
    ngx_str_t            text, fixed, names[2];
    ngx_pool_t           pool;
    ngx_mail_xmpp_out_t  out;

    text.data = in;
    text.len = n;

    pool_init(&pool, POOL_BLOCKS);
    memset(&out, 0, sizeof(ngx_mail_xmpp_out_t));
    out.pool = &pool;

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


static void
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


static uint32_t
next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;

    return seed;
}
