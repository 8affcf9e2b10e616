/* SPDX-License-Identifier: MIT
 * Who looks after a model: the node whose record names it (its coordinator), else its heir, the live node with the smallest id that has its
 * file; so two nodes that are asked at the same time ask the same third one. What a coordinator that is lost was asked for is remembered
 * (members/orphans), and loaded as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_priv.h"

enum { MAX_FILE = 1 << 20 };
#define SUSPECT_US 10000000u /* a coordinator without a link to here keeps its models for so long, though it is not gone */
#define OWN_US     5000000u      /* after a start others have so long to be heard, who may look after what this node did before */
#define RESTART_US 2000000u  /* a node that was started anew may have them on its command line */

static int claim_rank(const struct record_model *m) { return m->ready ? 2 : !m->failed; }

static void claim_offer(struct claim *c, const struct record *r, const struct record_model *m, bool linked) {
    if (c->model && claim_rank(c->model) >= claim_rank(m)) return;
    *c = (struct claim){.model = m, .node = r->id, .node_name = r->name, .linked = linked};
}

static void claim_look(struct claim *c, const struct record *r, const char *name, bool linked) {
    for (uint32_t k = 0; k < r->n_models; k++)
        if (strcmp(r->models[k].name, name) == 0) claim_offer(c, r, &r->models[k], linked);
}

static bool claim_is_suspect(const struct node *n, const struct record *r) {
    const struct member *k = membership_find(n->members, r->id);
    return k && k->state == MEMBER_SUSPECT && clock_now() < r->unlinked + SUSPECT_US;
}

bool claims_find(const struct node *n, const char *name, struct claim *ret) {
    *ret = (struct claim){0};
    for (size_t i = 0; i < n->n_served; i++) {
        const struct record_model *m = &n->served[i]->record;
        if (strcmp(m->name, name) != 0) continue;
        *ret = (struct claim){.model = m, .node = n->id, .node_name = n->name, .linked = true};
        return true;
    }
    for (size_t i = 0; i < n->n_records; i++) claim_look(ret, n->records[i], name, true);
    for (size_t i = 0; i < n->n_suspects && !ret->model; i++)
        if (claim_is_suspect(n, n->suspects[i])) claim_look(ret, n->suspects[i], name, false);
    return ret->model != NULL;
}

static bool record_has_file(const struct record *r, const char *name) {
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (strcmp(r->cards[i].name, name) == 0) return true;
    return false;
}

uint64_t claims_heir(const struct node *n, const char *name) {
    uint64_t node = catalog_find(n->catalog, name) ? n->id : 0;
    for (size_t i = 0; i < n->n_records; i++)
        if (record_has_file(n->records[i], name) && (node == 0 || n->records[i]->id < node)) node = n->records[i]->id;
    return node;
}

void claims_node_lost(struct node *n, const struct record *lost, bool restarted) {
    clock_us now = clock_now();
    models_asks_lost(n, lost);
    for (uint32_t i = 0; i < lost->n_models; i++) {
        const struct record_model *m = &lost->models[i];
        struct orphan one = {.wish = m->wish, .node = lost->id, .since = now, .from = restarted ? now + RESTART_US : now};
        if (m->replica != 0 || (m->failed && !m->wish.kept)) continue;
        snprintf(one.name, sizeof(one.name), "%s", m->name);
        snprintf(one.node_name, sizeof(one.node_name), "%s", lost->name);
        orphans_add(&n->orphans, &one);
    }
}

static uint32_t claims_last_unload(const struct node *n, const char *name) {
    uint32_t last = unloads_time(&n->unloads, name);
    for (size_t i = 0; i < n->n_records; i++) {
        uint32_t time = unloads_time(&n->records[i]->unloads, name);
        if (time > last) last = time;
    }
    return last;
}

uint32_t claims_now(const struct node *n, const char *name) {
    uint32_t now = (uint32_t)clock_wall_s(), last = claims_last_unload(n, name);
    return now > last ? now : last;
}

