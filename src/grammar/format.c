/* SPDX-License-Identifier: MIT
 * Sources: RFC 3339 (dates, durations), 5321 and 5322 (e-mail), 1123 (host names), 2673 and 4291 (addresses), 3986 and 3987 (URI, IRI),
 * 6570 (URI templates), 6901 (JSON pointers), 4122 (UUID). */
#include "grammar/format.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define DAY31         "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
#define DAY30         "(0[469]|11)-(0[1-9]|[12][0-9]|30)"
#define LEAP          "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
#define DATE          "([0-9]{4}-(" DAY31 "|" DAY30 "|02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP "-02-29)"
#define TIME          "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define DURATION_TIME "T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)"
#define DURATION_DATE "([0-9]{1,9}D|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?)"
#define ATOM          "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}"
#define LABEL         "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST          "([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]([A-Za-z0-9]|-[A-Za-z0-9]){0,30})"
#define OCTET         "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4          OCTET "(\\." OCTET "){3}"
#define HEX           "[0-9A-Fa-f]"
#define H16           HEX "{1,4}"
#define LS32          "(" H16 ":" H16 "|" IPV4 ")"
#define PCHAR         "([A-Za-z0-9._~!$&'()*+,;=:@-]|%" HEX "{2})"
#define IPV6 \
    "((" H16 ":){6}" LS32 "|::(" H16 ":){5}" LS32 "|(" H16 ")?::(" H16 ":){4}" LS32 "|((" H16 ":){0,1}" H16 ")?::(" H16 ":){3}" LS32 \
    "|((" H16 ":){0,2}" H16 ")?::(" H16 ":){2}" LS32 "|((" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|((" H16 ":){0,4}" H16 ")?::" LS32 \
    "|((" H16 ":){0,5}" H16 ")?::" H16 "|((" H16 ":){0,6}" H16 ")?::)"
#define ANY_TIME   "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define ANY_ATOM   "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define ANY_QUOTED "\"([^\"\\\\]|\\\\.)*\""
#define URI_CHARS  "([A-Za-z0-9._~!$&'()*+,;=:@/?#\\[\\]-]|%" HEX "{2})*"
#define IRI_CHARS  "([^\\x00-\\x20<>\"{}|\\\\^`%]|%" HEX "{2})*"
#define SCHEME     "[A-Za-z][A-Za-z0-9+.-]*:"
#define VARIABLE   "([A-Za-z0-9_]|%" HEX "{2})([A-Za-z0-9_.]|%" HEX "{2})*(:[1-9][0-9]{0,3}|\\*)?"
#define POINTER    "(/([^/~]|~[01])*)*"

const struct format *format_named(const char *name) {
    static const struct format formats[] = {
        {"date", "^" DATE "$", "^" DATE "$"},
        {"time", "^" TIME "$", "^" ANY_TIME "$"},
        {"date-time", "^" DATE "T" TIME "$", "^" DATE "[Tt]" ANY_TIME "$"},
        {"duration", "^P(" DURATION_DATE "(" DURATION_TIME ")?|" DURATION_TIME "|[0-9]{1,9}W)$",
         "^P((([0-9]+D|[0-9]+M([0-9]+D)?|[0-9]+Y([0-9]+M([0-9]+D)?)?)(T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))?)|"
         "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)|[0-9]+W)$"},
        {"email", "^" ATOM "(\\." ATOM "){0,3}@" LABEL "(\\." LABEL "){1,3}$",
         "^(" ANY_ATOM "(\\." ANY_ATOM ")*|" ANY_QUOTED ")@(" LABEL "(\\." LABEL ")*|\\[(" IPV4 "|IPv6:" IPV6 ")\\])$"},
        {"hostname", "^" HOST "(\\." HOST "){0,3}$", "^" LABEL "(\\." LABEL ")*$"},
        {"ipv4", "^" IPV4 "$", "^" IPV4 "$"},
        {"ipv6", "^" IPV6 "$", "^" IPV6 "$"},
        {"uuid", "^" HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}$", "^" HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}$"},
        {"uri",
         "^[A-Za-z][A-Za-z0-9+.-]{0,31}://" HOST "(\\." HOST "){0,3}(:[0-9]{1,5})?(/" PCHAR "{0,255}){0,16}"
         "(\\?(" PCHAR "|[/?]){0,255})?(#(" PCHAR "|[/?]){0,255})?$",
         "^" SCHEME URI_CHARS "$"},
        {"uri-reference", "^(/|" PCHAR "){1,255}$", "^(" SCHEME ")?" URI_CHARS "$"},
        {"iri", "^" SCHEME "//" IRI_CHARS "$", "^" SCHEME IRI_CHARS "$"},
        {"iri-reference", NULL, "^" IRI_CHARS "$"},
        {"uri-template", NULL, "^([^\\x00-\\x20\"'<>%\\\\^`{|}]|%" HEX "{2}|\\{[+#./;?&=,!@|]?" VARIABLE "(," VARIABLE ")*\\})*$"},
        {"json-pointer", "^" POINTER "$", "^" POINTER "$"},
        {"relative-json-pointer", "^(0|[1-9][0-9]{0,8})(#|" POINTER ")$", "^(0|[1-9][0-9]*)(#|" POINTER ")$"},
        {"idn-email", "^" ATOM "(\\." ATOM "){0,3}@" LABEL "(\\." LABEL "){1,3}$", "^[^@\\s]+@[^@\\s]+$"},
        {"idn-hostname", "^" HOST "(\\." HOST "){0,3}$", "^[^\\s.@]+(\\.[^\\s.@]+)*$"},
    };
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}
