/* SPDX-License-Identifier: MIT
 * Defines the <name>_fields() functions of the chosen section of tables/messages.def (base/field_structs.h says how it is chosen). For the
 * one source file of that section; no guard. */
#include "base/field.h"
#include "base/mem.h"

#define MESSAGE(set, owner, encoding, frame, what) \
    const struct field_set *set##_fields(void) { \
        typedef struct owner own; \
        static const char title[] = #set, carrier[] = frame, about[] = what; \
        enum { BYTES = 1, JSON = 0, IN_BYTES = encoding, OWN_BYTES = FIELD_SIZE(set), OWN_PARTS = FIELD_PARTS(set) }; \
        static const struct field rows[] = {
#define END \
    } \
    ; \
    static const struct field_set set = { \
        title, carrier, IN_BYTES != 0, about, rows, ARRAY_LEN(rows), sizeof(own), IN_BYTES ? OWN_BYTES : 0, OWN_PARTS}; \
    return &set; \
    }
#define MUST                          true
#define MAY                           false
#define PLACE(member)                 .at = offsetof(own, member), .size = sizeof(((own *)NULL)->member)
#define ROW(need, member, kind, text) .name = #member, .type = kind, .needed = need, .what = text
#define NUMBER(kind, need, member, low, high, value, text) \
    {ROW(need, member, kind, text), PLACE(member), .min = low, .max = high, .preset = value},
#define CHARS(kind, need, member, value, text) {ROW(need, member, kind, text), PLACE(member), .preset_text = value},

#define BOOL(need, member, value, text)           {ROW(need, member, FIELD_BOOL, text), PLACE(member), .preset = value},
#define U8(need, member, low, high, value, text)  NUMBER(FIELD_UINT, need, member, low, high, value, text)
#define U16(need, member, low, high, value, text) NUMBER(FIELD_UINT, need, member, low, high, value, text)
#define U32(need, member, low, high, value, text) NUMBER(FIELD_UINT, need, member, low, high, value, text)
#define U64(need, member, low, high, value, text) NUMBER(FIELD_UINT, need, member, low, high, value, text)
#define I32(need, member, low, high, value, text) NUMBER(FIELD_INT, need, member, low, high, value, text)
#define I64(need, member, low, high, value, text) NUMBER(FIELD_INT, need, member, low, high, value, text)
#define F32(need, member, high, text)             NUMBER(FIELD_REAL, need, member, 0, high, 0, text)
#define F64(need, member, high, text)             NUMBER(FIELD_REAL, need, member, 0, high, 0, text)
#define SIGNED(need, member, high, value, text)   NUMBER(FIELD_REAL, need, member, -(high), high, value, text)
#define ID(need, member, text)                    {ROW(need, member, FIELD_ID, text), PLACE(member)},
#define EPOCH(need, member, text)                 {ROW(need, member, FIELD_ID, text), PLACE(member)},
#define TEXT(need, member, bytes, value, text)    CHARS(FIELD_TEXT, need, member, value, text)
#define PATH(need, member, bytes, value, text)    CHARS(FIELD_PATH, need, member, value, text)
#define LINE(need, member, bytes, value, text)    CHARS(FIELD_LINE, need, member, value, text)
#define CHOICE(need, member, bytes, list, value, text) \
    {ROW(need, member, FIELD_CHOICE, text), PLACE(member), .words = list, .max = ARRAY_LEN(list), .preset_text = value},
#define WORD(need, member, kind, list, value, text) \
    {ROW(need, member, FIELD_WORD, text), PLACE(member), .words = list, .max = ARRAY_LEN(list), .preset = value},
