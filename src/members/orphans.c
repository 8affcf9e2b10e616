/* SPDX-License-Identifier: MIT
 * See orphans.h. */
#include "members/orphans.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define AGAIN_US  5000000u   /* an heir that has not begun is told again; this node tries again where loading failed at once */
#define NOTICE_US 3000000u   /* an heir may take so long to notice the loss by itself */
#define FORGET_US 600000000u /* a model that was loaded for a request only is remembered for so long */

static struct orphan *orphans_at(struct orphans *o, const char *name) {
    for (uint32_t i = 0; i < o->n; i++)
        if (strcmp(o->list[i].name, name) == 0) return &o->list[i];
    return NULL;
}

static void orphans_remove(struct orphans *o, struct orphan *at) {
    size_t i = (size_t)(at - o->list);
    memmove(at, at + 1, (--o->n - i) * sizeof(*at));
}

void orphans_add(struct orphans *o, const struct orphan *one) {
    orphans_drop(o, one->name);
    if (o->n == ORPHANS_MAX) orphans_remove(o, o->list); /* they stand in the order in which they were lost */
    o->list[o->n] = *one;
    o->list[o->n].asked = 0;
    wish_unset(&o->list[o->n++].wish, WISH_PINNED);
}

const struct orphan *orphans_find(const struct orphans *o, const char *name) { return orphans_at((struct orphans *)(uintptr_t)o, name); }

void orphans_drop(struct orphans *o, const char *name) {
    struct orphan *at = orphans_at(o, name);
    if (at) orphans_remove(o, at);
}

/* The rules for one orphan, in order. */
static enum orphan_act orphan_decide(const struct orphan *x, clock_us now, uint64_t self, uint64_t heir) {
    if (!x->wish.kept) return ORPHAN_NOTHING; /* the next request loads it */
    if (now < x->from) return ORPHAN_NOTHING;
    if (heir == 0) return ORPHAN_NOTHING; /* until a node with the file comes */
    if (x->asked != 0 && now < x->asked + AGAIN_US) return ORPHAN_NOTHING;
    if (heir == self) return ORPHAN_LOAD;
    return now < x->from + NOTICE_US ? ORPHAN_NOTHING : ORPHAN_TELL;
}

enum orphan_act orphans_next(struct orphans *o, clock_us now, uint64_t self, orphan_view_fn view, void *user, struct orphan_action *ret) {
    for (uint32_t i = 0; i < o->n;) {
        struct orphan *x = &o->list[i];
        struct orphan_view v = view(user, x->name);
        bool unloaded = v.unloaded > x->wish.asked;
        if (v.claimed || unloaded || (!x->wish.kept && now > x->since + FORGET_US)) {
            orphans_remove(o, x);
            continue;
        }
        enum orphan_act act = orphan_decide(x, now, self, v.heir);
        if (act != ORPHAN_NOTHING) {
            x->asked = now;
            *ret = (struct orphan_action){.act = act, .heir = v.heir, .orphan = *x};
            return act;
        }
        i++;
    }
    ret->act = ORPHAN_NOTHING;
    return ORPHAN_NOTHING;
}

/* ---- the file ---- */

void orphans_write(const struct orphans *o, const struct unloads *u, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *list = yyjson_mut_obj_add_arr(doc, root, "models");
    for (uint32_t i = 0; i < o->n; i++) {
        yyjson_mut_val *m = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, m, "name", o->list[i].name);
        json_add_path(doc, m, "path", o->list[i].path);
        wish_write(&o->list[i].wish, doc, yyjson_mut_obj_add_obj(doc, m, "wish"));
    }
    unloads_encode(u, doc, root);
    json_write(out, doc);
    buf_append_byte(out, '\n');
    yyjson_mut_doc_free(doc);
}

err_code orphans_read(const char *text, size_t len, struct orphans *o, struct unloads *u, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse(text, len, &doc, e);
    yyjson_val *root = yyjson_doc_get_root(doc), *v;
    size_t i, max;
    if (code != ERR_OK) return code;
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "models")), i, max, v) {
        struct orphan one = {0};
        if (code == ERR_OK) code = json_get_line(v, "name", one.name, sizeof(one.name), e);
        if (code == ERR_OK) code = json_get_path(v, "path", one.path, sizeof(one.path), e);
        if (code == ERR_OK) code = wish_read(yyjson_obj_get(v, "wish"), &one.wish, e);
        if (code == ERR_OK && !one.name[0]) code = err_set(e, ERR_INVALID, "a model without a name");
        if (code == ERR_OK) orphans_add(o, &one);
    }
    if (code == ERR_OK) code = unloads_decode(root, u, e);
    yyjson_doc_free(doc);
    return code;
}
