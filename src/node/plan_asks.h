/* SPDX-License-Identifier: MIT
 * Plans of models whose files are on other nodes: the question goes to such a node over the control link (PLAN), which plans as it would
 * load, and its answer comes back (PLANNED). A question gets one answer; if the node is lost, another one that has the file is asked,
 * or the answer is an error. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_PLAN_ASKS_H
#define CARAVAN_NODE_PLAN_ASKS_H

#include "members/control.h"
#include "peers/records.h"

/* What it uses of the node; all of it outlives the questions. */
struct plan_asks_parts {
    struct control *control;
    const struct records *records;
};
struct plan_asks; /* opaque */
struct plan_asks *plan_asks_create(const struct plan_asks_parts *parts);
void plan_asks_free(struct plan_asks *a); /* open questions end with an error. NULL is fine */

/* Is there a linked node that has the model's file and answers such questions? */
bool plan_asks_any(const struct plan_asks *a, const char *model);
/* Asks such a node. text: the body of a POST /caravan/v1/plan. The answer's text is valid during the call of done, and NULL if e has
 * an error; done is called once, unless this returns an error (ERR_INVALID, ERR_LIMIT, ERR_BUSY, ERR_UNAVAILABLE) or the question is
 * forgotten. */
typedef void (*plan_asks_done_fn)(void *user, const char *text, const struct err *e);
err_code plan_asks_send(struct plan_asks *a, const char *model, const char *text, plan_asks_done_fn done, void *user, struct err *e);
/* Nobody wants to know any more; false: no question of this user is open. */
bool plan_asks_forget(struct plan_asks *a, const void *user);
/* Answers another node's question. text: NULL if there is none; e->code: ERR_OK if there is one. */
void plan_asks_answer(struct plan_asks *a, uint64_t node, uint64_t id, const char *text, const struct err *e);

/* The payload of a PLANNED frame from the node. An error means that it makes no sense. */
err_code plan_asks_on_planned(struct plan_asks *a, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
/* Questions to a node that is gone end with an error. */
void plan_asks_lost(struct plan_asks *a, const struct record *lost);

#endif
