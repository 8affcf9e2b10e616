/* SPDX-License-Identifier: MIT
 * See stages.h. */
#include "holder/stages.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "holder/stage_child_priv.h"
#include "wire/link.h"

struct stages {
    struct stage_child_owner owner; /* first: the children know only this */
    struct stage_child *children[STAGES_MAX];
    size_t n;
    uint64_t sent; /* by children that are gone */
};

static void stages_gone(struct stage_child_owner *owner, const struct stage_child *c) {
    struct stages *s = (struct stages *)(void *)owner;
    size_t i = 0;
    while (i < s->n && s->children[i] != c) i++;
    s->sent += stage_child_traffic(c)->sent;
    if (i < s->n) memmove(&s->children[i], &s->children[i + 1], (--s->n - i) * sizeof(s->children[0]));
}

struct stages *stages_create(struct io_loop *loop, const char *program, const struct stage_child_callbacks *cb, void *user) {
    struct stages *s = MEM_NEW(struct stages);
    s->owner = (struct stage_child_owner){.loop = loop, .program = mem_strdup(program), .cb = *cb, .user = user, .gone = stages_gone};
    return s;
}

void stages_free(struct stages *s) {
    if (!s) return;
    while (s->n > 0) stage_child_free(s->children[s->n - 1]);
    free(s->owner.program);
    free(s);
}

err_code stages_start(struct stages *s, const struct stage_order *order, struct stage_child **ret, struct err *e) {
    if (s->n == STAGES_MAX) return err_set(e, ERR_LIMIT, "this node holds %d stages already", STAGES_MAX);
    err_code code = stage_child_start(&s->owner, order, ret, e);
    if (code == ERR_OK) s->children[s->n++] = *ret;
    return code;
}

struct stage_child *stages_get(struct stages *s, size_t i) {
    for (size_t k = 0; k < s->n; k++)
        if (!stage_child_is_lost(s->children[k]) && i-- == 0) return s->children[k];
    return NULL;
}

size_t stages_count(struct stages *s) {
    size_t n = 0;
    while (stages_get(s, n)) n++;
    return n;
}

uint64_t stages_sent(const struct stages *s) {
    uint64_t sum = s->sent;
    for (size_t i = 0; i < s->n; i++) sum += stage_child_traffic(s->children[i])->sent;
    return sum;
}

struct stage_child *stages_find(struct stages *s, const char *instance, uint64_t epoch, uint32_t stage) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(s, i)) != NULL; i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->epoch == epoch && o->stage == stage && strcmp(o->instance, instance) == 0) return c;
    }
    return NULL;
}

void stages_take(struct stages *s, const char *name, int fd) {
    struct stage_child *c = NULL;
    for (size_t i = 0; i < s->n && !c; i++) {
        const struct stage_order *o = stage_child_order(s->children[i]);
        char mine[IO_TLS_NAME_MAX];
        if (wire_link_name(o->instance, o->epoch, o->stage, mine, NULL) == ERR_OK && strcmp(mine, name) == 0) c = s->children[i];
    }
    if (!c || !stage_child_give(c, fd)) log_debug("node", "no stage here for %s yet", name);
    close(fd);
}
