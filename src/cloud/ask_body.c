/* SPDX-License-Identifier: MIT
 * The client's own values for a body. See ask_priv.h. */
#include <string.h>

#include "cloud/ask_priv.h"

yyjson_val *ask_sent(const struct api_request *r) { return r->sent != NULL ? yyjson_doc_get_root(r->sent) : NULL; }

yyjson_val *ask_number(const struct ask_body *b, const char *key) {
    yyjson_val *root = ask_sent(b->r), *v = yyjson_obj_get(root, key);
    if (!yyjson_is_num(v)) v = yyjson_obj_get(yyjson_obj_get(root, "options"), key); /* Ollama's */
    return yyjson_is_num(v) ? v : NULL;
}

void ask_copy_number(struct ask_body *b, const char *key) {
    yyjson_val *v = ask_number(b, key);
    if (v != NULL) yyjson_mut_obj_put(b->root, yyjson_mut_strcpy(b->doc, key), yyjson_val_mut_copy(b->doc, v));
}

static bool is_blank(const struct text_stop *stop) { return strspn(stop->text, " \t\r\n") == stop->len; }

void ask_add_stops(struct ask_body *b, const char *key, size_t max) {
    yyjson_mut_val *list = yyjson_mut_arr(b->doc);
    for (size_t i = 0; i < b->r->n_stops && yyjson_mut_arr_size(list) < max; i++) {
        const struct text_stop *stop = &b->r->stops[i];
        if (!is_blank(stop)) yyjson_mut_arr_add_strncpy(b->doc, list, stop->text, stop->len); /* Anthropic takes no blank ones */
    }
    if (yyjson_mut_arr_size(list) > 0) yyjson_mut_obj_put(b->root, yyjson_mut_strcpy(b->doc, key), list);
}
