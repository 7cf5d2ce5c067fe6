
/*
 * The parser, the writer and the JID checks alone.  The input is a stream, of
 * a client or of a server: the parser does not tell these apart.  If it does
 * not start as one, it is a text and a JID too.
 *
 * The pieces in which a stream is handed over follow from a hash of its bytes:
 * an input that differs is split in another way, and is still readable.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "parser.h"


#define MAX_INPUT  8192


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
    unsigned int seed);

/* of libFuzzer, if it is there */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size,
    size_t max);

static void check_ways(log_t *whole, u_char *in, size_t n);
static void check_addresses(log_t *log);
static size_t tag(u_char *in, size_t n);
static size_t element(u_char *in, size_t n, size_t start);
static uint32_t hash(u_char *in, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char        *in;
    static log_t   whole;

    if (size > MAX_INPUT) {
        return 0;
    }

    in = (u_char *) data;
    way_seed = hash(in, size);

    check_ways(&whole, in, size);
    compare_expat(&whole, in, size);
    check_addresses(&whole);

    if (size && in[0] != '<' && in[0] != ' ') {
        check_text(in, size);
        check_jid(in, size);
    }

    return 0;
}


static void
check_ways(log_t *whole, u_char *in, size_t n)
{
    u_char        *fence;
    way_t          way;
    static log_t   log;

    fence = way_fence(n);

    memset(&way, 0, sizeof(way_t));

    way.name = "whole";
    way.buf = fence - n;
    way.size = n;

    way_parse(whole, in, n, &way);

    if (n > 1) {
        way.split = 1 + way_random() % (n - 1);
        way.buf = fence - way.split;
        way.size = way.split;

        way.name = "the first bytes";

        way_parse(&log, in, way.split, &way);
        way_prefix(&log, whole, way.split);

        way.piece = piece_split;
        way.size = n;
        way.fence = fence;

        for (way.compact = 0; way.compact < 2; way.compact++) {
            way.name = way.compact ? "split, compacted" : "split";

            way_parse(&log, in, n, &way);
            way_compare(&log, whole, &way);
        }
    }

    way.split = 0;
    way.fence = NULL;

    for (way.compact = 0; way.compact < 3; way.compact++) {

        /* as the handlers do it: with a buffer that has to do */

        way.size = way.compact ? way_room(whole, n) : n;
        way.buf = malloc(way.size);

        way.name = way.compact ? "byte by byte, compacted" : "byte by byte";
        way.piece = piece_byte;

        way_parse(&log, in, n, &way);
        way_compare(&log, whole, &way);

        way.name = way.compact ? "random pieces, compacted" : "random pieces";
        way.piece = piece_random;

        way_parse(&log, in, n, &way);
        way_compare(&log, whole, &way);

        free(way.buf);
    }
}


/* the values of attributes are what is taken for a JID */

static void
check_addresses(log_t *log)
{
    u_char      *p, *start, *decoded, head[WAY_HEAD];
    size_t       n;
    ngx_str_t    s;
    ngx_uint_t   i;

    p = log->data;
    start = p;

    while (log->len && p < start + log->len) {

        p = way_get(head, p, WAY_HEAD);
        p = way_get(&n, p, sizeof(size_t)) + n;

        for (i = 0; i < head[4]; i++) {
            p = way_get(&n, p, sizeof(size_t));
            p = way_get(&n, p, sizeof(size_t)) + n;
            p = way_get(&s.len, p, sizeof(size_t));
            s.data = p;
            p += s.len;

            decoded = malloc(s.len);
            check_jid(decoded, ngx_mail_xmpp_decode(decoded, &s));
            free(decoded);
        }

        if (head[0] == ngx_mail_xmpp_element_end) {
            p = way_get(&n, p, sizeof(size_t)) + n;
        }
    }
}


/*
 * Elements are copied to another place, and taken out, as chance alone hardly
 * ever does.
 */

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
    unsigned int seed)
{
    u_char  *copy;
    size_t   start, n, to;

    way_seed = seed ? seed : 1;

    if (way_random() % 4) {
        return LLVMFuzzerMutate(data, size, max);
    }

    start = tag(data, size);
    n = element(data, size, start);

    if (n == 0) {
        return LLVMFuzzerMutate(data, size, max);
    }

    if (way_random() % 3 == 0) {
        memmove(data + start, data + start + n, size - start - n);
        return size - n;
    }

    if (n > max - size) {
        return LLVMFuzzerMutate(data, size, max);
    }

    to = tag(data, size);

    copy = malloc(n);
    memcpy(copy, data + start, n);
    memmove(data + to + n, data + to, size - to);
    memcpy(data + to, copy, n);
    free(copy);

    return size + n;
}


/* where some tag starts, or the end */

static size_t
tag(u_char *in, size_t n)
{
    size_t   at;
    u_char  *p;

    at = n ? way_random() % n : 0;
    p = n ? memchr(in + at, '<', n - at) : NULL;

    return p ? (size_t) (p - in) : n;
}


/* the length of the element that starts there, 0 if it is none */

static size_t
element(u_char *in, size_t n, size_t start)
{
    int      level;
    u_char  *p, *end, *last;

    level = 0;
    last = in + n;

    for (p = in + start; p && p + 2 < last; p = memchr(end, '<', last - end)) {

        end = memchr(p, '>', last - p);

        if (end == NULL) {
            return 0;
        }

        if (p[1] == '/') {
            level--;

        } else if (end[-1] != '/') {
            level++;
        }

        end++;

        if (level <= 0) {
            return level < 0 ? 0 : end - (in + start);
        }
    }

    return 0;
}


void
broken(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");

    abort();
}


/* FNV-1a */

static uint32_t
hash(u_char *in, size_t n)
{
    size_t    i;
    uint32_t  h;

    h = 2166136261u;

    for (i = 0; i < n; i++) {
        h = (h ^ in[i]) * 16777619u;
    }

    return h ? h : 1;
}
