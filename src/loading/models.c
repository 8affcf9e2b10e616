/* SPDX-License-Identifier: MIT
 * See models.h. */
#include "loading/models.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

enum { MAX_ASKS = 1024 };

/* A question to another node that has not answered yet. */
struct question {
    struct question *next;
    char model[MODEL_NAME_SIZE];
    uint64_t id, node;
    models_done_fn done;
    void *user;
};

struct models {
    struct models_parts parts;
    bool stopping;
    struct question *asks;
    uint64_t count;
    size_t n_asks;
};

struct models *models_create(const struct models_parts *parts) {
    struct models *m = MEM_NEW(struct models);
    m->parts = *parts;
    return m;
}

void models_stop(struct models *m) { m->stopping = true; }

void models_free(struct models *m) {
    while (m && m->asks) {
        struct question *a = m->asks;
        m->asks = a->next;
        free(a);
    }
    free(m);
}

/* ---- here ---- */

/* A model that is to be loaded here once its file has been read. */
struct loading {
    struct models *models;
    char name[MODEL_NAME_SIZE]; /* "": the name of its file */
    struct load_wish wish;
    models_done_fn done;
    void *user;
};

static void loading_opened(void *user, struct serve_file *f, const struct err *cause) {
    struct loading *l = user;
    const struct models_parts *p = &l->models->parts;
    struct err e = *cause;
    struct coordinator_view v = serve_view(p->serve);
    if (f && !l->name[0]) catalog_name(p->catalog, f->path, &f->card, l->name);
    if (f) coordinator_wish(p->core, &v, l->name, &l->wish);
    err_code code = f ? serve_open(p->serve, f, l->name, &l->wish, &e) : e.code;
    l->done(l->user, code, l->name, &e);
    free(l);
}

static void load_file(struct models *m, const char *path, const char *name, const struct load_wish *wish, models_done_fn done, void *user) {
    struct loading *l = MEM_NEW(struct loading);
    *l = (struct loading){.models = m, .wish = *wish, .done = done, .user = user};
    snprintf(l->name, sizeof(l->name), "%s", name);
    files_open(m->parts.files, path, loading_opened, l);
}

void models_load_here(struct models *m, const char *name, const struct load_wish *wish, models_done_fn done, void *user) {
    const struct catalog_entry *file = catalog_find(m->parts.catalog, name);
    struct coordinator_view v = serve_view(m->parts.serve);
    struct err e = {0};
    err_code code = ERR_OK;
    if (strchr(name, '/')) {
        load_file(m, name, "", wish, done, user);
        return;
    }
    code = coordinator_may_load(m->parts.core, clock_now(), &v, name, &e);
    if (code == ERR_OK && !file) code = serve_again(m->parts.serve, name, wish, &e);
    if (code == ERR_NOT_FOUND) {
        err_set(&e, ERR_NOT_FOUND, "there is no file of a model \"%s\" on node %s", name, m->parts.node_name);
        err_hint(&e, "`caravan models` lists what there is, `caravan pull` fetches more");
    }
    if (code == ERR_OK && file) load_file(m, file->path, name, wish, done, user);
    else done(user, code, name, &e);
}

/* A model that is planned once its file has been read, and libllama was asked what it takes. */
struct planning {
    struct models *models;
    struct serve_file *file;
    char name[MODEL_NAME_SIZE];
    struct load_wish wish;
    yyjson_mut_doc *doc;
    models_planned_fn done;
    void *user;
};

static void planning_measured(void *user, const char *key, const struct needs *n) {
    struct planning *p = user;
    struct err e = {0};
    yyjson_mut_val *plan = NULL;
    (void)n; /* serve finds it too */
    err_code code = key ? serve_preview(p->models->parts.serve, p->file, p->name, &p->wish, p->doc, &plan, &e)
                        : err_set(&e, ERR_UNAVAILABLE, "the node ends");
    p->done(p->user, code, plan, &e);
    free(p);
}

static void planning_opened(void *user, struct serve_file *f, const struct err *cause) {
    struct planning *p = user;
    struct serve *serve = p->models->parts.serve;
    struct coordinator_view v = serve_view(serve);
    struct err e = *cause;
    p->file = f;
    if (f) coordinator_wish(p->models->parts.core, &v, p->name, &p->wish);
    err_code code = f ? serve_ask_sizes(serve, f, p->name, &p->wish, planning_measured, p, &e) : e.code;
    if (code == ERR_OK) return;
    p->done(p->user, code, NULL, &e);
    free(p);
}

