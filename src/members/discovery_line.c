/* SPDX-License-Identifier: MIT
 * See discovery_line.h. */
#include "members/discovery_line.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "members/identity.h"

static const char *const kinds[DISCOVERY_KIND_COUNT] = {"self", "found", "gone", "say"};

bool discovery_line_is_text(const char *s, size_t max) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f) return false;
    return n > 0 && n < max && str_utf8_valid(s, n);
}

void discovery_line_encode(const struct discovery_line *l, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "kind", kinds[l->kind]);
    if (l->kind == DISCOVERY_SAY) {
        yyjson_mut_obj_add_str(doc, root, "text", l->text);
    } else {
        json_add_id(doc, root, "id", l->id);
        yyjson_mut_obj_add_str(doc, root, "name", l->name);
        yyjson_mut_obj_add_str(doc, root, "host", l->host);
        yyjson_mut_obj_add_uint(doc, root, "port", l->port);
        yyjson_mut_obj_add_str(doc, root, "cluster", l->cluster);
        yyjson_mut_obj_add_str(doc, root, "software", l->software);
    }
    yyjson_mut_val *names = yyjson_mut_obj_add_arr(doc, root, "interfaces");
    for (size_t i = 0; i < l->n_interfaces; i++) yyjson_mut_arr_add_str(doc, names, l->interfaces[i]);
    json_write(out, doc);
    buf_append_byte(out, '\n');
    yyjson_mut_doc_free(doc);
}

static err_code get_names(yyjson_val *root, char (*ret)[16], size_t *ret_n, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "interfaces"), *v;
    yyjson_arr_iter it;
    if (yyjson_arr_size(list) > DISCOVERY_MAX_INTERFACES) return err_set(e, ERR_LIMIT, "too many interfaces");
    if (!yyjson_is_arr(list)) return ERR_OK;
    for (yyjson_arr_iter_init(list, &it); (v = yyjson_arr_iter_next(&it));) {
        const char *name = yyjson_get_str(v);
        if (!name || !discovery_line_is_text(name, 16)) return err_set(e, ERR_INVALID, "an interface name is not valid");
        snprintf(ret[(*ret_n)++], 16, "%s", name);
    }
    return ERR_OK;
}

static err_code get_node(yyjson_val *root, struct discovery_line *l, struct err *e) {
    int64_t port = 0;
    err_code code = json_need_id(root, "id", &l->id, e);
    if (code == ERR_OK) code = json_get_line(root, "name", l->name, sizeof(l->name), e);
    if (code == ERR_OK) code = json_get_line(root, "host", l->host, sizeof(l->host), e);
    if (code == ERR_OK) code = json_get_line(root, "cluster", l->cluster, sizeof(l->cluster), e);
    if (code == ERR_OK) code = json_get_line(root, "software", l->software, sizeof(l->software), e);
    if (code == ERR_OK) code = json_need_i64(root, "port", 1, 65535, &port, e);
    if (code == ERR_OK && (!l->name[0] || !l->cluster[0] || (!l->host[0] && l->kind != DISCOVERY_SELF)))
        code = err_set(e, ERR_INVALID, "a name, a cluster and a host are needed");
    l->port = (uint16_t)port;
    return code;
}

err_code discovery_line_decode(const char *text, size_t len, struct discovery_line *ret, char (*ret_names)[16], size_t *ret_n_names,
                               struct err *e) {
    struct discovery_line l = {.kind = DISCOVERY_KIND_COUNT};
    yyjson_doc *doc;
    const char *kind = NULL;
    if (ret_n_names) *ret_n_names = 0;
    if (len > DISCOVERY_MAX_LINE) return err_set(e, ERR_LIMIT, "a line of %zu bytes", len);
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    code = json_need_str(root, "kind", &kind, e);
    for (int i = 0; code == ERR_OK && i < DISCOVERY_KIND_COUNT; i++)
        if (strcmp(kinds[i], kind) == 0) l.kind = (enum discovery_kind)i;
    if (code == ERR_OK && l.kind == DISCOVERY_KIND_COUNT) code = err_set_field(e, ERR_INVALID, "kind", "unknown");
    if (code == ERR_OK && l.kind == DISCOVERY_SAY) code = json_get_line(root, "text", l.text, sizeof(l.text), e);
    else if (code == ERR_OK) code = get_node(root, &l, e);
    if (code == ERR_OK && l.kind == DISCOVERY_SELF && ret_names) code = get_names(root, ret_names, ret_n_names, e);
    yyjson_doc_free(doc);
    if (code == ERR_OK) *ret = l;
    return code;
}
