/* SPDX-License-Identifier: MIT
 * See plan_asks.h. */
#include "node/plan_asks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "members/ask.h"

enum { MOST_QUESTIONS = 32 };

/* Asked of another node, which has not answered yet. */
struct question {
    struct question *next;
    uint64_t id, node;
    char model[MODEL_NAME_SIZE];
    char *text;
    plan_asks_done_fn done;
    void *user;
};
struct plan_asks {
    struct plan_asks_parts parts;
    struct question *questions;
    uint64_t count; /* so far: ids */
    size_t n;       /* open ones */
};

struct plan_asks *plan_asks_create(const struct plan_asks_parts *parts) {
    struct plan_asks *a = MEM_NEW(struct plan_asks);
    a->parts = *parts;
    return a;
}

static struct question *question_take(struct plan_asks *a, struct question **at) {
    struct question *q = *at;
    *at = q->next;
    a->n--;
    return q;
}

static void question_free(struct question *q) {
    free(q->text);
    free(q);
}

static void question_end(struct plan_asks *a, struct question **at, const char *text, const struct err *e) {
    struct question *q = question_take(a, at);
    q->done(q->user, text, e);
    question_free(q);
}

void plan_asks_free(struct plan_asks *a) {
    struct err e;
    if (!a) return;
    err_set(&e, ERR_UNAVAILABLE, "the node ends");
    while (a->questions) question_end(a, &a->questions, NULL, &e);
    free(a);
}

static bool has_file(const struct record *r, const char *model) {
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (strcmp(r->cards[i].name, model) == 0) return true;
    return false;
}

static bool may_ask(const struct record *r, const char *model) { return r->plans && has_file(r, model); }

bool plan_asks_any(const struct plan_asks *a, const char *model) {
    const struct records *all = a->parts.records;
    for (size_t i = 0; i < all->n_linked; i++)
        if (may_ask(all->linked[i], model)) return true;
    return false;
}

/* Asks the first that can be reached of the nodes that may be asked, but this one. Under a new id: another one may answer yet. */
static err_code question_send(struct plan_asks *a, struct question *q, uint64_t but, struct err *e) {
    const struct records *all = a->parts.records;
    struct ask_plan plan = {.id = q->id = ++a->count, .text = q->text};
    struct buf b;
    bool sent = false;
    buf_init(&b, frame_max_payload(FRAME_PLAN));
    ask_plan_encode(&plan, &b);
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "the question is longer than another node takes") : ERR_OK;
    for (size_t i = 0; i < all->n_linked && code == ERR_OK && !sent; i++) {
        if (all->linked[i]->id == but || !may_ask(all->linked[i], q->model)) continue;
        q->node = all->linked[i]->id;
        sent = control_send(a->parts.control, q->node, FRAME_PLAN, 0, b.data, b.len);
    }
    buf_done(&b);
    if (code != ERR_OK || sent) return code;
    return err_set(e, ERR_UNAVAILABLE, "no node that has the file of model \"%s\" can be reached", q->model);
}

err_code plan_asks_send(struct plan_asks *a, const char *model, const char *text, plan_asks_done_fn done, void *user, struct err *e) {
    if (strlen(text) > ASK_MAX_PLAN) {
        err_set(e, ERR_INVALID, "the question is longer than the %d bytes that another node takes", ASK_MAX_PLAN);
        return ERR_INVALID;
    }
    if (a->n == MOST_QUESTIONS) return err_set(e, ERR_BUSY, "%d questions for plans wait for other nodes", MOST_QUESTIONS);
    struct question *q = MEM_NEW(struct question);
    *q = (struct question){.text = mem_strdup(text), .done = done, .user = user};
    snprintf(q->model, sizeof(q->model), "%s", model);
    err_code code = question_send(a, q, 0, e);
    if (code != ERR_OK) {
        question_free(q);
        return code;
    }
    q->next = a->questions;
    a->questions = q;
    a->n++;
    return ERR_OK;
}

bool plan_asks_forget(struct plan_asks *a, const void *user) {
    for (struct question **at = &a->questions; *at; at = &(*at)->next)
        if ((*at)->user == user) {
            question_free(question_take(a, at));
            return true;
        }
    return false;
}

void plan_asks_answer(struct plan_asks *a, uint64_t node, uint64_t id, const char *text, const struct err *e) {
    struct ask_planned planned = {.id = id, .err = *e, .text = (char *)text}; /* only read */
    struct buf b;
    if (text != NULL && strlen(text) > ASK_MAX_PLANNED) {
        err_set(&planned.err, ERR_LIMIT, "the plan is longer than the %d bytes that another node takes", ASK_MAX_PLANNED);
        planned.text = NULL;
    }
    buf_init(&b, frame_max_payload(FRAME_PLANNED));
    ask_planned_encode(&planned, &b);
    control_send(a->parts.control, node, FRAME_PLANNED, 0, b.data, b.len);
    buf_done(&b);
}

err_code plan_asks_on_planned(struct plan_asks *a, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct ask_planned p;
    err_code code = ask_planned_decode(payload, len, &p, e);
    if (code != ERR_OK) return code;
    if (p.err.code == ERR_OK && p.text == NULL) err_set(&p.err, ERR_PROTOCOL, "the node that has the model's file answered without a plan");
    for (struct question **at = &a->questions; *at; at = &(*at)->next)
        if ((*at)->id == p.id && (*at)->node == from) {
            question_end(a, at, p.err.code == ERR_OK ? p.text : NULL, &p.err);
            break;
        }
    ask_planned_done(&p);
    return ERR_OK;
}

void plan_asks_lost(struct plan_asks *a, const struct record *lost) {
    for (struct question **at = &a->questions; *at;) {
        struct question *q = *at;
        struct err e;
        if (q->node != lost->id || question_send(a, q, lost->id, &e) == ERR_OK) {
            at = &q->next;
            continue;
        }
        err_set(&e, ERR_UNAVAILABLE, "node %s, which has the file of model \"%s\", is gone", lost->name, q->model);
        question_end(a, at, NULL, &e);
    }
}
