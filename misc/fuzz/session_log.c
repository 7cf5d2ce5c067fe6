/*
 * The log is the target's: no password is in it, at any level, and nothing is
 * said that tells of a mistake of ours.
 */


#include "session.h"


static ngx_uint_t fuzz_log_allowed(const u_char *line, size_t len,
    const u_char *p);


void
fuzz_log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf, size_t len)
{
    u_char        *end;
    ngx_uint_t     i;
    const u_char  *p;

    static int          loud = -1;
    static const char  *passwords[] = { FUZZ_PASSWORD, FUZZ_PASSWORD2 };

    if (loud == -1) {
        loud = (getenv("FUZZ_LOG") != NULL);
    }

    if (loud) {
        fwrite(buf, 1, len, stderr);
    }

    if (level <= NGX_LOG_CRIT && level != NGX_LOG_STDERR) {
        fuzz_fail("logged: %.*s", (int) len, buf);
    }

    for (i = 0; i < 2; i++) {
        p = fuzz_find(buf, len, passwords[i]);

        if (p && !fuzz_log_allowed(buf, len, p)) {
            fuzz_fail("password in the log: %.*s", (int) len, buf);
        }
    }

    /*
     * What a client sends does not break a line.  nginx itself logs a PROXY
     * header that it can not read.
     */

    if (run.fuzzed != fuzz_client || fuzz_find(buf, len, "broken header: ")) {
        return;
    }

    end = buf + len - 1;

    for (p = buf; p < end; p++) {
        if (*p < ' ' || *p == 0x7f) {
            fuzz_fail("character %02x in the log: %.*s", *p, (int) len, buf);
        }
    }
}


/*
 * Debug lines of nginx's auth_http module have the headers of the response.
 * A fuzzer may use a password as a name, and names are logged.
 */

static ngx_uint_t
fuzz_log_allowed(const u_char *line, size_t len, const u_char *p)
{
    ngx_uint_t     i, n;
    const u_char  *in, *login;
    fuzz_peer_t   *peer;

    if (fuzz_find(line, len, "mail auth http header:")
        || fuzz_find(line, len, "broken header: "))
    {
        return 1;
    }

    login = fuzz_find(line, len, ", login: \"");

    if (login && login < p) {
        return 1;
    }

    /* it is in no base64, so it was no password */

    peer = &peers[run.fuzzed];
    in = peer->in;
    n = ngx_min(peer->in_len, FUZZ_RECORD);

    for (i = 0; i < 2; i++) {

        for (in = peer->in;
             (in = fuzz_find(in, peer->in + n - in,
                             i ? FUZZ_PASSWORD2 : FUZZ_PASSWORD))
             != NULL;
             in++)
        {
            if (run.fuzzed != fuzz_auth
                || in - peer->in < 12
                || ngx_strncasecmp((u_char *) in - 12, (u_char *)
                                   "\nAuth-Pass: ", 12) != 0)
            {
                return 1;
            }
        }
    }

    return 0;
}
