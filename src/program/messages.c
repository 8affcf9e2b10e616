/* SPDX-License-Identifier: MIT
 * See messages.h. The list is the table itself, read once more without its rows. */
#include "program/messages.h"

#include "base/mem.h"
#include "members/ask.h"
#include "members/key.h"
#include "members/membership.h"
#include "members/record.h"
#include "plan/probe.h"
#include "stage/tokenize.h"
#include "weights/msg.h"
#include "wire/handshake.h"
#include "wire/link.h"
#include "wire/request.h"
#include "wire/result.h"
#include "wire/stage.h"

#define MESSAGE(set, ...) set##_fields,
#define END
#define BOOL(...)
#define U8(...)
#define U16(...)
#define U32(...)
#define U64(...)
#define I32(...)
#define I64(...)
#define F32(...)
#define F64(...)
#define SIGNED(...)
#define ID(...)
#define EPOCH(...)
#define TEXT(...)
#define PATH(...)
#define LINE(...)
#define CHOICE(...)
#define WORD(...)
#define HEX(...)
#define HEX_AS(...)
#define CODE(...)
#define STRING(...)
#define BLOB(...)
#define TOKENS(...)
#define OBJECT(...)
#define LIST(...)
#define OWNED(...)
#define REALS(...)
#define CUSTOM(...)
#define ZERO(...)
#define ARRAY(...)
#define HEAP(...)
#define I32S(...)
#define PIECE(...)
#define VIEW(...)
#define REST(...)
#define HERE(...)
#define OPTION_BOOL(...)
#define OPTION_FLAG(...)
#define OPTION_U32(...)
#define OPTION_I32(...)
#define OPTION_CHOICE(...)
#define OPTION_LINE(...)
#define MESSAGES_ALL
static const messages_set_fn sets[] = {
#include "../../tables/messages.def"
};
#undef MESSAGES_ALL
#include "base/field_undef.h"

const messages_set_fn *messages_sets(size_t *ret_n) {
    *ret_n = ARRAY_LEN(sets);
    return sets;
}

void messages_markdown(struct buf *out) {
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) field_markdown(sets[i](), out);
}
