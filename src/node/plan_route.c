/* SPDX-License-Identifier: MIT
 * See plan_route.h. */
#include "node/plan_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/admin.h"
#include "gateway/answer.h"
#include "io/work.h"
#include "members/ask.h"
#include "members/wish.h"
#include "model/types.h"
#include "paper/buy.h"
#include "paper/can.h"
#include "paper/sheet.h"
#include "paper/shapes.h"

enum { PLANNERS = 2, MAX_ANSWER = 1 << 24, MOST_WHERE = 4096, MOST_FAR = 16 };

struct plan_route {
    struct plan_route_parts parts;
    struct io_works *works;
    size_t n_far; /* other nodes' questions that are not answered yet */
};

struct plan_route *plan_route_create(const struct plan_route_parts *parts) {
    struct plan_route *p = MEM_NEW(struct plan_route);
    *p = (struct plan_route){.parts = *parts, .works = io_works_open(parts->loop, PLANNERS)};
    return p;
}

void plan_route_free(struct plan_route *p) {
    if (!p) return;
    io_works_close(p->works);
    free(p);
}

/* What somebody wants to know. */
struct asked {
    struct plan_route *route;
    struct http_exchange *x; /* NULL: its client has gone, or another node asks */
    uint64_t far, id;        /* the node that asks, and its question; 0: it is a client of this node */
    char name[MODEL_NAME_SIZE], where[MOST_WHERE];
    char *path; /* the model's file; NULL: it is known by name, or all are meant */
    struct load_wish load;
    struct sheet_question q; /* its texts are the fields above */
    struct fleet *fleet;
    struct needs needs;
    bool here; /* the fleet is this cluster */
    double floor, buy, budget;
    struct buf out;
    struct err err;
};

static void asked_free(void *job) {
    struct asked *a = job;
    if (a->far != 0) a->route->n_far--;
    buf_done(&a->out);
    free(a->path);
    free(a->fleet);
    free(a);
}

/* ---- in the thread ---- */

static err_code open_model(const struct asked *a, struct sheet_source *ret, struct err *e) {
    *ret = (struct sheet_source){.is_shape = a->path == NULL};
    return a->path ? model_gguf_open(a->path, &ret->gguf, e) : shapes_open(a->name, &ret->gguf, e);
}

static err_code plan_one(struct asked *a, yyjson_mut_doc *doc, struct err *e) {
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct sheet_source source;
    struct sheet s = {0};
    struct buf text;
    buf_init(&text, MAX_ANSWER);
    err_code code = open_model(a, &source, e);
    if (code == ERR_OK) code = sheet_make(&a->q, &source, a->fleet, &s, e);
    if (code == ERR_OK) {
        sheet_json(&s, doc, root);
        sheet_text(&s, &text);
        yyjson_mut_obj_add_strcpy(doc, root, "text", buf_cstr(&text));
    } else if (code == ERR_NO_ROOM || code == ERR_WHOLE_ONLY) { /* that is an answer */
        yyjson_mut_obj_add_bool(doc, root, "fits", false);
        yyjson_mut_obj_add_strcpy(doc, root, "text", e->text);
        yyjson_mut_obj_add_strcpy(doc, root, "hint", e->hint);
        code = ERR_OK;
    }
    sheet_done(&s);
    buf_done(&text);
    return code;
}

static err_code plan_all(struct asked *a, yyjson_mut_doc *doc, struct err *e) {
    struct can_wish w = {.load = a->q.load, .floor_tps = a->floor};
    err_code code = plan_wish_parse(a->q.placement, &w.plan, e);
    uint64_t least;
    if (code != ERR_OK) return code;
    w.plan.streams = w.load.n_seq;
    w.plan.prompt = a->q.prompt;
    w.plan.link = fleet_link;
    w.plan.link_user = a->fleet;
    struct can_row *rows = mem_calloc(shapes_count(), sizeof(*rows));
    size_t n = can_run(a->fleet->nodes, a->fleet->n, &w, rows, shapes_count(), &least);
    can_json(rows, n, a->fleet, a->where, doc, yyjson_mut_doc_get_root(doc));
    free(rows);
    return ERR_OK;
}

