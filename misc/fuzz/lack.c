/*
 * A session that all sides play, again and again: each time, what it needs can
 * not be had one step later, or it is stopped one step later, till it was
 * played to its end.
 */


#include "session.h"


/* no session that is played needs so many of anything */
#define FUZZ_MAX_STEPS  2000


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_lack(const uint8_t *data, size_t size, size_t what);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (fuzz_session(fuzz_roles, data, size) != 0) {
        return -1;
    }

    fuzz_lack(data, size, offsetof(fuzz_lack_t, memory));
    fuzz_lack(data, size, offsetof(fuzz_lack_t, event));
    fuzz_lack(data, size, offsetof(fuzz_lack_t, connection));
    fuzz_lack(data, size, offsetof(fuzz_lack_t, room));
    fuzz_lack(data, size, offsetof(fuzz_lack_t, time));
    fuzz_lack(data, size, offsetof(fuzz_lack_t, reader));

    return 0;
}


static void
fuzz_lack(const uint8_t *data, size_t size, size_t what)
{
    ngx_uint_t   n;
    fuzz_lack_t  lack;

    for (n = 1; n < FUZZ_MAX_STEPS; n++) {

        ngx_memzero(&lack, sizeof(fuzz_lack_t));
        *(ngx_uint_t *) ((u_char *) &lack + what) = n;

        (void) fuzz_session_lack(fuzz_roles, data, size, &lack);

        if (*(ngx_uint_t *) ((u_char *) &run.lack + what)) {
            return;
        }
    }

    fuzz_fail("there is no end of what the session needs");
}
