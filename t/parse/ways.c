
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ways.h>


#if defined(__SANITIZE_ADDRESS__)
#define WAY_ASAN  1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WAY_ASAN  1
#endif
#endif

#if (WAY_ASAN)

#include <sanitizer/asan_interface.h>

#define way_hide(from, to)   ASAN_POISON_MEMORY_REGION(from, (to) - (from))
#define way_show(from, to)   ASAN_UNPOISON_MEMORY_REGION(from, (to) - (from))

#else

#define way_hide(from, to)   (void) (to)
#define way_show(from, to)   (void) (to)

#endif


#define RANDOM_ROUNDS  20


static void record(log_t *log, ngx_mail_xmpp_parser_t *p, ngx_buf_t *b);
static void look_up(ngx_mail_xmpp_parser_t *p, ngx_uint_t i);
static void put(log_t *log, const void *p, size_t n);
static void put_string(log_t *log, ngx_str_t *s, ngx_buf_t *b);
static void compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b, u_char *to,
    u_char *end, way_t *way);


uint32_t  way_seed = 1;

static u_char  *fence;
static size_t   fence_size;    /* of each side */


void
way_all(log_t *whole, u_char *in, size_t n)
{
    u_char        *fence;
    size_t         i;
    way_t          way;
    ngx_uint_t     round;
    static log_t   log;

    fence = way_fence(n);

    memset(&way, 0, sizeof(way_t));

    way.name = "whole";
    way.buf = fence - n;
    way.size = n;

    way_parse(whole, in, n, &way);

    /* any length before the fence */

    way.name = "the first bytes";

    for (i = 1; i <= n; i++) {
        way.buf = fence - i;
        way.size = i;

        way_parse(&log, in, i, &way);
        way_prefix(&log, whole, i);
    }

    /* two pieces, with the fence behind the first one as long as it counts */

    way.piece = piece_split;
    way.size = n;
    way.fence = fence;

    for (way.compact = 0; way.compact < 2; way.compact++) {

        way.name = way.compact ? "split, compacted" : "split";

        for (way.split = 1; way.split < n; way.split++) {
            way.buf = fence - way.split;

            way_parse(&log, in, n, &way);
            way_compare(&log, whole, &way);
        }
    }

    /* more pieces */

    way.split = 0;
    way.fence = NULL;
    way.buf = malloc(n);

    for (way.compact = 0; way.compact < 3; way.compact++) {

        if (way.compact) {

            /* nothing but the header and a child has to fit */

            free(way.buf);
            way.size = way_room(whole, n);
            way.buf = malloc(way.size);
        }

        way.name = way.compact ? "byte by byte, compacted" : "byte by byte";
        way.piece = piece_byte;

        way_parse(&log, in, n, &way);
        way_compare(&log, whole, &way);

        way.name = way.compact ? "random pieces, compacted" : "random pieces";
        way.piece = piece_random;

        for (round = 0; round < RANDOM_ROUNDS; round++) {
            way_parse(&log, in, n, &way);
            way_compare(&log, whole, &way);
        }
    }

    free(way.buf);
}


void
way_parse(log_t *log, u_char *in, size_t n, way_t *way)
{
    u_char                         *to, *end, *first;
    size_t                          fed, piece;
    ngx_buf_t                       b;
    ngx_int_t                       rc;
    ngx_uint_t                      pending;
    static ngx_mail_xmpp_parser_t   p;

    b.start = way->buf;
    b.pos = way->buf;
    b.last = way->buf;
    b.end = way->buf + way->size;

    /* as far as the buffer can be used */
    end = way->fence ? way->fence : b.end;

    memset(b.start, 0xff, end - b.start);
    way_hide(b.last, end);

    to = way->buf;
    fed = 0;

    log->len = 0;
    log->n = 0;
    log->error = NULL;
    log->closed = 0;

    /* memory of a pool has anything in it */
    memset(&p, 0xff, sizeof(ngx_mail_xmpp_parser_t));

    ngx_mail_xmpp_parse_init(&p);

    for ( ;; ) {

        pending = ngx_mail_xmpp_parse_pending(&p);
        first = b.pos;

        rc = ngx_mail_xmpp_parse(&p, &b);

        log->rc = rc;
        log->offset = fed - (b.last - b.pos);
        log->good = log->offset;

        if (b.pos < first || b.pos > b.last) {
            broken("%s: pos is outside of what was handed over", way->name);
            break;
        }

        if (rc == NGX_ERROR) {
            log->error = p.error;
            break;
        }

        if (rc == NGX_OK) {
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
                compact(&p, &b, to, end, way);
            }

            continue;
        }

        if (rc != NGX_AGAIN || b.pos != b.last || pending) {
            broken("%s: returned %d with %d bytes left", way->name, (int) rc,
                   (int) (b.last - b.pos));
            break;
        }

        if (way->compact) {
            compact(&p, &b, to, end, way);
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
            piece = 1 + way_random() % 40;
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

        if (end != b.end && piece > (size_t) (end - b.last)) {

            if (mprotect(fence, fence_size, PROT_READ|PROT_WRITE) != 0) {
                abort();
            }

            memset(end, 0xff, b.end - end);
            way_hide(end, b.end);
            end = b.end;
        }

        way_show(b.last, b.last + piece);
        memcpy(b.last, in + fed, piece);

        b.last += piece;
        fed += piece;
    }

    log->level = p.level;

    log->behind = 0;

    /* pointers into what was moved away say nothing */

    if (way->compact == 0 && p.markup && log->rc != NGX_OK) {

        log->behind = (log->rc == NGX_ERROR && p.text_start == b.pos);

        if (log->behind || p.declaration) {
            log->good -= b.pos - p.markup;
        }
    }

    way_show(b.start, end);

    if (way->compact == 0 && memcmp(way->buf, in, fed) != 0) {
        broken("%s: the bytes were changed", way->name);
    }

    if (way->fence && end == b.end
        && mprotect(fence, fence_size, PROT_NONE) != 0)
    {
        abort();
    }
}


