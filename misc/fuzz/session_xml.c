/*
 * What a stream is, to expat: well-formed, with namespaces, and which of the
 * elements that matter are in it.
 */


#include "session.h"

#include <expat.h>


/* between the namespace and the name, as it is in no XML */

#define FUZZ_SEP     "\f"

#define FUZZ_STREAM  "http://etherx.jabber.org/streams" FUZZ_SEP
#define FUZZ_SASL    "urn:ietf:params:xml:ns:xmpp-sasl" FUZZ_SEP


static void fuzz_parse(fuzz_xml_t *x, const u_char *data, size_t len);
static ngx_uint_t fuzz_older_name(u_char *data, size_t len, size_t at);
static void XMLCALL fuzz_xml_start(void *data, const XML_Char *name,
    const XML_Char **attrs);
static void XMLCALL fuzz_xml_end(void *data, const XML_Char *name);
static void XMLCALL fuzz_xml_text(void *data, const XML_Char *text, int len);


static XML_Parser  fuzz_parser;
static ngx_uint_t  fuzz_depth, fuzz_in_auth, fuzz_in_mechanism;
static size_t      fuzz_skipped;
static u_char      fuzz_copy[FUZZ_RECORD + 4];
static char        fuzz_mechanism[16];
static size_t      fuzz_mechanism_len;


void
fuzz_xml_init(void)
{
    fuzz_parser = XML_ParserCreateNS("UTF-8", FUZZ_SEP[0]);

    if (fuzz_parser == NULL) {
        fuzz_fail("XML_ParserCreateNS() failed");
    }
}


void
fuzz_xml(fuzz_xml_t *x, const u_char *data, size_t len)
{
    /* the declaration of a restarted stream may come behind white space */

    for (fuzz_skipped = 0; fuzz_skipped < len; fuzz_skipped++) {
        if (!ngx_mail_xmpp_is_space(data[fuzz_skipped])) {
            break;
        }
    }

    data += fuzz_skipped;
    len -= fuzz_skipped;

    ngx_memcpy(fuzz_copy, data, len);

    do {
        fuzz_parse(x, fuzz_copy, len);
    } while (x->error != (size_t) -1
             && fuzz_older_name(fuzz_copy, len, x->error - fuzz_skipped));
}


static void
fuzz_parse(fuzz_xml_t *x, const u_char *data, size_t len)
{
    ngx_memzero(x, sizeof(fuzz_xml_t) - sizeof(x->text) - sizeof(size_t));

    x->error = (size_t) -1;
    x->text_len = 0;

    fuzz_depth = 0;
    fuzz_in_auth = 0;
    fuzz_in_mechanism = 0;

    XML_ParserReset(fuzz_parser, "UTF-8");

    /* what the newest versions have instead of this is not in the others */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    XML_SetHashSalt(fuzz_parser, 1);
#pragma GCC diagnostic pop

    XML_SetElementHandler(fuzz_parser, fuzz_xml_start, fuzz_xml_end);
    XML_SetCharacterDataHandler(fuzz_parser, fuzz_xml_text);
    XML_SetUserData(fuzz_parser, x);

    if (XML_Parse(fuzz_parser, (char *) data, len, 0) != XML_STATUS_OK) {
        x->error = fuzz_skipped + XML_GetCurrentByteIndex(fuzz_parser);
        x->reason = XML_ErrorString(XML_GetErrorCode(fuzz_parser));
    }
}


/*
 * Names are made of what the fifth edition of XML 1.0 lets stand in them;
 * expat knows the fourth one, with fewer characters.  One that it does not
 * know becomes letters that stand for no other one, as many as it has bytes.
 */

static ngx_uint_t
fuzz_older_name(u_char *data, size_t len, size_t at)
{
    u_char    *p;
    uint32_t   code;

    static const u_char  letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-0123456789";

    if (XML_GetErrorCode(fuzz_parser) != XML_ERROR_INVALID_TOKEN
        || at == 0 || at >= len || data[at] < 0x80)
    {
        return 0;
    }

    p = data + at;
    code = ngx_mail_xmpp_utf8_decode(&p, data + len);

    if (code == NGX_MAIL_XMPP_INVALID
        || !(strchr(" \t\r\n</:", data[at - 1])
             ? ngx_mail_xmpp_xml_name_start(code)
             : ngx_mail_xmpp_xml_name(code)))
    {
        return 0;
    }

    while (p > data + at) {
        *--p = letters[code % 64];
        code /= 64;
    }

    return 1;
}


static void XMLCALL
fuzz_xml_start(void *data, const XML_Char *name, const XML_Char **attrs)
{
    fuzz_xml_t *x = data;

    fuzz_depth++;

    if (fuzz_depth == 2 && strcmp(name, FUZZ_SASL "auth") == 0) {
        fuzz_in_auth = 1;
        x->auths++;
        x->text_len = 0;
    }

    if (fuzz_depth == 4 && strcmp(name, FUZZ_SASL "mechanism") == 0) {
        fuzz_in_mechanism = 1;
        fuzz_mechanism_len = 0;
    }
}


static void XMLCALL
fuzz_xml_end(void *data, const XML_Char *name)
{
    size_t      offset;
    fuzz_xml_t *x = data;

    offset = fuzz_skipped + XML_GetCurrentByteIndex(fuzz_parser)
             + XML_GetCurrentByteCount(fuzz_parser);

    if (fuzz_depth == 4 && fuzz_in_mechanism) {
        fuzz_in_mechanism = 0;

        if (fuzz_mechanism_len == 5
            && ngx_memcmp(fuzz_mechanism, "PLAIN", 5) == 0)
        {
            x->plain = 1;
        }
    }

    if (fuzz_depth == 2) {

        if (strcmp(name, FUZZ_STREAM "error") == 0) {
            x->stream_error = 1;
        }

        if (strcmp(name, FUZZ_SASL "success") == 0 && x->success == 0) {
            x->success = offset;
        }

        if (fuzz_in_auth) {
            fuzz_in_auth = 0;
            x->auth = offset;
        }
    }

    if (--fuzz_depth == 0) {
        x->complete = 1;
    }
}


static void XMLCALL
fuzz_xml_text(void *data, const XML_Char *text, int len)
{
    fuzz_xml_t *x = data;

    if (fuzz_in_auth && x->text_len + len <= sizeof(x->text)) {
        ngx_memcpy(x->text + x->text_len, text, len);
        x->text_len += len;
    }

    if (fuzz_in_mechanism && fuzz_depth == 4) {

        if (fuzz_mechanism_len + len > sizeof(fuzz_mechanism)) {
            len = sizeof(fuzz_mechanism) - fuzz_mechanism_len;
        }

        ngx_memcpy(fuzz_mechanism + fuzz_mechanism_len, text, len);
        fuzz_mechanism_len += len;
    }
}