void models_plan(struct models *m, const char *name, const struct load_wish *wish, yyjson_mut_doc *doc, models_planned_fn done,
                 void *user) {
    const struct catalog_entry *file = catalog_find(m->parts.catalog, name);
    struct err e = {0};
    if (!file) {
        err_set(&e, ERR_NOT_FOUND, "there is no file of a model \"%s\" on node %s, so it cannot be planned here", name, m->parts.node_name);
        done(user, ERR_NOT_FOUND, NULL, &e);
        return;
    }
    struct planning *p = MEM_NEW(struct planning);
    *p = (struct planning){.models = m, .wish = *wish, .doc = doc, .done = done, .user = user};
    snprintf(p->name, sizeof(p->name), "%s", name);
    files_open(m->parts.files, file->path, planning_opened, p);
}

/* A model whose slices are measured once its file has been read. */
struct sizing {
    struct models *models;
    char name[MODEL_NAME_SIZE];
    struct load_wish wish;
    models_sizes_fn done;
    void *user;
};

static void sizing_measured(void *user, const char *key, const struct needs *n) {
    struct sizing *z = user;
    (void)key;
    z->done(z->user, n);
    free(z);
}

static void sizing_opened(void *user, struct serve_file *f, const struct err *cause) {
    struct sizing *z = user;
    const struct models_parts *p = &z->models->parts;
    struct coordinator_view v = serve_view(p->serve);
    (void)cause; /* who asked says what is wrong with a file that cannot be read */
    if (f) coordinator_wish(p->core, &v, z->name, &z->wish);
    if (!f || serve_ask_sizes(p->serve, f, z->name, &z->wish, sizing_measured, z, NULL) != ERR_OK) sizing_measured(z, NULL, NULL);
}

void models_sizes(struct models *m, const char *name, const struct load_wish *wish, models_sizes_fn done, void *user) {
    const struct catalog_entry *file = catalog_find(m->parts.catalog, name);
    if (!file) {
        done(user, NULL);
        return;
    }
    struct sizing *z = MEM_NEW(struct sizing);
    *z = (struct sizing){.models = m, .wish = *wish, .done = done, .user = user};
    snprintf(z->name, sizeof(z->name), "%s", name);
    files_open(m->parts.files, file->path, sizing_opened, z);
}

static void taken(void *user, err_code code, const char *model, const struct err *e) {
    (void)user;
    (void)model;
    if (code != ERR_OK) log_warn("node", "%s", e->text);
}

void models_take(struct models *m, const struct orphan *o) {
    if (m->stopping) return;
    if (o->node == m->parts.self) log_info("node", "loading \"%s\" again, as before this start", o->name);
    else log_info("node", "taking \"%s\" over: node %s, which looked after it, is gone", o->name, o->node_name);
    models_load_here(m, o->name, &o->wish, taken, NULL);
}

static err_code models_unload_here(struct models *m, const char *name, struct err *e) {
    struct coordinator_view v = serve_view(m->parts.serve);
    err_code code = coordinator_unload(m->parts.core, clock_now(), &v, name, e);
    serve_act(m->parts.serve);
    return code;
}

static void models_give_room(struct models *m, const char *name, enum coordinator_room room, struct err *e) {
    struct coordinator_view v = serve_view(m->parts.serve);
    coordinator_give_room(m->parts.core, clock_now(), &v, name, room, e);
    serve_act(m->parts.serve);
}

static void models_keep_here(struct models *m, const char *name, int32_t seconds, bool may_unload) {
    coordinator_keep(m->parts.core, clock_now(), name, seconds, may_unload);
    serve_act(m->parts.serve);
}

void models_remove_here(struct models *m, const char *asked, models_done_fn done, void *user) {
    struct coordinator_claim c;
    char name[MODEL_NAME_SIZE];
    snprintf(name, sizeof(name), "%s", names_resolve(m->parts.names, asked));
    if (serve_claimed(m->parts.serve, name, &c) && !c.model->failed) {
        struct err e;
        err_set(&e, ERR_STALE, "model \"%s\" is loaded", name);
        err_hint(&e, "unload it first: caravan unload %s", name);
        done(user, e.code, name, &e);
        return;
    }
    catalog_remove(m->parts.catalog, name, done, user);
}