static err_code plan_purchase(struct asked *a, yyjson_mut_doc *doc, struct err *e) {
    struct buy_wish w = {.tps = a->buy, .budget = a->budget, .have = a->here ? NULL : a->fleet, .money = a->q.money};
    struct buy_offer *offers = mem_calloc(BUY_MOST, sizeof(*offers));
    struct paper_model m = {0};
    struct sheet_source source;
    w.plan = (struct plan_wish){.streams = a->q.load.n_seq, .prompt = a->q.prompt};
    w.money.price = 0;
    err_code code = open_model(a, &source, e);
    if (code == ERR_OK) code = paper_model_open(source.gguf, a->name, &a->q.load, &m, e);
    if (code == ERR_OK) buy_json(a->name, &w, offers, buy_offers(&m, a->name, &w, offers), doc, yyjson_mut_doc_get_root(doc));
    paper_model_done(&m);
    free(offers);
    return code;
}

static void asked_run(void *job) {
    struct asked *a = job;
    yyjson_mut_doc *doc = json_new();
    if (!a->name[0]) a->err.code = plan_all(a, doc, &a->err);
    else a->err.code = a->buy > 0 ? plan_purchase(a, doc, &a->err) : plan_one(a, doc, &a->err);
    if (a->err.code == ERR_OK) json_write(&a->out, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- on the loop ---- */

/* text: NULL if e has an error. */
static void asked_answer(struct asked *a, const char *text, const struct err *e) {
    if (a->far != 0) plan_asks_answer(a->route->parts.asks, a->far, a->id, text, e);
    else if (a->x && text) http_respond(a->x, 200, "application/json", text, strlen(text));
    else if (a->x) gateway_respond_error(a->x, e->code, e);
}

static void asked_done(void *job) {
    struct asked *a = job;
    bool good = a->err.code == ERR_OK && !a->out.failed;
    asked_answer(a, good ? buf_cstr(&a->out) : NULL, &a->err);
}

static void asked_gone(void *user) {
    struct asked *a = user;
    a->x = NULL;
    if (plan_asks_forget(a->route->parts.asks, a)) asked_free(a);
}

static yyjson_doc *status_of(const struct plan_route *p) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_doc *copy = yyjson_mut_val_imut_copy(p->parts.status(p->parts.user, doc), NULL);
    yyjson_mut_doc_free(doc);
    return copy;
}

/* status: of this cluster, where that is the fleet; else NULL. "without": plans as if this node were gone, and "instance" with it. */
static err_code read_fleet(yyjson_val *root, yyjson_val *status, const char *model, struct asked *a, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "fleet");
    const char *text = yyjson_is_str(v) ? yyjson_get_str(v) : "these machines";
    a->fleet = MEM_NEW(struct fleet);
    snprintf(a->where, sizeof(a->where), "%s", status ? "this cluster" : text);
    if (status) {
        char instance[64] = "";
        struct fleet_without w = {.instance = instance, .model = ""};
        err_code code = json_get_id(root, "without", &w.node, e);
        if (code == ERR_OK) code = json_get_line(root, "instance", instance, sizeof(instance), e);
        if (w.node == 0) w.model = model; /* a model that is loaded is planned anew, in its own place */
        return code == ERR_OK ? fleet_from_status(status, &w, a->fleet, e) : code;
    }
    if (yyjson_is_obj(v)) return fleet_from_json(v, "fleet", a->fleet, e);
    if (!yyjson_is_str(v)) return err_set_field(e, ERR_INVALID, "fleet", "expected text or an object");
    return fleet_parse(text, a->fleet, e);
}

