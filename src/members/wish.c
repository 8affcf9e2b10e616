/* SPDX-License-Identifier: MIT
 * See wish.h. */
#include "members/wish.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/adapter.h"
#include "plan/plan.h"

enum wish_type { TYPE_NUM, TYPE_FLAG, TYPE_WORD, TYPE_TEXT, TYPE_FILES };

struct row {
    const char *name;
    enum wish_type type;
    size_t offset, size;
    uint32_t min, max;
    const char *words; /* "a|b|c" */
};

static const struct row rows[WISH_COUNT] = {
#define WISH(id, field, type, min, max, words) \
    [WISH_##id] = {#field, TYPE_##type, offsetof(struct load_wish, field), sizeof(((struct load_wish *)0)->field), min, max, words},
#include "../../tables/wishes.def"
#undef WISH
};
static_assert(WISH_COUNT <= 32, "load_wish.said has a bit for each");

static void *field_of(struct load_wish *w, enum wish_id id) { return (char *)w + rows[id].offset; }
static const void *field_in(const struct load_wish *w, enum wish_id id) { return (const char *)w + rows[id].offset; }

bool wish_says(const struct load_wish *w, enum wish_id id) { return w->said >> id & 1; }

void wish_unset(struct load_wish *w, enum wish_id id) {
    w->said &= ~(1u << id);
    memset(field_of(w, id), 0, rows[id].size);
}

static void wish_put(struct load_wish *w, enum wish_id id, const void *value) {
    w->said |= 1u << id;
    memcpy(field_of(w, id), value, rows[id].size);
}

void wish_set(struct load_wish *w, enum wish_id id, uint32_t value) {
    bool flag = value != 0;
    assert(rows[id].type == TYPE_NUM || rows[id].type == TYPE_FLAG);
    wish_put(w, id, rows[id].type == TYPE_FLAG ? (const void *)&flag : &value);
}

void wish_set_text(struct load_wish *w, enum wish_id id, const char *value) {
    assert(rows[id].type >= TYPE_WORD && strlen(value) < rows[id].size);
    wish_unset(w, id);
    w->said |= 1u << id;
    memcpy(field_of(w, id), value, strlen(value));
}

void wish_merge(struct load_wish *w, const struct load_wish *from) {
    for (enum wish_id id = 0; id < WISH_COUNT; id++)
        if (!wish_says(w, id) && wish_says(from, id)) wish_put(w, id, field_in(from, id));
}

bool wish_same(const struct load_wish *a, const struct load_wish *b) {
    bool same = a->said == b->said;
    for (enum wish_id id = 0; id < WISH_COUNT && same; id++) same = memcmp(field_in(a, id), field_in(b, id), rows[id].size) == 0;
    return same;
}

static const char *wish_show(const struct load_wish *w, enum wish_id id, char text[WISH_MAX_TEXT]) {
    if (id == WISH_REPLICAS && w->replicas == 0) snprintf(text, WISH_MAX_TEXT, "auto");
    else if (rows[id].type == TYPE_NUM) snprintf(text, WISH_MAX_TEXT, "%u", (unsigned)*(const uint32_t *)field_in(w, id));
    else if (rows[id].type == TYPE_FLAG) snprintf(text, WISH_MAX_TEXT, "%s", *(const bool *)field_in(w, id) ? "yes" : "no");
    else snprintf(text, WISH_MAX_TEXT, "%s", (const char *)field_in(w, id));
    return text;
}

/* With the same adapters a model need not be loaded again: how much of each is added is said with every request. */
static bool same_adapters(const char *a, const char *b) {
    struct model_adapter of_a[MODEL_MAX_ADAPTERS], of_b[MODEL_MAX_ADAPTERS];
    uint32_t n_a = 0, n_b = 0;
    if (model_adapters_parse(a, of_a, &n_a, NULL) != ERR_OK || model_adapters_parse(b, of_b, &n_b, NULL) != ERR_OK || n_a != n_b)
        return false;
    for (uint32_t i = 0; i < n_a; i++)
        if (strcmp(of_a[i].path, of_b[i].path) != 0) return false;
    return true;
}

err_code wish_met(const struct load_wish *asked, const struct load_wish *has, const char *model, struct err *e) {
    char a[WISH_MAX_TEXT], b[WISH_MAX_TEXT];
    for (enum wish_id id = 0; id < WISH_COUNT; id++) {
        if (id == WISH_KEPT || id == WISH_ASKED || id == WISH_PINNED || id == WISH_KEEP_S) continue;
        if (!wish_says(asked, id) || !wish_says(has, id) || memcmp(field_in(asked, id), field_in(has, id), rows[id].size) == 0) continue;
        if (id == WISH_LORA && same_adapters(asked->lora, has->lora)) continue;
        err_set_field(e, ERR_STALE, rows[id].name, "model \"%s\" is loaded already, with %s and not %s", model, wish_show(has, id, b),
                      wish_show(asked, id, a));
        err_hint(e, "unload it first: caravan unload %s", model);
        return ERR_STALE;
    }
    return ERR_OK;
}

/* ---- JSON ---- */

static bool is_word(const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *at = words; len > 0 && *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == len && memcmp(at, word, len) == 0) return true;
    return false;
}

