
/*
 * Our parser beside expat, over the streams of transcripts.
 *
 *   parser_bench list FILE...           "FILE CLIENT SERVER WHOLE" in bytes
 *   parser_bench count FILE...          one pass each, to be counted by
 *                                       callgrind: a dump for each, which is
 *                                       named "PARSER WHAT"
 *   parser_bench files FILE...          the same for each FILE alone, only the
 *                                       streams that are being set up
 *   parser_bench time ROUNDS FILE...    "WHAT PARSER MEDIAN LEAST MOST", CPU
 *                                       time in ns a byte
 *
 * Both get the same pieces, have to find the same elements, and are used as by
 * a session: made new for each stream, each tag is an event, some attributes
 * are looked up.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mail_xmpp_parse.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <expat.h>
#include <valgrind/callgrind.h>

#include <parser_streams.h>


/* CPU time that a measurement takes at least, in ns */
#define ENOUGH  5e6


typedef struct {
    ngx_uint_t   elements;    /* starts and ends */
    ngx_uint_t   texts;
    ngx_uint_t   attrs;       /* that were looked up, and are there */
} found_t;


typedef void (*pass_pt)(stream_t *stream);


typedef struct {
    const char  *parser;
    const char  *what;
    pass_pt      pass;
    ngx_uint_t   kind;
} run_t;


static void ours(stream_t *stream);
static void ours_bytes(stream_t *stream);
static void ours_feed(stream_t *stream, ngx_uint_t bytes);
static ngx_int_t ours_event(ngx_mail_xmpp_parser_t *p);
static void expat(stream_t *stream);
static void expat_bytes(stream_t *stream);
static void expat_made(stream_t *stream);
static void expat_feed(XML_Parser parser, stream_t *stream, ngx_uint_t bytes);
static void expat_piece(XML_Parser parser, u_char *p, size_t len);
static void XMLCALL expat_start(void *data, const XML_Char *name,
    const XML_Char **attrs);
static void XMLCALL expat_end(void *data, const XML_Char *name);
static void XMLCALL expat_text(void *data, const XML_Char *text, int len);
static void expat_attr(const XML_Char **attrs, const char *name);
static ngx_uint_t has(stream_t *stream, ngx_uint_t kind, int file);
static size_t size(ngx_uint_t kind, int file);
static ngx_uint_t choose(run_t *run, int file);
static void check(void);
static void count(run_t *run, int file, const char *name);
static double measure(run_t *run);
static void measure_all(ngx_uint_t rounds);
static int compare(const void *one, const void *two);


static run_t  runs[] = {
    { "ours", "clients", ours, STREAM_CLIENT },
    { "expat", "clients", expat, STREAM_CLIENT },
    { "ours", "servers", ours, STREAM_SERVER },
    { "expat", "servers", expat, STREAM_SERVER },
    { "ours", "setup", ours, STREAM_SETUP },
    { "expat", "setup", expat, STREAM_SETUP },
    { "ours", "whole", ours, STREAM_WHOLE },
    { "expat", "whole", expat, STREAM_WHOLE },

    /* each byte is handed over by itself */
    { "ours", "bytes", ours_bytes, STREAM_SETUP },
    { "expat", "bytes", expat_bytes, STREAM_SETUP },

    /* expat's parser is made and freed for each stream */
    { "expat", "made", expat_made, STREAM_SETUP },

    { NULL, NULL, NULL, 0 }
};

static run_t  setup[] = {
    { "ours", "setup", ours, STREAM_SETUP },
    { "expat", "setup", expat, STREAM_SETUP }
};

static stream_t  **chosen;
static found_t     found;

/* the stream is a client's, of which a session wants to know more */
static ngx_uint_t  client;


int
main(int argc, char **argv)
{
    int         i, first;
    ngx_uint_t  n;

    first = (argc > 1 && strcmp(argv[1], "time") == 0) ? 3 : 2;

    if (argc <= first) {
        fprintf(stderr, "usage: parser_bench list|count|files FILE...\n"
                        "       parser_bench time ROUNDS FILE...\n");
        return 1;
    }

    for (i = first; i < argc; i++) {
        streams_read(argv[i], i);
    }

    chosen = calloc(nstreams + 1, sizeof(stream_t *));
    if (chosen == NULL) {
        return 1;
    }

    if (strcmp(argv[1], "list") == 0) {

        for (i = first; i < argc; i++) {
            printf("%s %zu %zu %zu\n", argv[i], size(STREAM_CLIENT, i),
                   size(STREAM_SERVER, i), size(STREAM_WHOLE, i));
        }

        return 0;
    }

    check();

    if (strcmp(argv[1], "time") == 0) {
        measure_all(atoi(argv[2]));
        return 0;
    }

    if (strcmp(argv[1], "count") == 0) {

        for (n = 0; runs[n].parser; n++) {
            count(&runs[n], 0, runs[n].what);
        }

        return 0;
    }

    for (i = first; i < argc; i++) {
        count(&setup[0], i, argv[i]);
        count(&setup[1], i, argv[i]);
    }

    return 0;
}


