/* SPDX-License-Identifier: MIT
 * A routes file: an error names a line that the file has; what is accepted gives each target once, whatever is drawn, and the way from one
 * target to the next one ends. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "routing/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const char *text, size_t len, const struct err *e) {
    static const char word[] = "line ";
    const char *at = e->text + sizeof(word) - 1;
    uint64_t line = 0, lines = 1;
    for (size_t i = 0; i < len; i++) lines += text[i] == '\n';
    if (strncmp(e->text, word, sizeof(word) - 1) != 0 || !str_take_u64(&at, &line) || line < 1 || line > lines) abort();
}

static void check_alias(const struct routing_table *t, const struct routing_alias *a, uint64_t draw) {
    uint8_t order[ROUTING_MAX_TARGETS];
    uint32_t had = 0;
    if (routing_table_find(t, a->name) != a) abort();
    routing_order(a, draw, order);
    for (size_t i = 0; i < a->n_targets; i++) had |= 1u << order[i];
    if (had != (1u << a->n_targets) - 1) abort();
    for (int why = 0; why < ROUTING_REASONS; why++)
        for (size_t at = 0, next; at < a->n_targets; at = next) {
            next = routing_next(a, order, at, (enum routing_reason)why, draw % 2 == 0);
            if (next <= at || next > a->n_targets) abort();
        }
    yyjson_doc *body = json_read("{\"model\":\"x\",\"max_tokens\":5}", 29), *changed = routing_apply(a, yyjson_doc_get_root(body));
    if (changed != NULL && !yyjson_equals_str(yyjson_obj_get(yyjson_doc_get_root(changed), "model"), "x") && a->strip == NULL) abort();
    yyjson_doc_free(changed);
    yyjson_doc_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct routing_table *t = NULL;
    const struct routing_alias *a;
    struct err e = {0};
    if (routing_table_parse((const char *)data, size, &t, &e) != ERR_OK) {
        if (t != NULL) abort();
        check_error((const char *)data, size, &e);
        return 0;
    }
    for (size_t i = 0; (a = routing_table_alias(t, i)) != NULL; i++) check_alias(t, a, size + i);
    routing_table_drop(t);
    return 0;
}
