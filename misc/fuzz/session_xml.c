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


static void XMLCALL fuzz_xml_start(void *data, const XML_Char *name,
    const XML_Char **attrs);
static void XMLCALL fuzz_xml_end(void *data, const XML_Char *name);
static void XMLCALL fuzz_xml_text(void *data, const XML_Char *text, int len);


static XML_Parser  fuzz_parser;
static ngx_uint_t  fuzz_depth, fuzz_in_auth, fuzz_in_mechanism;
static size_t      fuzz_skipped;
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
    ngx_memzero(x, sizeof(fuzz_xml_t) - sizeof(x->text) - sizeof(size_t));

    x->error = (size_t) -1;
    x->text_len = 0;

    fuzz_depth = 0;
    fuzz_in_auth = 0;
    fuzz_in_mechanism = 0;

    /* the declaration of a restarted stream may come behind white space */

    for (fuzz_skipped = 0; fuzz_skipped < len; fuzz_skipped++) {
        if (!ngx_mail_xmpp_is_space(data[fuzz_skipped])) {
            break;
        }
    }

    data += fuzz_skipped;
    len -= fuzz_skipped;

    XML_ParserReset(fuzz_parser, "UTF-8");
    XML_SetHashSalt(fuzz_parser, 1);
    XML_SetElementHandler(fuzz_parser, fuzz_xml_start, fuzz_xml_end);
    XML_SetCharacterDataHandler(fuzz_parser, fuzz_xml_text);
    XML_SetUserData(fuzz_parser, x);

    if (XML_Parse(fuzz_parser, (char *) data, len, 0) != XML_STATUS_OK) {
        x->error = fuzz_skipped + XML_GetCurrentByteIndex(fuzz_parser);
        x->reason = XML_ErrorString(XML_GetErrorCode(fuzz_parser));
    }
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
