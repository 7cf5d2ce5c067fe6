
#include "clients.h"


typedef struct {
    char           *text;
    unsigned long   count;
} result_t;


static result_t  *results;
static unsigned   nresults;


void
say(client_t *c, const char *bytes, size_t len)
{
    c->out = allocate(c->out, c->out_len + len);
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}


size_t
expand(client_t *c, char *buf, size_t size, const char *text)
{
    size_t       len = 0;
    const char  *at;

    while ((at = strstr(text, "%u")) != NULL && len < size) {
        len += snprintf(buf + len, size - len, "%.*s%u",
                        (int) (at - text), text, c->number);
        text = at + 2;
    }

    if (len < size) {
        len += snprintf(buf + len, size - len, "%s", text);
    }

    if (len >= size) {
        fprintf(stderr, "too long\n");
        exit(1);
    }

    return len;
}


/* some of the messages are longer than a buffer of nginx */

size_t
message(client_t *c, unsigned long n, char *buf)
{
    size_t  len, more;

    more = (n * 37 + c->number * 11) % 200;

    if (n % 10 == 9) {
        more = (n * 1031 + c->number) % 9000;
    }

    len = snprintf(buf, MAX_MESSAGE, "<m f='%s' c='%u' n='%lu'>", name,
                   c->number, n);
    memset(buf + len, 'a' + n % 26, more);
    len += more;

    return len + snprintf(buf + len, MAX_MESSAGE - len, "</m>");
}


void
flush(client_t *c)
{
    int  n;

    while (c->out_len && !c->broken) {

        c->tls_writes = 0;

        if (c->secure) {
            ERR_clear_error();
            n = SSL_write(c->ssl, c->out, c->out_len);

            if (n <= 0) {
                n = SSL_get_error(c->ssl, n);

                if (n == SSL_ERROR_WANT_WRITE || n == SSL_ERROR_WANT_READ) {
                    return;
                }

                n = -1;
            }

        } else {
            n = send(c->fd, c->out, c->out_len, 0);

            if (n == -1 && errno == EAGAIN) {
                return;
            }
        }

        /* what the peer said before it closed can still be read */

        if (n == -1) {
            c->broken = 1;
            return;
        }

        c->out_len -= n;
        memmove(c->out, c->out + n, c->out_len);
    }
}


const char *
fill(client_t *c)
{
    int  n, error;

    for ( ;; ) {
        if (c->in_len == MAX_IN) {
            return NULL;
        }

        c->in = allocate(c->in, MAX_IN);

        if (!c->secure) {
            n = recv(c->fd, c->in + c->in_len, MAX_IN - c->in_len, 0);

            if (n == -1) {
                return errno == EAGAIN ? NULL : "reset";
            }

            if (n == 0) {
                return "closed";
            }

        } else {
            ERR_clear_error();
            errno = 0;

            n = SSL_read(c->ssl, c->in + c->in_len, MAX_IN - c->in_len);

            if (n <= 0) {
                error = SSL_get_error(c->ssl, n);

                switch (error) {

                case SSL_ERROR_WANT_READ:
                case SSL_ERROR_WANT_WRITE:
                    return NULL;

                case SSL_ERROR_ZERO_RETURN:
                    return "closed";

                default:
                    return errno == ECONNRESET ? "reset" : "cut";
                }
            }
        }

        c->in_len += n;

        /* memory for thousands: most have very little to say */

        c->in = allocate(c->in, c->in_len);
    }
}


int
compare(client_t *c)
{
    char    buf[MAX_MESSAGE];
    size_t  len, rest, used = 0;

    while (used < c->in_len && c->got < c->sent) {
        len = message(c, c->got, buf) - c->got_bytes;
        rest = c->in_len - used;

        if (rest > len) {
            rest = len;
        }

        if (memcmp(c->in + used, buf + c->got_bytes, rest) != 0) {
            return 0;
        }

        used += rest;
        c->got_bytes += rest;

        if (rest == len) {
            c->got++;
            c->got_bytes = 0;
            c->deadline = now() + timeout;
            echoed++;
        }
    }

    c->in_len -= used;
    memmove(c->in, c->in + used, c->in_len);

    return c->in_len == 0 || c->got < c->sent;
}


void
result(client_t *c, const char *outcome)
{
    char      *text, *id;
    size_t     len;
    unsigned   i;

    c->in = allocate(c->in, c->in_len + 1);
    c->in[c->in_len] = '\0';

    for (id = c->in; (id = strstr(id, " id='")) != NULL; id += 5) {
        if (strspn(id + 5, "0123456789abcdef") == 32) {
            memcpy(id + 5, "ID", 2);
            memmove(id + 7, id + 37, c->in + c->in_len + 1 - (id + 37));
            c->in_len -= 30;
        }
    }

    if (c->in_len > MAX_TEXT) {
        c->in_len = MAX_TEXT;
    }

    len = strlen(outcome) + c->in_len + 32;
    text = allocate(NULL, len);
    i = snprintf(text, len, "%s %d ", outcome, c->step);
    memcpy(text + i, c->in, c->in_len);
    text[i + c->in_len] = '\0';

    for (i = 0; i < nresults && strcmp(results[i].text, text); i++) {
        /* void */
    }

    if (i == nresults) {
        results = allocate(results, ++nresults * sizeof(result_t));
        results[i].text = text;
        results[i].count = 0;

    } else {
        free(text);
    }

    results[i].count++;
}


static void
print(const char *text, size_t len)
{
    while (len--) {
        if (*text < ' ' || *text > '~' || *text == '\\') {
            printf("\\x%02x", (unsigned char) *text);
        } else {
            putchar(*text);
        }

        text++;
    }
}


void
print_results(void)
{
    unsigned  i;

    for (i = 0; i < nresults; i++) {
        printf("result %lu ", results[i].count);
        print(results[i].text, strlen(results[i].text));
        printf("\n");
    }
}