/* ---- asking others ---- */

static void ask_end(struct models *m, struct question **at, err_code code, const struct err *e) {
    struct question *a = *at;
    *at = a->next;
    m->n_asks--;
    a->done(a->user, code, a->model, e);
    free(a);
}

static struct ask ask_make(const char *op, const char *name) {
    struct ask ask = {0};
    snprintf(ask.op, sizeof(ask.op), "%s", op);
    snprintf(ask.model, sizeof(ask.model), "%s", name);
    return ask;
}

static void ask_send(struct models *m, uint64_t node, struct ask *ask, models_done_fn done, void *user) {
    struct err e = {0};
    if (m->n_asks == MAX_ASKS) {
        done(user, err_set(&e, ERR_BUSY, "%d questions to other nodes wait for an answer", MAX_ASKS), ask->model, &e);
        return;
    }
    ask->id = ++m->count;
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_ASK));
    ask_encode(ask, &b);
    bool sent = !b.failed && control_send(m->parts.control, node, FRAME_ASK, 0, b.data, b.len);
    buf_done(&b);
    if (!sent) {
        done(user, err_set(&e, ERR_UNAVAILABLE, "the node that is to do it cannot be reached"), ask->model, &e);
        return;
    }
    struct question *a = MEM_NEW(struct question);
    *a = (struct question){.next = m->asks, .id = m->count, .node = node, .done = done, .user = user};
    snprintf(a->model, sizeof(a->model), "%s", ask->model);
    m->asks = a;
    m->n_asks++;
}

/* A question of another node, until it is answered. */
struct asked {
    struct models *models;
    uint64_t from, id;
};

static void ask_answer(void *user, err_code code, const char *model, const struct err *e) {
    struct asked *a = user;
    (void)model;
    struct err why = *e;
    struct buf b;
    why.code = code;
    buf_init(&b, frame_max_payload(FRAME_ANSWER));
    ask_answer_encode(a->id, &why, &b);
    control_send(a->models->parts.control, a->from, FRAME_ANSWER, 0, b.data, b.len);
    buf_done(&b);
    free(a);
}

/* The words for what may leave. */
static const char *const room_ops[] = {
    [COORDINATOR_ROOM_IDLE] = "room", [COORDINATOR_ROOM_FURTHER] = "shrink", [COORDINATOR_ROOM_BUSY] = "drain"};

static bool room_of(const char *op, enum coordinator_room *ret) {
    for (size_t i = 0; i < ARRAY_LEN(room_ops); i++) {
        *ret = (enum coordinator_room)i;
        if (strcmp(op, room_ops[i]) == 0) return true;
    }
    return false;
}

static void ask_do(struct models *m, const struct ask *a, models_done_fn done, void *user) {
    enum coordinator_room room;
    struct err e = {0};
    if (strcmp(a->op, "load") == 0) {
        models_load_here(m, a->model, &a->wish, done, user);
        return;
    }
    if (strcmp(a->op, "unload") == 0) models_unload_here(m, a->model, &e);
    else if (strcmp(a->op, "pull") == 0) pulls_start(m->parts.pulls, a->source, &e);
    else if (strcmp(a->op, "unpull") == 0) pulls_drop(m->parts.pulls, a->source, &e);
    else if (strcmp(a->op, "retire") == 0) drain_set(m->parts.drain, true);
    else if (strcmp(a->op, "return") == 0) drain_set(m->parts.drain, false);
    else if (room_of(a->op, &room)) models_give_room(m, a->model, room, &e);
    else if (strcmp(a->op, "keep") == 0)
        models_keep_here(m, a->model, wish_says(&a->wish, WISH_KEEP_S) ? (int32_t)a->wish.keep_s : -1,
                         wish_says(&a->wish, WISH_KEPT) && !a->wish.kept);
    else err_set(&e, ERR_UNSUPPORTED, "node %s does not know \"%s\"", m->parts.node_name, a->op);
    done(user, e.code, a->model, &e);
}

err_code models_on_ask(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct ask a;
    err_code code = ask_decode(payload, len, &a, e);
    if (code != ERR_OK) return code;
    struct asked *asked = MEM_NEW(struct asked);
    *asked = (struct asked){.models = m, .from = from, .id = a.id};
    ask_do(m, &a, ask_answer, asked);
    return ERR_OK;
}