/* How the model would be loaded: what is not said is as this node is set, if its cluster is the fleet, or else as `caravan plan` has it. */
static err_code read_load(yyjson_val *root, yyjson_val *defaults, struct asked *a, struct err *e) {
    struct load_wish node = {0};
    uint32_t prompt = 0;
    err_code code = wish_read(root, &a->load, e);
    if (defaults && wish_read(defaults, &node, NULL) == ERR_OK) wish_merge(&a->load, &node);
    if (code == ERR_OK) code = json_get_u32(root, "prompt_tokens", 1000000, &prompt, e);
    if (code != ERR_OK) return code;
    if (!wish_says(&a->load, WISH_CACHE_TYPE_K)) wish_set_text(&a->load, WISH_CACHE_TYPE_K, "f16");
    if (!wish_says(&a->load, WISH_CACHE_TYPE_V)) wish_set_text(&a->load, WISH_CACHE_TYPE_V, "f16");
    if (!wish_says(&a->load, WISH_PLACEMENT)) wish_set_text(&a->load, WISH_PLACEMENT, "fast");
    if (!wish_says(&a->load, WISH_WIRE_TYPE)) wish_set_text(&a->load, WISH_WIRE_TYPE, "auto");
    if (!wish_says(&a->load, WISH_PARALLEL)) wish_set(&a->load, WISH_PARALLEL, 4);
    struct paper_load load = {.n_ctx = a->load.ctx,
                              .n_seq = a->load.parallel,
                              .n_ubatch = a->load.ubatch ? a->load.ubatch : SHEET_PROMPT,
                              .exact = a->load.exact};
    if (!model_type_parse(a->load.cache_type_k, &load.type_k) || !model_type_parse(a->load.cache_type_v, &load.type_v))
        return err_set_field(e, ERR_INVALID, "cache_type_k", "the cache type is not one of ggml's");
    a->q = (struct sheet_question){
        .name = a->name, .where = a->where, .load = load, .placement = a->load.placement, .wire_type = a->load.wire_type, .prompt = prompt};
    return ERR_OK;
}

static err_code read_money(yyjson_val *root, struct asked *a, struct err *e) {
    struct money_wish *m = &a->q.money;
    double percent = MONEY_USE * 100;
    *m = (struct money_wish){.life_years = MONEY_LIFE, .electricity = MONEY_KWH};
    a->floor = 8;
    a->q.cost = true;
    bool advice = true;
    err_code code = json_get_bool(root, "advice", &advice, e);
    if (code == ERR_OK) code = json_get_bool(root, "cost", &a->q.cost, e);
    a->q.brief = !advice;
    if (code == ERR_OK) code = json_get_double(root, "price", 0, 1e9, &m->price, e);
    if (code == ERR_OK) code = json_get_double(root, "life", 0.1, 100, &m->life_years, e);
    if (code == ERR_OK) code = json_get_double(root, "electricity", 0, 100, &m->electricity, e);
    if (code == ERR_OK) code = json_get_double(root, "utilisation", 0.01, 100, &percent, e);
    if (code == ERR_OK) code = json_get_double(root, "floor", 0, 1e6, &a->floor, e);
    if (code == ERR_OK) code = json_get_double(root, "buy", 0, 1e5, &a->buy, e);
    if (code == ERR_OK) code = json_get_double(root, "budget", 0, 1e9, &a->budget, e);
    m->utilisation = percent / 100;
    return code;
}

static err_code read_asked(const struct plan_route *p, yyjson_val *root, struct asked *a, struct err *e) {
    yyjson_val *fleet = yyjson_obj_get(root, "fleet");
    a->here = !fleet || yyjson_is_null(fleet) || (yyjson_is_str(fleet) && yyjson_get_len(fleet) == 0);
    yyjson_doc *status = a->here ? status_of(p) : NULL;
    err_code code = json_get_line(root, "model", a->name, sizeof(a->name), e);
    if (code == ERR_OK) code = read_load(root, yyjson_obj_get(yyjson_doc_get_root(status), "defaults"), a, e);
    if (code == ERR_OK) code = read_money(root, a, e);
    const char *model = names_resolve(p->parts.names, a->name);
    if (code == ERR_OK) code = read_fleet(root, yyjson_doc_get_root(status), model, a, e);
    yyjson_doc_free(status);
    if (code != ERR_OK || !a->name[0]) return code;
    const struct catalog_entry *file = catalog_find(p->parts.catalog, model);
    if (file) a->path = mem_strdup(file->path);
    return ERR_OK;
}

