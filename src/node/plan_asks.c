/* SPDX-License-Identifier: MIT
 * See plan_asks.h. */
#include "node/plan_asks.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "members/ask.h"

enum { MOST_QUESTIONS = 32 };

/* Asked of another node, which has not answered yet. */
struct question {
    struct question *next;
    uint64_t id, node;
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

static void question_end(struct plan_asks *a, struct question **at, const char *text, const struct err *e) {
    struct question *q = *at;
    *at = q->next;
    a->n--;
    q->done(q->user, text, e);
    free(q);
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

uint64_t plan_asks_whom(const struct plan_asks *a, const char *model) {
    const struct records *all = a->parts.records;
    for (size_t i = 0; i < all->n_linked; i++)
        if (all->linked[i]->plans && has_file(all->linked[i], model)) return all->linked[i]->id;
    return 0;
}

err_code plan_asks_send(struct plan_asks *a, uint64_t node, const char *text, plan_asks_done_fn done, void *user, struct err *e) {
    struct ask_plan plan = {.id = a->count + 1, .text = mem_strdup(text)};
    struct buf b;
    err_code code = ERR_OK;
    buf_init(&b, frame_max_payload(FRAME_PLAN));
    ask_plan_encode(&plan, &b);
    if (strlen(text) > ASK_MAX_PLAN || b.failed)
        code = err_set(e, ERR_LIMIT, "the question is longer than the %d bytes that another node takes", ASK_MAX_PLAN);
    else if (a->n == MOST_QUESTIONS) code = err_set(e, ERR_BUSY, "%d questions for plans wait for other nodes", MOST_QUESTIONS);
    else if (!control_send(a->parts.control, node, FRAME_PLAN, 0, b.data, b.len))
        code = err_set(e, ERR_UNAVAILABLE, "the node that has the model's file cannot be reached");
    buf_done(&b);
    ask_plan_done(&plan);
    if (code != ERR_OK) return code;
    struct question *q = MEM_NEW(struct question);
    *q = (struct question){.next = a->questions, .id = ++a->count, .node = node, .done = done, .user = user};
    a->questions = q;
    a->n++;
    return ERR_OK;
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
    struct err e;
    err_set(&e, ERR_UNAVAILABLE, "node %s, which has the model's file, is gone", lost->name);
    for (struct question **at = &a->questions; *at;)
        if ((*at)->node == lost->id) question_end(a, at, NULL, &e);
        else at = &(*at)->next;
}