static err_code read_number(yyjson_val *obj, const struct row *r, enum wish_id id, struct load_wish *w, struct err *e) {
    int64_t value = 0;
    err_code code = json_get_i64(obj, r->name, 0, r->max, &value, e);
    if (code == ERR_OK && value >= r->min) wish_set(w, id, (uint32_t)value);
    return code;
}

static err_code read_flag(yyjson_val *obj, const struct row *r, enum wish_id id, struct load_wish *w, struct err *e) {
    bool value = false;
    err_code code = json_get_bool(obj, r->name, &value, e);
    if (code == ERR_OK) wish_set(w, id, value);
    return code;
}

static err_code read_text(yyjson_val *obj, const struct row *r, enum wish_id id, struct load_wish *w, struct err *e) {
    char value[WISH_MAX_TEXT] = "";
    struct plan_wish plan;
    struct model_adapter adapters[MODEL_MAX_ADAPTERS];
    uint32_t n;
    err_code code = json_get_line(obj, r->name, value, r->size, e);
    if (code != ERR_OK || value[0] == '\0') return code;
    if (r->type == TYPE_TEXT) code = plan_wish_parse(value, &plan, e);
    else if (r->type == TYPE_FILES) code = model_adapters_parse(value, adapters, &n, e);
    else if (!is_word(r->words, value)) code = err_set_field(e, ERR_INVALID, r->name, "expected %s, got \"%s\"", r->words, value);
    if (code == ERR_OK) wish_set_text(w, id, value);
    return code;
}

err_code wish_read(yyjson_val *obj, struct load_wish *ret, struct err *e) {
    struct load_wish w = *ret;
    err_code code = ERR_OK;
    for (enum wish_id id = 0; id < WISH_COUNT && code == ERR_OK; id++) {
        const struct row *r = &rows[id];
        yyjson_val *v = yyjson_obj_get(obj, r->name);
        if (v == NULL || yyjson_is_null(v)) continue;
        if (r->type == TYPE_NUM) code = read_number(obj, r, id, &w, e);
        else if (r->type == TYPE_FLAG) code = read_flag(obj, r, id, &w, e);
        else code = read_text(obj, r, id, &w, e);
    }
    if (code == ERR_OK) *ret = w;
    return code;
}

void wish_write(const struct load_wish *w, yyjson_mut_doc *doc, yyjson_mut_val *obj) {
    for (enum wish_id id = 0; id < WISH_COUNT; id++) {
        const struct row *r = &rows[id];
        if (!wish_says(w, id)) continue;
        if (r->type == TYPE_NUM) yyjson_mut_obj_add_uint(doc, obj, r->name, *(const uint32_t *)field_in(w, id));
        else if (r->type == TYPE_FLAG) yyjson_mut_obj_add_bool(doc, obj, r->name, *(const bool *)field_in(w, id));
        else yyjson_mut_obj_add_strcpy(doc, obj, r->name, field_in(w, id));
    }
}

static void custom_init(void *value) { *(struct load_wish *)value = (struct load_wish){0}; }
static yyjson_mut_val *custom_write(const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    wish_write(value, doc, obj);
    return obj;
}
static err_code custom_read(void *value, yyjson_val *v, struct err *e) { return wish_read(v, value, e); }

const struct field_custom load_wish_custom = {custom_init, custom_init, custom_write, custom_read};
