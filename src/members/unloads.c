/* SPDX-License-Identifier: MIT
 * See unloads.h. */
#include "members/unloads.h"

#include <stdio.h>
#include <string.h>

void unloads_add(struct unloads *u, const char *name, uint32_t time) {
    uint32_t at = 0;
    while (at < u->n && strcmp(u->list[at].name, name) != 0) at++;
    if (at == UNLOADS_MAX) at = 0;
    if (at < u->n) memmove(&u->list[at], &u->list[at + 1], (--u->n - at) * sizeof(u->list[0]));
    u->list[u->n].time = time;
    snprintf(u->list[u->n++].name, sizeof(u->list[0].name), "%s", name);
}

uint32_t unloads_time(const struct unloads *u, const char *name) {
    for (uint32_t i = 0; i < u->n; i++)
        if (strcmp(u->list[i].name, name) == 0) return u->list[i].time;
    return 0;
}

void unloads_encode(const struct unloads *u, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "unloaded");
    for (uint32_t i = 0; i < u->n; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, o, "name", u->list[i].name);
        yyjson_mut_obj_add_uint(doc, o, "time", u->list[i].time);
    }
}

err_code unloads_decode(yyjson_val *root, struct unloads *ret, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "unloaded"), *v;
    size_t i, max;
    err_code code = ERR_OK;
    if (yyjson_arr_size(list) > UNLOADS_MAX) return err_set_field(e, ERR_LIMIT, "unloaded", "too long");
    yyjson_arr_foreach(json_some(list), i, max, v) {
        struct unloaded one = {0};
        if (code == ERR_OK) code = json_get_line(v, "name", one.name, sizeof(one.name), e);
        if (code == ERR_OK) code = json_get_u32(v, "time", UINT32_MAX, &one.time, e);
        if (code == ERR_OK) unloads_add(ret, one.name, one.time);
    }
    return code;
}

static void custom_init(void *value) { *(struct unloads *)value = (struct unloads){0}; }
static yyjson_mut_val *custom_write(const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    unloads_encode(value, doc, obj);
    return obj;
}
static err_code custom_read(void *value, yyjson_val *v, struct err *e) { return unloads_decode(v, value, e); }

const struct field_custom unloads_custom = {custom_init, custom_init, custom_write, custom_read};