static void
record(log_t *log, ngx_mail_xmpp_parser_t *p, ngx_buf_t *b)
{
    u_char      head[WAY_HEAD];
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

        look_up(p, i);
    }

    if (p->event == ngx_mail_xmpp_element_end) {
        put_string(log, &p->text, b);
    }

    if (log->n == WAY_EVENTS) {
        abort();
    }

    log->events[log->n].offset = log->offset;
    log->events[log->n].len = log->len;
    log->events[log->n].event = p->event;
    log->events[log->n].depth = p->depth;
    log->n++;
}


static void
look_up(ngx_mail_xmpp_parser_t *p, ngx_uint_t i)
{
    char        name[64];
    ngx_str_t  *s;

    s = &p->attrs[i].name;

    if (s->len >= sizeof(name)) {
        return;
    }

    memcpy(name, s->data, s->len);
    name[s->len] = '\0';

    if (ngx_mail_xmpp_parse_attr(p, name) != &p->attrs[i].value) {
        broken("an attribute is not found by its name");
    }

    name[0] ^= 0x20;

    if (ngx_mail_xmpp_parse_attr(p, name) == &p->attrs[i].value) {
        broken("an attribute is found by another name");
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
    if (s->len && (s->data < b->start || s->data + s->len > b->pos)) {
        broken("a string is outside of what was parsed");
        ngx_str_null(s);
    }

    put(log, &s->len, sizeof(size_t));
    put(log, s->data, s->len);
}


static void
compact(ngx_mail_xmpp_parser_t *p, ngx_buf_t *b, u_char *to, u_char *end,
    way_t *way)
{
    u_char  *last, *left;
    size_t   n;

    last = b->last;
    n = b->last - b->pos;

    ngx_mail_xmpp_parse_compact(p, b, to);

    if (b->last > last || b->pos < to || (size_t) (b->last - b->pos) != n) {
        broken("%s: compacted beyond the bytes", way->name);
        abort();
    }

    if (b->last == last) {
        return;
    }

    for (left = b->last; left < last; left++) {
        if (*left) {
            broken("%s: bytes are left behind", way->name);
            break;
        }
    }

    /* what comes next must not be there already */

    memset(b->last, 0xff, last - b->last);
    way_hide(b->last, end);
}


void
way_compare(log_t *log, log_t *whole, way_t *way)
{
    if (log->rc != whole->rc || log->offset != whole->offset
        || (way->compact == 0 && log->good != whole->good)
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


void
way_prefix(log_t *log, log_t *whole, size_t n)
{
    size_t      len;
    ngx_uint_t  i;
    ngx_int_t   rc;

    len = 0;

    for (i = 0; i < whole->n && whole->events[i].offset <= n; i++) {
        len = whole->events[i].len;
    }

    rc = NGX_AGAIN;

    /* a tag that is wrong as a whole is known to be at its last byte */

    if ((whole->rc == NGX_ERROR
         && (n > whole->offset
             || (n == whole->offset && whole->behind)))
        || (whole->closed && n >= whole->offset))
    {
        rc = whole->rc;
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


size_t
way_room(log_t *log, size_t n)
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


u_char *
way_fence(size_t n)
{
    u_char  *pages;
    size_t   psize, size;

    if (n <= fence_size && fence_size) {
        return fence;
    }

    psize = sysconf(_SC_PAGESIZE);
    size = (n / psize + 1) * psize;

    if (fence_size) {
        munmap(fence - fence_size, 2 * fence_size);
    }

    pages = mmap(NULL, 2 * size, PROT_READ|PROT_WRITE,
                 MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED || mprotect(pages + size, size, PROT_NONE) != 0) {
        abort();
    }

    fence = pages + size;
    fence_size = size;

    return fence;
}


u_char *
way_get(void *dst, u_char *p, size_t n)
{
    memcpy(dst, p, n);

    return p + n;
}


uint32_t
way_random(void)
{
    way_seed ^= way_seed << 13;
    way_seed ^= way_seed >> 17;
    way_seed ^= way_seed << 5;

    return way_seed;
}
