/* SPDX-License-Identifier: MIT
 * How a model is to be loaded and served, as somebody asked for it: the fields of tables/wishes.def, each given or not. A request gives few
 * of them; the node that loads the model fills in the others, and from then on the whole wish stands in the model's record. So every node
 * knows it, and a node that takes the model over loads it as it was. A value with its JSON both ways. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_WISH_H
#define CARAVAN_MEMBERS_WISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/field.h"
#include "base/json.h"

enum { WISH_MAX_TEXT = 512, WISH_MAX_WORD = 8 };

enum wish_id {
#define WISH(id, field, type, min, max, words) WISH_##id,
#include "../../tables/wishes.def"
#undef WISH
    WISH_COUNT
};

struct load_wish {
    uint32_t said; /* bit 1 << WISH_X: field x holds; else it is zero */
#define WISH_FIELD_NUM(field)                  uint32_t field
#define WISH_FIELD_FLAG(field)                 bool field
#define WISH_FIELD_WORD(field)                 char field[WISH_MAX_WORD]
#define WISH_FIELD_TEXT(field)                 char field[WISH_MAX_TEXT]
#define WISH_FIELD_FILES(field)                char field[WISH_MAX_TEXT]
#define WISH(id, field, type, min, max, words) WISH_FIELD_##type(field);
#include "../../tables/wishes.def"
#undef WISH
};

bool wish_says(const struct load_wish *w, enum wish_id id);
/* Sets a NUM or a FLAG; a WORD, a TEXT or FILES. The value must be a legal one. */
void wish_set(struct load_wish *w, enum wish_id id, uint32_t value);
void wish_set_text(struct load_wish *w, enum wish_id id, const char *value);
void wish_unset(struct load_wish *w, enum wish_id id);
/* Fills in the fields that w does not give and `from` does. */
void wish_merge(struct load_wish *w, const struct load_wish *from);
bool wish_same(const struct load_wish *a, const struct load_wish *b);
/* May the wish `asked` be met by a model that was loaded with `has`, as it is? ERR_STALE names the first field that both give with
 * different values. Who asked for the model, when, how long it stays, and the scales of its adapters do not count. */
err_code wish_met(const struct load_wish *asked, const struct load_wish *has, const char *model, struct err *e);

/* Reads the fields that are there into *ret, which keeps the others. ERR_INVALID or ERR_LIMIT names the field; *ret is then as it was. */
err_code wish_read(yyjson_val *obj, struct load_wish *ret, struct err *e);
/* Writes the fields that are given. The texts are copied. */
void wish_write(const struct load_wish *w, yyjson_mut_doc *doc, yyjson_mut_val *obj);
/* The same for tables of fields (base/field.h). */
extern const struct field_custom load_wish_custom;

#endif
