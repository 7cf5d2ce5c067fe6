
#include <ngx_core.h>

#include <arpa/inet.h>
#include <stdlib.h>

#include <pool.h>


u_char *
ngx_strlchr(u_char *p, u_char *last, u_char ch)
{
    return p < last ? memchr(p, ch, last - p) : NULL;
}


u_char *
ngx_strnstr(u_char *s, char *what, size_t len)
{
    return memmem(s, len, what, strlen(what));
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        dst[i] = ngx_tolower(src[i]);
    }
}


void
ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    static char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "abcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t       i, n;
    uint32_t     bits;

    for (i = 0, n = 0; i < src->len; i += 3) {
        bits = src->data[i] << 16;

        if (i + 1 < src->len) {
            bits |= src->data[i + 1] << 8;
        }

        if (i + 2 < src->len) {
            bits |= src->data[i + 2];
        }

        dst->data[n++] = digits[bits >> 18];
        dst->data[n++] = digits[bits >> 12 & 63];
        dst->data[n++] = i + 1 < src->len ? digits[bits >> 6 & 63] : '=';
        dst->data[n++] = i + 2 < src->len ? digits[bits & 63] : '=';
    }

    dst->len = n;
}


ngx_int_t
ngx_inet6_addr(u_char *p, size_t len, u_char *addr)
{
    char  text[INET6_ADDRSTRLEN];

    if (len >= sizeof(text) || memchr(p, 0, len)) {
        return NGX_ERROR;
    }

    memcpy(text, p, len);
    text[len] = '\0';

    return inet_pton(AF_INET6, text, addr) == 1 ? NGX_OK : NGX_ERROR;
}


void
pool_init(ngx_pool_t *pool, ngx_uint_t left)
{
    memset(pool, 0, sizeof(ngx_pool_t));

    pool->left = left;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    u_char  *p;

    if (pool->left-- == 0) {
        pool->failed = 1;
        return NULL;
    }

    p = calloc(1, size);

    if (p == NULL || pool->n == POOL_BLOCKS) {
        abort();
    }

    pool->blocks[pool->n].data = p;
    pool->blocks[pool->n].size = size;
    pool->n++;

    return p;
}


static ngx_uint_t
pool_free(ngx_pool_t *pool, ngx_uint_t i)
{
    u_char      *p;
    size_t       n;
    ngx_uint_t   dirty;

    p = pool->blocks[i].data;
    dirty = 0;

    for (n = 0; n < pool->blocks[i].size; n++) {
        dirty |= p[n];
    }

    free(p);

    pool->n--;
    pool->blocks[i] = pool->blocks[pool->n];

    return dirty != 0;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_uint_t  i;

    for (i = 0; i < pool->n; i++) {
        if (pool->blocks[i].data == p) {
            pool->dirty += pool_free(pool, i);
            return NGX_OK;
        }
    }

    abort();
}


ngx_uint_t
pool_done(ngx_pool_t *pool)
{
    while (pool->n) {
        pool->dirty += pool_free(pool, 0);
    }

    return pool->dirty;
}
