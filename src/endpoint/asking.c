/* SPDX-License-Identifier: MIT
 * See asking.h. */
#include "endpoint/asking.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gateway/answer.h"

void asking_free(struct asking *a) {
    free(a->id);
    free(a);
}

static void on_gone(void *user) {
    struct asking *a = user;
    store_cancel(a->ask);
    asking_free(a);
}

struct asking *asking_create(struct gateway *g, struct http_exchange *x, const char *id, size_t len) {
    struct asking *a = MEM_NEW(struct asking);
    *a = (struct asking){.g = g, .x = x, .id = mem_strndup(id, len)};
    gateway_keys_owner(&g->keys, http_request(x), a->owner);
    http_exchange_on_gone(x, on_gone, a);
    return a;
}

void asking_refuse(struct asking *a, err_code code, const struct err *e) {
    gateway_respond_error(a->x, code, e);
    asking_free(a);
}

bool asking_failed(struct asking *a, err_code code, const struct err *e) {
    if (code == ERR_OK) return false;
    asking_refuse(a, code, e);
    return true;
}

void asking_give(struct asking *a, const char *text, size_t len) {
    http_respond(a->x, 200, "application/json", text, len);
    asking_free(a);
}

void asking_give_doc(struct asking *a, yyjson_mut_doc *doc) {
    gateway_respond_json(a->x, 200, doc);
    yyjson_mut_doc_free(doc);
    asking_free(a);
}

void asking_give_deleted(struct asking *a, const char *object) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "id", a->id);
    yyjson_mut_obj_add_str(doc, root, "object", object);
    yyjson_mut_obj_add_bool(doc, root, "deleted", true);
    asking_give_doc(a, doc);
}
