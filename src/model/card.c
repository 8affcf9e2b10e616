/* SPDX-License-Identifier: MIT
 * See card.h. */
#include "model/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "model/types.h"
#define MESSAGES_CARD
#include "base/field_tables.h"
#undef MESSAGES_CARD

enum { SUFFIX = 5 /* ".gguf" */, PART = 15 /* "-00001-of-00003" */ };

/* Where "-00001-of-00003" begins in a name without ".gguf"; NULL: it has none. */
static const char *card_part_of(const char *base, size_t len) {
    if (len <= PART) return NULL;
    const char *at = base + len - PART;
    bool fits = at[0] == '-' && strspn(at + 1, "0123456789") == 5 && strncmp(at + 6, "-of-", 4) == 0;
    for (int i = 10; fits && i < PART; i++) fits = at[i] >= '0' && at[i] <= '9';
    return fits ? at : NULL;
}

static const char *card_base(const char *path, size_t *ret_len) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = strlen(base);
    if (len > SUFFIX && strcasecmp(base + len - SUFFIX, ".gguf") == 0) len -= SUFFIX;
    *ret_len = len;
    return base;
}

void model_card_name(const char *path, char *ret, size_t size) {
    size_t len;
    const char *base = card_base(path, &len), *part = card_part_of(base, len);
    if (part) len = (size_t)(part - base);
    str_line(base, len, ret, size);
}

void model_card_tag(const char *name, const char *id, char *ret, size_t size) {
    enum { DIGITS = 8 };
    size_t len = strlen(name), most = size - 1 - DIGITS - 1;
    if (len > most) len = most - str_utf8_incomplete(name, most);
    snprintf(ret, size, "%.*s:%.*s", (int)len, name, DIGITS, id);
}

static size_t card_without_latest(const char *name) {
    static const char latest[] = ":latest";
    size_t len = strlen(name), tag = sizeof(latest) - 1;
    return len > tag && strcasecmp(name + len - tag, latest) == 0 ? len - tag : len;
}

enum model_fit model_card_fit(const char *asked, const char *name) {
    size_t a = card_without_latest(asked), n = card_without_latest(name);
    if (strcmp(asked, name) == 0) return MODEL_FIT_EXACT;
    if (a != n || strncasecmp(asked, name, a) != 0) return MODEL_FIT_NONE;
    return strncmp(asked, name, a) == 0 ? MODEL_FIT_TAG : MODEL_FIT_LETTERS;
}

uint32_t model_card_part(const char *path) {
    size_t len;
    const char *base = card_base(path, &len), *part = card_part_of(base, len);
    return part ? (uint32_t)strtoul(part + 1, NULL, 10) : 0;
}

/* The type of most bytes, for files that don't say how they were quantised. */
static const char *card_main_type(const struct model_gguf *g) {
    uint64_t bytes[MODEL_TYPE_END] = {0};
    uint32_t most = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        if (t->type < MODEL_TYPE_END) bytes[t->type] += t->bytes;
    }
    for (uint32_t i = 1; i < MODEL_TYPE_END; i++)
        if (bytes[i] > bytes[most]) most = i;
    const struct model_type_info *info = model_type_get(most);
    return info && bytes[most] > 0 ? info->name : "";
}

static const char *card_quant(const struct model_gguf *g) {
    static const struct {
        uint64_t number;
        const char *name;
    } ftypes[] = {
#define FTYPE(number, name) {number, name},
#include "../../tables/ftypes.def"
#undef FTYPE
    };
    uint64_t number;
    if (model_kv_uint(model_gguf_find(g, "general.file_type"), 0, &number))
        for (size_t i = 0; i < sizeof(ftypes) / sizeof(ftypes[0]); i++)
            if (ftypes[i].number == number) return ftypes[i].name;
    return card_main_type(g);
}

void model_card_make(const struct model_gguf *g, struct model_card *ret) {
    *ret = (struct model_card){.bytes = model_gguf_total_size(g)};
    model_card_name(model_gguf_path(g, 0), ret->name, sizeof(ret->name));
    snprintf(ret->id, sizeof(ret->id), "%s", model_gguf_id(g));
    str_line(model_gguf_arch(g), strlen(model_gguf_arch(g)), ret->arch, sizeof(ret->arch));
    snprintf(ret->quant, sizeof(ret->quant), "%s", card_quant(g));
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        ret->params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    uint64_t n;
    uint64_t guessing = 0; /* layers for multi-token prediction stand behind the others, and no slice is made of them */
    model_kv_uint(model_gguf_find_arch(g, "nextn_predict_layers"), 0, &guessing);
    if (model_kv_uint(model_gguf_find_arch(g, "block_count"), 0, &n) && n <= UINT32_MAX)
        ret->n_layer = (uint32_t)(guessing < n ? n - guessing : n);
    if (model_kv_uint(model_gguf_find_arch(g, "context_length"), 0, &n) && n <= UINT32_MAX) ret->n_ctx = (uint32_t)n;
}
