/* SPDX-License-Identifier: MIT
 * Makes structs of the chosen section of tables/messages.def, each with a function <name>_fields() that gives its table (base/field.h):
 *
 *     #define MESSAGES_STAGE
 *     #include "base/field_structs.h"
 *     #undef MESSAGES_STAGE
 *
 * For headers; it has no guard, as it is included once for each section. */
#include "base/field.h"

#define MESSAGE(set, owner, encoding, frame, what) \
    const struct field_set *set##_fields(void); \
    struct owner {
#define END \
    } \
    ;
#define BOOL(need, name, preset, what)                bool name;
#define U8(need, name, min, max, preset, what)        uint8_t name;
#define U16(need, name, min, max, preset, what)       uint16_t name;
#define U32(need, name, min, max, preset, what)       uint32_t name;
#define U64(need, name, min, max, preset, what)       uint64_t name;
#define I32(need, name, min, max, preset, what)       int32_t name;
#define I64(need, name, min, max, preset, what)       int64_t name;
#define F32(need, name, max, what)                    float name;
#define F64(need, name, max, what)                    double name;
#define SIGNED(need, name, max, preset, what)         double name;
#define ID(need, name, what)                          uint64_t name;
#define EPOCH(need, name, what)                       uint64_t name;
#define TEXT(need, name, size, preset, what)          char name[size];
#define PATH(need, name, size, preset, what)          char name[size];
#define LINE(need, name, size, preset, what)          char name[size];
#define CHOICE(need, name, size, words, preset, what) char name[size];
#define WORD(need, name, type, words, preset, what)   type name;
#define HEX(need, name, size, what)                   uint8_t name[size];
#define HEX_AS(need, name, key, size, what)           uint8_t name[size];
#define CODE(need, name, key, what)                   err_code name;
#define STRING(need, name, max, what)                 char *name;
#define BLOB(need, name, max, what) \
    char *name; \
    size_t name##_len;
#define TOKENS(need, name, what) \
    int32_t *name; \
    size_t n_##name;
#define OBJECT(need, name, type, what) struct type name;
#define LIST(need, name, type, max, what) \
    uint32_t n_##name; \
    struct type name[max];
#define OWNED(need, name, type, max, what) \
    uint32_t n_##name; \
    struct type *name;
#define REALS(need, name, max, what) \
    uint32_t n_##name; \
    double name[max];
#define CUSTOM(need, name, type, functions, what)                struct type name;
#define OPTION_BOOL(id, need, name, preset, what)                bool name;
#define OPTION_FLAG(id, need, name, preset, what)                bool name;
#define OPTION_U32(id, need, name, min, max, preset, what)       uint32_t name;
#define OPTION_I32(id, need, name, min, max, preset, what)       int32_t name;
#define OPTION_CHOICE(id, need, name, size, words, preset, what) char name[size];
#define OPTION_LINE(id, need, name, size, preset, what)          char name[size];
#define ZERO(n)
#define ARRAY(count, name, type, max, what)       struct type name[max];
#define HEAP(count, name, type, what)             struct type *name;
#define I32S(count, name, what)                   int32_t *name;
#define PIECE(count, name, max, what)             char name[max];
#define VIEW(count, name, type, size, unit, what) const type *name;
#define REST(name, type, what) \
    const type *name; \
    size_t name##_len;
#define HERE(declaration, what) declaration;
#include "../../tables/messages.def"
#include "base/field_undef.h"
#include "base/field_sizes.h"
