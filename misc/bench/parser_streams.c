
#include <ngx_config.h>
#include <ngx_core.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <parser_streams.h>


/* all that one side has sent, in plaintext or in TLS */

typedef struct {
    const char  *name;
    u_char      *data;
    size_t       len;
    size_t      *ends;
    ngx_uint_t   n;
} side_t;


static void side_add(side_t *side, FILE *file, size_t len);
static u_char *side_header(side_t *side, u_char *p);
static void side_cut(side_t *side, ngx_uint_t file);
static ngx_uint_t side_kind(side_t *side, u_char *p, u_char **end,
    ngx_uint_t n);
static void stream_add(side_t *side, u_char *p, u_char *end,
    ngx_uint_t kind, ngx_uint_t file);
static ngx_uint_t starts(u_char *p, u_char *end, const char *what);
static u_char *find(u_char *p, u_char *end, const char *what);
static void *grow(void *p, size_t size);


stream_t    *streams;
ngx_uint_t   nstreams;

/* the streams in which the client logs in, in this transcript */
static uint64_t  logins;


void
streams_read(const char *name, ngx_uint_t number)
{
    char         side[3];
    FILE        *file;
    size_t       len;
    ngx_uint_t   i;
    side_t       sides[] = {
        { "C1", NULL, 0, NULL, 0 },
        { "S1", NULL, 0, NULL, 0 },
        { "C", NULL, 0, NULL, 0 },
        { "S", NULL, 0, NULL, 0 }
    };

    file = fopen(name, "r");
    if (file == NULL) {
        perror(name);
        exit(1);
    }

    while (fscanf(file, ">>> %2s %*s %zu", side, &len) == 2) {

        for (i = 0; i < 4 && strcmp(sides[i].name, side) != 0; i++) {
            /* void */
        }

        if (i == 4 || getc(file) != '\n') {
            break;
        }

        side_add(&sides[i], file, len);

        (void) getc(file);
    }

    if (!feof(file)) {
        fprintf(stderr, "%s: no entry at %ld\n", name, ftell(file));
        exit(1);
    }

    fclose(file);

    logins = 0;

    for (i = 0; i < 4; i++) {
        if (sides[i].n) {
            side_cut(&sides[i], number);
        }
    }
}


static void
side_add(side_t *side, FILE *file, size_t len)
{
    side->data = grow(side->data, side->len + len);
    side->ends = grow(side->ends, (side->n + 1) * sizeof(size_t));

    if (fread(side->data + side->len, 1, len, file) != len) {
        return;
    }

    side->len += len;
    side->ends[side->n++] = side->len;
}


/* where the next stream starts: its declaration, or its header */

static u_char *
side_header(side_t *side, u_char *p)
{
    u_char  *end, *name;

    end = side->data + side->len;

    for (/* void */; p < end; p++) {

        if (*p != '<') {
            continue;
        }

        if (starts(p, end, "<?xml")) {
            return p;
        }

        name = p + 1;

        while (name < end && (isalnum(*name) || *name == '-')) {
            name++;
        }

        name = (name < end && *name == ':') ? name + 1 : p + 1;

        if (starts(name, end, "stream") && name + 6 < end
            && (name[6] == '>' || isspace(name[6])))
        {
            return p;
        }
    }

    return end;
}


static void
side_cut(side_t *side, ngx_uint_t file)
{
    u_char      *p, *end, *next, *end_setup;
    ngx_uint_t   n, kind;

    end = side->data + side->len;

    for (n = 0, p = side_header(side, side->data); p < end; p = next, n++) {

        next = p;

        /* the header belongs to the declaration before it */

        if (starts(p, end, "<?xml")) {
            next = side_header(side, p + 1);
        }

        next = side_header(side, next + 1);

        end_setup = next;
        kind = side_kind(side, p, &end_setup, n);

        if (kind) {
            stream_add(side, p, end_setup, kind, file);
        }

        stream_add(side, p, next, STREAM_WHOLE, file);
    }
}


/*
 * What is set up in a stream, and till where.  The client's side comes before
 * the server's.
 */

static ngx_uint_t
side_kind(side_t *side, u_char *p, u_char **end, ngx_uint_t n)
{
    u_char      *features;
    static char  last[] = "</stream:features>";

    if (strcmp(side->name, "C1") == 0) {
        return STREAM_CLIENT;
    }

    if (strcmp(side->name, "S1") == 0) {
        return STREAM_SERVER;
    }

    if (n >= 64) {
        fprintf(stderr, "too many streams in a transcript\n");
        exit(1);
    }

    if (strcmp(side->name, "C") == 0) {

        if (find(p, *end, "<auth ") == NULL) {
            return 0;
        }

        logins |= (uint64_t) 1 << n;

        return STREAM_CLIENT;
    }

    if (logins & (uint64_t) 1 << n) {
        return STREAM_SERVER;
    }

    /* behind the login a server's own header and features, as nginx reads */

    if (n == 0 || !(logins & (uint64_t) 1 << (n - 1))) {
        return 0;
    }

    features = find(p, *end, last);

    if (features == NULL) {
        return 0;
    }

    *end = features + sizeof(last) - 1;

    return STREAM_SERVER;
}


static void
stream_add(side_t *side, u_char *p, u_char *end, ngx_uint_t kind,
    ngx_uint_t file)
{
    size_t       from, to;
    stream_t    *stream;
    ngx_uint_t   i;

    streams = grow(streams, (nstreams + 1) * sizeof(stream_t));

    stream = &streams[nstreams++];

    stream->kind = kind;
    stream->client = (side->name[0] == 'C');
    stream->file = file;
    stream->data = p;
    stream->len = end - p;
    stream->ends = NULL;
    stream->n = 0;

    from = p - side->data;
    to = end - side->data;

    for (i = 0; from < to; i++) {

        if (side->ends[i] <= from) {
            continue;
        }

        from = side->ends[i] < to ? side->ends[i] : to;

        stream->ends = grow(stream->ends, (stream->n + 1) * sizeof(size_t));
        stream->ends[stream->n++] = from - (p - side->data);
    }
}


static ngx_uint_t
starts(u_char *p, u_char *end, const char *what)
{
    size_t  len;

    len = strlen(what);

    return (size_t) (end - p) >= len && memcmp(p, what, len) == 0;
}


static u_char *
find(u_char *p, u_char *end, const char *what)
{
    return memmem(p, end - p, what, strlen(what));
}


static void *
grow(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    if (p == NULL) {
        abort();
    }

    return p;
}