err_code models_on_answer(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct err why;
    uint64_t id;
    err_code code = ask_answer_decode(payload, len, &id, &why, e);
    for (struct question **at = &m->asks; code == ERR_OK && *at; at = &(*at)->next)
        if ((*at)->id == id && (*at)->node == from) {
            ask_end(m, at, why.code, &why);
            break;
        }
    return code;
}

/* ---- by whoever is to do it ---- */

/* The linked node of this name or id. ERR_NOT_FOUND; ERR_INVALID: several have the name. */
static err_code find_node(const struct models *m, const char *name, uint64_t *ret, struct err *e) {
    size_t found = 0;
    for (size_t i = 0; i < m->parts.records->n_linked; i++) {
        const struct record *r = m->parts.records->linked[i];
        char id[20];
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)r->id);
        if (strcmp(name, r->name) != 0 && strcmp(name, id) != 0) continue;
        *ret = r->id;
        found++;
    }
    if (found == 1) return ERR_OK;
    if (found > 1) {
        err_set(e, ERR_INVALID, "%zu nodes are called \"%.64s\"", found, name);
        err_hint(e, "name one by its id: `caravan nodes --json` shows the ids");
        return ERR_INVALID;
    }
    err_set(e, ERR_NOT_FOUND, "no node \"%.64s\" is linked to this one", name);
    err_hint(e, "`caravan nodes` lists those that are");
    return ERR_NOT_FOUND;
}

static bool is_self(const struct models *m, const char *name) {
    char id[20];
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)m->parts.self);
    return !name || !name[0] || strcmp(name, m->parts.node_name) == 0 || strcmp(name, id) == 0;
}

void models_pull(struct models *m, const char *node, const char *source, bool drop, models_done_fn done, void *user) {
    struct err e = {0};
    if (is_self(m, node)) {
        err_code code = drop ? pulls_drop(m->parts.pulls, source, &e) : pulls_start(m->parts.pulls, source, &e);
        done(user, code, source, &e);
        return;
    }
    uint64_t id;
    struct ask ask = ask_make(drop ? "unpull" : "pull", "");
    err_code code = find_node(m, node, &id, &e);
    if (code == ERR_OK && strlen(source) >= sizeof(ask.source))
        code = err_set(&e, ERR_LIMIT, "the name is longer than %zu bytes", sizeof(ask.source) - 1);
    if (code != ERR_OK) {
        done(user, code, source, &e);
        return;
    }
    snprintf(ask.source, sizeof(ask.source), "%s", source);
    ask_send(m, id, &ask, done, user);
}

static void models_ask_load(struct models *m, uint64_t node, const char *name, const struct load_wish *wish, models_done_fn done,
                            void *user) {
    struct ask ask = ask_make("load", name);
    ask.wish = *wish;
    ask_send(m, node, &ask, done, user);
}

void models_load(struct models *m, const char *asked, const struct load_wish *wish, models_done_fn done, void *user) {
    struct err e = {0};
    char name[MODEL_NAME_SIZE];
    if (strchr(asked, '/')) {
        models_load_here(m, asked, wish, done, user);
        return;
    }
    snprintf(name, sizeof(name), "%s", names_resolve(m->parts.names, asked));
    struct coordinator_view v = serve_view(m->parts.serve);
    uint64_t node = m->parts.self;
    err_code code = coordinator_loader(m->parts.core, clock_now(), &v, name, &node, &e);
    if (code != ERR_OK) {
        done(user, code, name, &e);
    } else if (node != 0 && node != m->parts.self) {
        struct load_wish whole = *wish;
        struct coordinator_claim claim;
        if (!serve_claimed(m->parts.serve, name, &claim)) coordinator_wish(m->parts.core, &v, name, &whole); /* the heir may not know it */
        models_ask_load(m, node, name, &whole, done, user);
    } else {
        models_load_here(m, name, wish, done, user);
    }
}

void models_drain(struct models *m, const char *node, bool on, models_done_fn done, void *user) {
    struct err e = {0};
    uint64_t id = 0;
    if (is_self(m, node)) drain_set(m->parts.drain, on);
    else find_node(m, node, &id, &e);
    if (id == 0) {
        done(user, e.code, "", &e);
        return;
    }
    struct ask ask = ask_make(on ? "retire" : "return", "");
    ask_send(m, id, &ask, done, user);
}