#define HEX(need, member, bytes, text)         {ROW(need, member, FIELD_HEX, text), PLACE(member)},
#define HEX_AS(need, member, key, bytes, text) {.name = key, .type = FIELD_HEX, .needed = need, .what = text, PLACE(member)},
#define CODE(need, member, key, text)          {.name = key, .type = FIELD_CODE, .needed = need, .what = text, PLACE(member)},
#define STRING(need, member, high, text)       {ROW(need, member, FIELD_STRING, text), PLACE(member), .max = high},
#define BLOB(need, member, high, text) \
    {ROW(need, member, FIELD_BLOB, text), PLACE(member), .count_at = offsetof(own, member##_len), .max = high},
#define TOKENS(need, member, text)       {ROW(need, member, FIELD_TOKENS, text), PLACE(member), .count_at = offsetof(own, n_##member)},
#define OBJECT(need, member, kind, text) {ROW(need, member, FIELD_OBJECT, text), PLACE(member), .of = kind##_fields},
#define ELEMENTS(type_, need, member, kind, high, text) \
    {ROW(need, member, type_, text), \
     .at = offsetof(own, member), \
     .size = sizeof(struct kind), \
     .count_at = offsetof(own, n_##member), \
     .max = high, \
     .of = kind##_fields},
#define LIST(need, member, kind, high, text)  ELEMENTS(FIELD_LIST, need, member, kind, high, text)
#define OWNED(need, member, kind, high, text) ELEMENTS(FIELD_OWNED, need, member, kind, high, text)
#define REALS(need, member, high, text) \
    {ROW(need, member, FIELD_REALS, text), .at = offsetof(own, member), .size = sizeof(double), .count_at = offsetof(own, n_##member), \
     .max = high},
#define CUSTOM(need, member, kind, functions, text)          {ROW(need, member, FIELD_CUSTOM, text), PLACE(member), .custom = &functions},
#define OPTION_BOOL(id, need, member, value, text)           BOOL(need, member, value, text)
#define OPTION_FLAG(id, need, member, value, text)           BOOL(need, member, value, text)
#define OPTION_U32(id, need, member, low, high, value, text) U32(need, member, low, high, value, text)
#define OPTION_I32(id, need, member, low, high, value, text) I32(need, member, low, high, value, text)
#define OPTION_CHOICE(id, need, member, bytes, list, value, text) CHOICE(need, member, bytes, list, value, text)
#define OPTION_LINE(id, need, member, bytes, value, text)         LINE(need, member, bytes, value, text)
#define ZERO(n)                                                   {.name = "0", .type = FIELD_ZERO, .size = n, .what = ""},
#define COUNTED(number, member, kind, text) \
    { \
        ROW(true, member, kind, text), .at = offsetof(own, member), .count_at = offsetof(own, number), \
            .count_size = sizeof(((own *)NULL)->number), .count = #number,
#define ARRAY(number, member, kind, high, text) \
    COUNTED(number, member, FIELD_ARRAY, text).size = sizeof(struct kind), .max = high, .of = kind##_fields \
    } \
    ,
#define HEAP(number, member, kind, text) \
    COUNTED(number, member, FIELD_HEAP, text).size = sizeof(struct kind), .of = kind##_fields \
    } \
    ,
#define I32S(number, member, text) \
    COUNTED(number, member, FIELD_I32S, text).size = sizeof(int32_t) \
    } \
    ,
#define PIECE(number, member, high, text) \
    COUNTED(number, member, FIELD_PIECE, text).size = 1, .max = high \
    } \
    ,
#define VIEW(number, member, kind, bytes, name, text) \
    COUNTED(number, member, FIELD_VIEW, text).size = bytes, .unit = name \
    } \
    ,
#define REST(member, kind, text) \
    {ROW(true, member, FIELD_REST, text), .at = offsetof(own, member), .size = 1, .count_at = offsetof(own, member##_len)},
#define HERE(declaration, text)
#include "../../tables/messages.def"
#undef MUST
#undef MAY
#undef PLACE
#undef ROW
#undef NUMBER
#undef CHARS
#undef ELEMENTS
#undef COUNTED
#include "base/field_undef.h"
