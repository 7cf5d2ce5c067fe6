
/*
 * What the parser, the writer and the JID checks need of nginx, so that these
 * compile alone.
 */


#ifndef _NGX_CONFIG_H_INCLUDED_
#define _NGX_CONFIG_H_INCLUDED_


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>


typedef intptr_t   ngx_int_t;
typedef uintptr_t  ngx_uint_t;


#define NGX_HAVE_INET6  1

#define ngx_inline      inline


#endif /* _NGX_CONFIG_H_INCLUDED_ */