static void asked_start(struct asked *a) {
    static const struct io_work work = {.run = asked_run, .done = asked_done, .free = asked_free};
    struct err e = {0};
    bool wanted = a->x != NULL || a->far != 0;
    if (wanted && io_works_start(a->route->works, &work, a, &e) == ERR_OK) return;
    if (wanted) asked_answer(a, NULL, &e);
    asked_free(a);
}

static void asked_measured(void *user, const struct needs *n) {
    struct asked *a = user;
    if (n) {
        a->needs = *n;
        a->q.needs = &a->needs;
    }
    asked_start(a);
}

/* Plans here. */
static void asked_begin(struct asked *a) {
    const struct plan_route_parts *p = &a->route->parts;
    if (a->path && a->here) models_sizes(p->models, names_resolve(p->names, a->name), &a->load, asked_measured, a);
    else asked_start(a);
}

static void asked_told(void *user, const char *text, const struct err *e) {
    struct asked *a = user;
    if (a->x && text) http_respond(a->x, 200, "application/json", text, strlen(text));
    else if (a->x) gateway_respond_error(a->x, e->code, e);
    asked_free(a);
}

/* Lets a node plan that has the model's file. */
static err_code asked_elsewhere(struct asked *a, yyjson_doc *body, const char *model, struct err *e) {
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(body, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_put(root, yyjson_mut_str(doc, "model"), yyjson_mut_strcpy(doc, model));
    char *text = yyjson_mut_write(doc, 0, NULL);
    err_code code = text ? plan_asks_send(a->route->parts.asks, model, text, asked_told, a, e) : err_set(e, ERR_MEMORY, "no memory");
    free(text);
    yyjson_mut_doc_free(doc);
    return code;
}

static void on_plan(void *user, struct http_exchange *x, const char *rest) {
    struct plan_route *p = user;
    struct asked *a = MEM_NEW(struct asked);
    struct err e = {0};
    yyjson_doc *doc = NULL;
    bool elsewhere = false;
    (void)rest;
    buf_init(&a->out, MAX_ANSWER);
    a->route = p;
    a->x = x;
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = read_asked(p, yyjson_doc_get_root(doc), a, &e);
    const char *model = names_resolve(p->parts.names, a->name);
    if (code == ERR_OK && a->name[0] && !a->path) elsewhere = plan_asks_any(p->parts.asks, model);
    if (code == ERR_OK && elsewhere) code = asked_elsewhere(a, doc, model, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        asked_free(a);
        return;
    }
    http_exchange_on_gone(x, asked_gone, a);
    if (!elsewhere) asked_begin(a);
}

err_code plan_route_on_plan(struct plan_route *p, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct ask_plan question;
    struct err why = {0};
    yyjson_doc *doc = NULL;
    err_code code = ask_plan_decode(payload, len, &question, e);
    if (code != ERR_OK) return code;
    struct asked *a = MEM_NEW(struct asked);
    buf_init(&a->out, MAX_ANSWER);
    *a = (struct asked){.route = p, .far = from, .id = question.id, .out = a->out};
    code = ++p->n_far > MOST_FAR ? err_set(&why, ERR_BUSY, "%d nodes' questions for plans wait here", MOST_FAR)
                                 : json_parse(question.text, strlen(question.text), &doc, &why);
    if (code == ERR_OK) code = read_asked(p, yyjson_doc_get_root(doc), a, &why);
    yyjson_doc_free(doc);
    ask_plan_done(&question);
    if (code == ERR_OK) {
        asked_begin(a);
        return ERR_OK;
    }
    asked_answer(a, NULL, &why);
    asked_free(a);
    return ERR_OK;
}

void plan_route_add(struct plan_route *p, struct endpoint *ep) { endpoint_set_route(ep, ENDPOINT_ROUTE_PLAN, on_plan, p); }
