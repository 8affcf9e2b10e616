/* SPDX-License-Identifier: MIT
 * Messages in JSON over control links (docs/PROTOCOL.md): ASK asks a node to load or unload a model, ANSWER answers, PLAN asks for a plan,
 * PLANNED answers, BUSY says how much work heads have, what waits in gateways, and what ring links carry. Values and both directions of
 * their encoding; every limit is checked on the way in. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_ASK_H
#define CARAVAN_MEMBERS_ASK_H

#include "base/field.h"
#include "members/record.h"

enum { ASK_MAX_PLAN = 24 << 10, ASK_MAX_PLANNED = 900 << 10 }; /* bytes of a question and its answer */

/* The structs ask, ask_answer, ask_plan, ask_planned, and ask_work with ask_busy, ask_queue and ask_link. Idle times count from the last
 * request, so that they can be compared from node to node without a common clock. */
#define MESSAGES_ASK
#include "base/field_structs.h"
#undef MESSAGES_ASK

void ask_encode(const struct ask *a, struct buf *out);
err_code ask_decode(const uint8_t *data, size_t len, struct ask *ret, struct err *e);

/* ret_why->code is ERR_OK when it was done. */
void ask_answer_encode(uint64_t id, const struct err *why, struct buf *out);
err_code ask_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *ret_why, struct err *e);

/* The texts of what was decoded are its own: ask_plan_done, ask_planned_done. */
void ask_plan_encode(const struct ask_plan *p, struct buf *out);
err_code ask_plan_decode(const uint8_t *data, size_t len, struct ask_plan *ret, struct err *e);
void ask_plan_done(struct ask_plan *p);
void ask_planned_encode(const struct ask_planned *p, struct buf *out);
err_code ask_planned_decode(const uint8_t *data, size_t len, struct ask_planned *ret, struct err *e);
void ask_planned_done(struct ask_planned *p);

void ask_work_encode(const struct ask_work *w, struct buf *out);
err_code ask_work_decode(const uint8_t *data, size_t len, struct ask_work *ret, struct err *e);

#endif