static struct orphan_view claims_view(void *user, const char *name) {
    const struct node *n = user;
    struct claim c;
    return (struct orphan_view){.claimed = claims_find(n, name, &c), .heir = claims_heir(n, name), .unloaded = claims_last_unload(n, name)};
}

void claims_unloaded(struct node *n, const char *name) {
    orphans_drop(&n->orphans, name);
    unloads_add(&n->unloads, name, (uint32_t)clock_wall_s());
}

/* ---- from one start to the next ---- */

void claims_open(struct node *n) {
    buf_init(&n->claims_text, MAX_FILE);
    if (!n->config->state_dir || join_identity(n->join)->lock_fd < 0) return; /* nothing lasts here */
    struct buf b;
    struct err e = {0};
    n->claims_path = mem_printf("%smodels.json", n->config->state_dir);
    buf_init(&b, MAX_FILE);
    err_code code = file_read(n->claims_path, "the models that were loaded", &b, &e);
    if (code == ERR_OK) {
        code = orphans_read(buf_cstr(&b), b.len, &n->orphans, &n->unloads, &e);
        err_prefix(&e, "\"%s\"", n->claims_path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("node", "%s", e.text);
    buf_done(&b);
    for (uint32_t i = 0; i < n->orphans.n; i++) {
        struct orphan *o = &n->orphans.list[i];
        o->node = n->id;
        snprintf(o->node_name, sizeof(o->node_name), "%s", n->name);
        o->since = clock_now();
        o->from = o->since + OWN_US;
        struct serve_file *file; /* from now on found by its name, as if it stood in the models folder */
        if (o->path[0] && files_open_now(n, o->path, &file, &e) != ERR_OK)
            log_warn("node", "\"%s\" was loaded before: %s", o->name, e.text);
    }
}

void claims_close(struct node *n) {
    buf_done(&n->claims_text);
    free(n->claims_path);
}

/* What somebody asked for, but for what the command line asks for anew at each start. */
static void claims_save(struct node *n) {
    struct orphans *own = MEM_NEW(struct orphans);
    struct buf b;
    struct err e = {0};
    for (size_t i = 0; i < n->n_served; i++) {
        const struct record_model *m = &n->served[i]->record;
        struct orphan one = {.wish = m->wish};
        if (m->replica != 0 || !m->wish.kept || m->wish.pinned) continue;
        snprintf(one.name, sizeof(one.name), "%s", m->name);
        snprintf(one.path, sizeof(one.path), "%s", n->served[i]->file->path);
        orphans_add(own, &one);
    }
    for (uint32_t i = 0; i < n->orphans.n; i++)
        if (n->orphans.list[i].node == n->id) orphans_add(own, &n->orphans.list[i]);
    buf_init(&b, MAX_FILE);
    orphans_write(own, &n->unloads, &b);
    bool same = b.len == n->claims_text.len && memcmp(b.data, n->claims_text.data, b.len) == 0;
    if (!same && file_write(n->claims_path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_clear(&n->claims_text);
    buf_append(&n->claims_text, b.data, b.len);
    buf_done(&b);
    free(own);
    n->claims_saved = n->news;
}

static void taken_over(void *user, err_code code, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_warn("node", "%s", e->text);
}

void claims_update(struct node *n) {
    struct orphan_action a;
    while (orphans_next(&n->orphans, clock_now(), n->id, claims_view, n, &a) != ORPHAN_NOTHING) {
        const struct orphan *o = &a.orphan;
        if (a.act == ORPHAN_TELL) {
            models_tell_heir(n, a.heir, o);
            continue;
        }
        if (o->node == n->id) log_info("node", "loading \"%s\" again, as before this start", o->name);
        else log_info("node", "taking \"%s\" over: node %s, which looked after it, is gone", o->name, o->node_name);
        models_load_here(n, o->name, &o->wish, taken_over, NULL);
    }
    if (n->claims_path && n->claims_saved != n->news) claims_save(n);
}
