/*
 * The upstream server's side: the client logs in, or has its stream passed on.
 */


#include "session.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_session(fuzz_backend, data, size);
}
