
#ifndef _POOL_H_INCLUDED_
#define _POOL_H_INCLUDED_


#include <ngx_core.h>


/* a pool that fails once, and knows what was left in its blocks */

#define POOL_BLOCKS  64


struct ngx_pool_s {
    ngx_uint_t   left;      /* allocations till the one that fails */
    ngx_uint_t   failed;
    ngx_uint_t   n;
    ngx_uint_t   dirty;     /* blocks that were freed with something in them */

    struct {
        u_char  *data;
        size_t   size;
    } blocks[POOL_BLOCKS];
};


void pool_init(ngx_pool_t *pool, ngx_uint_t left);

/* the number of blocks, freed ones as well, that are not all zeros */
ngx_uint_t pool_done(ngx_pool_t *pool);


#endif /* _POOL_H_INCLUDED_ */
