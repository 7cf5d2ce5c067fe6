/*
 * The client's side: all that a client may send to any server, the auth server
 * and the upstream server play along.
 */


#include "session.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_session(fuzz_client, data, size);
}
