/* SPDX-License-Identifier: MIT
 * Gives each message of the chosen section of tables/messages.def its constants FIELD_SIZE and FIELD_PARTS: a sum to which each field of
 * fixed size adds its bytes, and each part FIELD_PART. Included by base/field_structs.h; no guard. */
#define MESSAGE(set, owner, encoding, frame, what) enum { set##_layout = 0
#define END \
    } \
    ;
#define BOOL(...) +1
#define U8(...)   +1
#define U16(...)  +2
#define U32(...)  +4
#define U64(...)  +8
#define I32(...)  +4
#define I64(...)  +8
#define F32(...)  +4
#define F64(...)  +8
#define SIGNED(...)
#define ID(...)    +8
#define EPOCH(...) +8
#define TEXT(...)
#define PATH(...)
#define LINE(...)
#define CHOICE(...)
#define WORD(...)                           +1
#define HEX(need, name, size, what)         +size
#define HEX_AS(need, name, key, size, what) +size
#define CODE(...)
#define STRING(...)
#define BLOB(...)
#define TOKENS(...)
#define OBJECT(need, name, type, what) +type##_layout
#define LIST(...)
#define OWNED(...)
#define REALS(...)
#define CUSTOM(...)
#define OPTION_BOOL(...) +1
#define OPTION_FLAG(...) +1
#define OPTION_U32(...)  +4
#define OPTION_I32(...)  +4
#define OPTION_CHOICE(...)
#define OPTION_LINE(...)
#define ZERO(n)    +n
#define ARRAY(...) +FIELD_PART
#define HEAP(...)  +FIELD_PART
#define I32S(...)  +FIELD_PART
#define PIECE(...) +FIELD_PART
#define VIEW(...)  +FIELD_PART
#define REST(...)  +FIELD_PART
#define HERE(...)
#include "../../tables/messages.def"
#include "base/field_undef.h"