static void
ours(stream_t *stream)
{
    ours_feed(stream, 0);
}


static void
ours_bytes(stream_t *stream)
{
    ours_feed(stream, 1);
}


static void
ours_feed(stream_t *stream, ngx_uint_t bytes)
{
    ngx_buf_t                       b;
    ngx_int_t                       rc;
    ngx_uint_t                      i, n;
    static ngx_mail_xmpp_parser_t   p;

    client = stream->client;

    ngx_mail_xmpp_parse_init(&p);

    b.start = stream->data;
    b.pos = stream->data;
    b.end = stream->data + stream->len;

    n = bytes ? stream->len : stream->n;

    for (i = 0; i < n; i++) {

        b.last = stream->data + (bytes ? i + 1 : stream->ends[i]);

        while ((rc = ngx_mail_xmpp_parse(&p, &b)) == NGX_OK) {

            if (ours_event(&p) == NGX_DONE) {
                return;
            }
        }

        if (rc == NGX_ERROR) {
            fprintf(stderr, "our parser says %s at byte %d of \"%.*s\"\n",
                    p.error, (int) (b.pos - b.start), (int) stream->len,
                    (char *) stream->data);
            exit(1);
        }
    }
}


static ngx_int_t
ours_event(ngx_mail_xmpp_parser_t *p)
{
    found.elements++;

    switch (p->event) {

    case ngx_mail_xmpp_stream_start:
        found.attrs += (ngx_mail_xmpp_parse_attr(p, "version") != NULL);

        if (client) {
            found.attrs += (ngx_mail_xmpp_parse_attr(p, "to") != NULL)
                           + (ngx_mail_xmpp_parse_attr(p, "from") != NULL);
        }

        break;

    case ngx_mail_xmpp_element_start:

        if (client && p->depth == 1 && p->ns == NGX_MAIL_XMPP_NS_SASL) {
            found.attrs += (ngx_mail_xmpp_parse_attr(p, "mechanism") != NULL);
        }

        break;

    case ngx_mail_xmpp_element_end:
        found.texts += p->text.len;
        break;

    case ngx_mail_xmpp_stream_end:
        return NGX_DONE;
    }

    return NGX_OK;
}


/* with one parser for all */

static void
expat(stream_t *stream)
{
    static XML_Parser  parser;

    if (parser == NULL) {
        parser = XML_ParserCreateNS(NULL, ' ');

    } else {
        XML_ParserReset(parser, NULL);
    }

    expat_feed(parser, stream, 0);
}


static void
expat_bytes(stream_t *stream)
{
    static XML_Parser  parser;

    if (parser == NULL) {
        parser = XML_ParserCreateNS(NULL, ' ');

    } else {
        XML_ParserReset(parser, NULL);
    }

    expat_feed(parser, stream, 1);
}


static void
expat_made(stream_t *stream)
{
    XML_Parser  parser;

    parser = XML_ParserCreateNS(NULL, ' ');

    expat_feed(parser, stream, 0);

    XML_ParserFree(parser);
}


static void
expat_feed(XML_Parser parser, stream_t *stream, ngx_uint_t bytes)
{
    size_t      from;
    ngx_uint_t  i;

    client = stream->client;

    /*
     * a random number would be read from the kernel for each stream; what the
     * newest versions have instead of this is not in the others
     */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    XML_SetHashSalt(parser, 1);
#pragma GCC diagnostic pop

    XML_SetElementHandler(parser, expat_start, expat_end);
    XML_SetCharacterDataHandler(parser, expat_text);

#if (XML_MAJOR_VERSION > 2 || XML_MINOR_VERSION >= 6)

    /* it would wait for more than one byte */
    XML_SetReparseDeferralEnabled(parser, XML_FALSE);

#endif

    if (bytes) {
        for (i = 0; i < stream->len; i++) {
            expat_piece(parser, stream->data + i, 1);
        }

        return;
    }

    from = 0;

    for (i = 0; i < stream->n; i++) {
        expat_piece(parser, stream->data + from, stream->ends[i] - from);
        from = stream->ends[i];
    }
}


