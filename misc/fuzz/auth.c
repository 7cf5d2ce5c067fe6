/*
 * The auth server's side: its answer to a client that logs in, or whose stream
 * is to be passed on.
 */


#include "session.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_session(fuzz_auth, data, size);
}
