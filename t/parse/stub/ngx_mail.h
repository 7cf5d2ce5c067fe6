
#ifndef _NGX_MAIL_H_INCLUDED_
#define _NGX_MAIL_H_INCLUDED_


#include <ngx_core.h>


typedef struct ngx_mail_session_s  ngx_mail_session_t;


#endif /* _NGX_MAIL_H_INCLUDED_ */
