/* SPDX-License-Identifier: MIT
 * See orphans.h. */
#include "members/orphans.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define AGAIN_US  5000000u     /* an heir that has not begun is told again; so is this node, where loading came to nothing at once */
#define NOTICE_US 3000000u    /* an heir may take so long to notice by itself */
#define FORGET_US 600000000u  /* what was loaded for a request only */

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

/* The rules for one of them, in order. */
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

/* ---- unloads ---- */

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
    if (yyjson_arr_size(list) > UNLOADS_MAX) return err_set(e, ERR_LIMIT, "field \"unloaded\": too long");
    yyjson_arr_foreach(json_some(list), i, max, v) {
        struct unloaded one = {0};
        if (code == ERR_OK) code = json_get_line(v, "name", one.name, sizeof(one.name), e);
        if (code == ERR_OK) code = json_get_u32(v, "time", UINT32_MAX, &one.time, e);
        if (code == ERR_OK) unloads_add(ret, one.name, one.time);
    }
    return code;
}

/* ---- the file ---- */

static void custom_init(void *value) { *(struct unloads *)value = (struct unloads){0}; }
static yyjson_mut_val *custom_write(const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    unloads_encode(value, doc, obj);
    return obj;
}
static err_code custom_read(void *value, yyjson_val *v, struct err *e) { return unloads_decode(v, value, e); }

const struct field_custom unloads_custom = {custom_init, custom_init, custom_write, custom_read};

void orphans_write(const struct orphans *o, const struct unloads *u, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *list = yyjson_mut_obj_add_arr(doc, root, "models");
    yyjson_mut_doc_set_root(doc, root);
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
