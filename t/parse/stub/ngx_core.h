
#ifndef _NGX_CORE_H_INCLUDED_
#define _NGX_CORE_H_INCLUDED_


#include <ngx_config.h>


#define NGX_OK        0
#define NGX_ERROR    -1
#define NGX_AGAIN    -2
#define NGX_DONE     -4
#define NGX_DECLINED -5

#define LF  '\n'
#define CR  '\r'


typedef struct {
    size_t   len;
    u_char  *data;
} ngx_str_t;


typedef struct {
    u_char  *pos;
    u_char  *last;
    u_char  *start;
    u_char  *end;
} ngx_buf_t;


typedef struct ngx_pool_s          ngx_pool_t;
typedef struct ngx_pool_cleanup_s  ngx_pool_cleanup_t;
typedef struct ngx_array_s         ngx_array_t;
typedef struct ngx_log_s           ngx_log_t;
typedef struct ngx_module_s        ngx_module_t;
typedef struct ngx_event_s         ngx_event_t;
typedef struct ngx_connection_s    ngx_connection_t;


#define ngx_string(s)          { sizeof(s) - 1, (u_char *) s }
#define ngx_null_string        { 0, NULL }
#define ngx_str_null(s)        do { (s)->len = 0; (s)->data = NULL; } while (0)

#define ngx_memzero(p, n)      memset(p, 0, n)
#define ngx_memcpy(d, s, n)    memcpy(d, s, n)
#define ngx_cpymem(d, s, n)    ((u_char *) memcpy(d, s, n) + (n))
#define ngx_movemem(d, s, n)   ((u_char *) memmove(d, s, n) + (n))
#define ngx_memcmp(a, b, n)    memcmp(a, b, n)
#define ngx_strlen(s)          strlen((char *) (s))
#define ngx_strncasecmp(a, b, n)                                              \
    strncasecmp((char *) (a), (char *) (b), n)

#define ngx_tolower(c)         ((c) >= 'A' && (c) <= 'Z' ? (c) | 0x20 : (c))
#define ngx_explicit_memzero(p, n)  memset(p, 0, n)

#define ngx_hash(key, c)       ((ngx_uint_t) (key) * 31 + (c))

#define ngx_base64_encoded_length(n)  (((n) + 2) / 3 * 4)


u_char *ngx_strlchr(u_char *p, u_char *last, u_char ch);
u_char *ngx_strnstr(u_char *s, char *what, size_t len);
void ngx_strlow(u_char *dst, u_char *src, size_t n);
void ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src);
ngx_int_t ngx_inet6_addr(u_char *p, size_t len, u_char *addr);

void *ngx_pnalloc(ngx_pool_t *pool, size_t size);
ngx_int_t ngx_pfree(ngx_pool_t *pool, void *p);


#endif /* _NGX_CORE_H_INCLUDED_ */
