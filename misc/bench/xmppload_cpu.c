
/*
 * Copyright (C) 2026 nginx-xmpp contributors
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "xmppload.h"


/*
 * A process's clock has nanoseconds, counts all its threads and keeps the time
 * of those that have ended.  /proc/PID/stat has the same in ticks of 10 ms,
 * and /proc/PID/schedstat is not there in every kernel.
 */

int
load_cpu_read(const int *pids, int n, double *seconds)
{
    int              i, rc;
    clockid_t        id;
    struct timespec  ts;

    *seconds = 0;

    for (i = 0; i < n; i++) {

        rc = clock_getcpuclockid(pids[i], &id);

        if (rc == 0 && clock_gettime(id, &ts) == -1) {
            rc = errno;
        }

        if (rc) {
            fprintf(stderr, "xmppload: processor time of process %d: %s\n",
                    pids[i], strerror(rc));
            return -1;
        }

        *seconds += ts.tv_sec + ts.tv_nsec / 1e9;
    }

    return 0;
}