static void heir_told(void *user, err_code code, const char *model, const struct err *e) {
    (void)user;
    (void)model;
    if (code != ERR_OK) log_debug("node", "a model whose node is gone is not loaded yet: %s", e->text);
}

void models_tell_heir(struct models *m, uint64_t heir, const struct orphan *o) {
    models_ask_load(m, heir, o->name, &o->wish, heir_told, NULL);
}

static void room_answered(void *user, err_code code, const char *model, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_debug("node", "\"%s\" leaves no room yet: %s", model, e->text);
}

void models_ask_room(struct models *m, uint64_t node, const char *name, enum coordinator_room room) {
    struct ask ask = ask_make(room_ops[room], name);
    ask_send(m, node, &ask, room_answered, NULL);
}

/* An unload that other nodes are asked for as well. */
struct unloading {
    size_t waits; /* answers */
    char name[MODEL_NAME_SIZE];
    err_code code;
    struct err err;
    models_done_fn done;
    void *user;
};

/* The unload has worked if one node has done it. Else a failure counts for more than a node that does not know the model. */
static void unload_answered(void *user, err_code code, const char *model, const struct err *e) {
    struct unloading *u = user;
    (void)model;
    if (code == ERR_OK || (u->code == ERR_NOT_FOUND && code != ERR_OK)) {
        u->code = code;
        u->err = *e;
    }
    if (--u->waits > 0) return;
    u->done(u->user, u->code, u->name, &u->err);
    free(u);
}

static void unload_told(void *user, err_code code, const char *model, const struct err *e) {
    (void)user;
    (void)model;
    (void)code;
    (void)e;
}

static bool record_claims(const struct record *r, const char *name) {
    for (uint32_t k = 0; k < r->n_models; k++)
        if (strcmp(r->models[k].name, name) == 0) return true;
    return false;
}

/* Every node is told: for a while two may coordinate the model, or none does and some node remembers it. Only nodes that coordinate it are
 * waited for. */
void models_unload(struct models *m, const char *asked, models_done_fn done, void *user) {
    struct unloading *u = MEM_NEW(struct unloading);
    struct err e = {0};
    struct coordinator_claim c;
    *u = (struct unloading){.waits = 1, .code = ERR_NOT_FOUND, .done = done, .user = user};
    snprintf(u->name, sizeof(u->name), "%s", names_resolve(m->parts.names, asked));
    const char *name = u->name;
    err_code code = ERR_OK;
    bool claimed = serve_claimed(m->parts.serve, name, &c);
    if (claimed && !c.linked)
        code = err_set(&e, ERR_UNAVAILABLE, "node %s, which looks after model \"%s\", cannot be reached", c.node_name, name);
    if (code == ERR_OK) code = models_unload_here(m, name, &e);
    for (size_t i = 0; i < m->parts.records->n_linked; i++) {
        struct ask ask = ask_make("unload", name);
        bool waits = !claimed || record_claims(m->parts.records->linked[i], name);
        u->waits += waits;
        ask_send(m, m->parts.records->linked[i]->id, &ask, waits ? unload_answered : unload_told, u);
    }
    unload_answered(u, code, name, &e);
}

static void keep_asked(void *user, err_code code, const char *model, const struct err *e) {
    (void)user;
    (void)model;
    if (code != ERR_OK) log_debug("node", "the time for which a model is kept was not heard: %s", e->text);
}

void models_keep(struct models *m, const char *name, int32_t seconds, bool may_unload) {
    struct coordinator_claim c;
    if (m->stopping || !serve_claimed(m->parts.serve, name, &c)) return;
    if (c.node == m->parts.self) {
        models_keep_here(m, name, seconds, may_unload);
        return;
    }
    struct ask ask = ask_make("keep", name);
    if (seconds >= 0) wish_set(&ask.wish, WISH_KEEP_S, (uint32_t)seconds);
    if (may_unload) wish_set(&ask.wish, WISH_KEPT, false);
    ask_send(m, c.node, &ask, keep_asked, NULL);
}

void models_asks_lost(struct models *m, const struct record *lost) {
    struct err gone;
    err_set(&gone, ERR_UNAVAILABLE, "node %s is gone", lost->name);
    for (struct question **at = &m->asks; *at;)
        if ((*at)->node == lost->id) ask_end(m, at, ERR_UNAVAILABLE, &gone);
        else at = &(*at)->next;
}