static void
expat_piece(XML_Parser parser, u_char *p, size_t len)
{
    if (XML_Parse(parser, (char *) p, (int) len, 0) != XML_STATUS_OK) {
        fprintf(stderr, "expat says %s in \"%.*s\"\n",
                XML_ErrorString(XML_GetErrorCode(parser)), (int) len,
                (char *) p);
        exit(1);
    }
}


static void XMLCALL
expat_start(void *data, const XML_Char *name, const XML_Char **attrs)
{
    static const char  header[] = "http://etherx.jabber.org/streams stream";
    static const char  sasl[] = "urn:ietf:params:xml:ns:xmpp-sasl ";

    (void) data;

    found.elements++;

    if (strcmp(name, header) == 0) {
        expat_attr(attrs, "version");

        if (client) {
            expat_attr(attrs, "to");
            expat_attr(attrs, "from");
        }

    } else if (client && strncmp(name, sasl, sizeof(sasl) - 1) == 0) {
        expat_attr(attrs, "mechanism");
    }
}


static void XMLCALL
expat_end(void *data, const XML_Char *name)
{
    (void) data;
    (void) name;

    found.elements++;
}


static void XMLCALL
expat_text(void *data, const XML_Char *text, int len)
{
    (void) data;
    (void) text;

    found.texts += len;
}


static void
expat_attr(const XML_Char **attrs, const char *name)
{
    for (/* void */; *attrs; attrs += 2) {
        if (strcmp(*attrs, name) == 0) {
            found.attrs++;
            return;
        }
    }
}


static ngx_uint_t
has(stream_t *stream, ngx_uint_t kind, int file)
{
    return (stream->kind & kind)
           && (file == 0 || stream->file == (ngx_uint_t) file);
}


static size_t
size(ngx_uint_t kind, int file)
{
    size_t      len;
    ngx_uint_t  i;

    len = 0;

    for (i = 0; i < nstreams; i++) {
        if (has(&streams[i], kind, file)) {
            len += streams[i].len;
        }
    }

    return len;
}


/* the streams of a run, returns their number */

static ngx_uint_t
choose(run_t *run, int file)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < nstreams; i++) {
        if (has(&streams[i], run->kind, file)) {
            chosen[n++] = &streams[i];
        }
    }

    return n;
}


/* what is not parsed is not measured */

static void
check(void)
{
    found_t     first;
    run_t      *run;
    stream_t   *stream;

    memset(&first, 0, sizeof(found_t));

    for (stream = streams; stream < streams + nstreams; stream++) {

        for (run = runs; run->parser; run++) {

            memset(&found, 0, sizeof(found_t));

            run->pass(stream);

            if (run == runs) {
                first = found;
            }

            /* texts may be read in other parts */

            if (found.elements == 0 || found.elements != first.elements
                || found.attrs != first.attrs)
            {
                fprintf(stderr, "%s, %s: not what is in \"%.*s\"\n",
                        run->parser, run->what, (int) stream->len,
                        (char *) stream->data);
                exit(1);
            }
        }
    }
}


static void
count(run_t *run, int file, const char *what)
{
    char        name[256];
    ngx_uint_t  i, n;

    (void) snprintf(name, sizeof(name), "%s %s", run->parser, what);

    n = choose(run, file);

    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;

    for (i = 0; i < n; i++) {
        run->pass(chosen[i]);
    }

    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}


/* returns ns a byte */

static double
measure(run_t *run)
{
    double            ns;
    ngx_uint_t        i, n, passes;
    struct timespec   from, to;

    n = choose(run, 0);
    passes = 0;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);

    do {
        for (i = 0; i < n; i++) {
            run->pass(chosen[i]);
        }

        passes++;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);

        ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);

    } while (ns < ENOUGH);

    return ns / passes / size(run->kind, 0);
}


static void
measure_all(ngx_uint_t rounds)
{
    double      *times, *got;
    ngx_uint_t   i, n;

    times = calloc(sizeof(runs) / sizeof(runs[0]) * rounds, sizeof(double));
    if (times == NULL || rounds == 0) {
        exit(1);
    }

    for (n = 0; n < rounds; n++) {
        for (i = 0; runs[i].parser; i++) {
            times[i * rounds + n] = measure(&runs[i]);
        }
    }

    for (i = 0; runs[i].parser; i++) {

        got = &times[i * rounds];

        qsort(got, rounds, sizeof(double), compare);

        printf("%s %s %f %f %f\n", runs[i].what, runs[i].parser,
               got[rounds / 2], got[0], got[rounds - 1]);
    }

    free(times);
}


static int
compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}
