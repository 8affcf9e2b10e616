/* SPDX-License-Identifier: MIT
 * Reads and writes the condition that starts a lazy grammar, as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/params_priv.h"

void engine_lazy_done(struct engine_lazy *lazy) {
    for (size_t i = 0; i < lazy->n_triggers; i++) free(lazy->triggers[i]);
    free(lazy->skip_open);
    free(lazy->skip_close);
    *lazy = (struct engine_lazy){0};
}

void engine_lazy_copy(const struct engine_lazy *from, struct engine_lazy *ret) {
    *ret = *from;
    for (size_t i = 0; i < from->n_triggers; i++) ret->triggers[i] = mem_strdup(from->triggers[i]);
    ret->skip_open = mem_strdup(from->skip_open);
    ret->skip_close = mem_strdup(from->skip_close);
}

static err_code wrong(struct err *e, const char *what, const char *expected) {
    return err_set_field(e, ERR_INVALID, err_place("grammar_lazy.%s", what).text, "expected %s", expected);
}

static bool is_word(yyjson_val *v) {
    size_t len = yyjson_get_len(v);
    return yyjson_is_str(v) && len > 0 && len <= ENGINE_MAX_TRIGGER_LEN && memchr(yyjson_get_str(v), 0, len) == NULL;
}

static err_code get_triggers(yyjson_val *list, struct engine_lazy *ret, struct err *e) {
    yyjson_val *v;
    size_t i, n;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 || yyjson_arr_size(list) > ENGINE_MAX_TRIGGERS)
        return wrong(e, "triggers", "an array of 1 to 8 strings");
    yyjson_arr_foreach(list, i, n, v) {
        if (!is_word(v)) return wrong(e, "triggers", "strings of 1 to 128 bytes");
        ret->triggers[ret->n_triggers++] = mem_strdup(yyjson_get_str(v));
    }
    return ERR_OK;
}

static err_code get_skip(yyjson_val *pair, struct engine_lazy *ret, struct err *e) {
    if (pair == NULL || yyjson_is_null(pair)) return ERR_OK;
    yyjson_val *open = yyjson_arr_get(pair, 0), *close = yyjson_arr_get(pair, 1);
    if (yyjson_arr_size(pair) != 2 || !is_word(open) || !is_word(close)) return wrong(e, "skip", "two strings of 1 to 128 bytes");
    ret->skip_open = mem_strdup(yyjson_get_str(open));
    ret->skip_close = mem_strdup(yyjson_get_str(close));
    return ERR_OK;
}

err_code engine_lazy_from_json(struct engine_lazy *lazy, yyjson_val *obj, struct err *e) {
    yyjson_val *v = yyjson_obj_get(obj, "grammar_lazy");
    struct engine_lazy got = {0};
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (!yyjson_is_obj(v)) return err_set_field(e, ERR_INVALID, "grammar_lazy", "expected an object");
    err_code code = get_triggers(yyjson_obj_get(v, "triggers"), &got, e);
    if (code == ERR_OK) code = get_skip(yyjson_obj_get(v, "skip"), &got, e);
    if (code == ERR_OK) code = json_get_bool(v, "at_start", &got.at_start, e);
    if (code == ERR_OK) code = json_get_bool(v, "skipping", &got.skipping, e);
    if (code == ERR_OK && got.skipping && got.skip_close == NULL) code = wrong(e, "skipping", "a region to begin in (\"skip\")");
    if (code != ERR_OK) {
        engine_lazy_done(&got);
        return code;
    }
    engine_lazy_done(lazy);
    *lazy = got;
    return ERR_OK;
}

void engine_lazy_to_json(const struct engine_lazy *lazy, yyjson_mut_doc *doc, yyjson_mut_val *obj) {
    yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, obj, "grammar_lazy"), *list = yyjson_mut_obj_add_arr(doc, o, "triggers");
    for (size_t i = 0; i < lazy->n_triggers; i++) yyjson_mut_arr_add_strcpy(doc, list, lazy->triggers[i]);
    yyjson_mut_obj_add_bool(doc, o, "at_start", lazy->at_start);
    if (lazy->skip_open == NULL) return;
    yyjson_mut_val *pair = yyjson_mut_obj_add_arr(doc, o, "skip");
    yyjson_mut_arr_add_strcpy(doc, pair, lazy->skip_open);
    yyjson_mut_arr_add_strcpy(doc, pair, lazy->skip_close);
    yyjson_mut_obj_add_bool(doc, o, "skipping", lazy->skipping);
}
