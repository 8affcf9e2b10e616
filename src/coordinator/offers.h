/* SPDX-License-Identifier: MIT
 * The memory that nodes offer to a copy of a model, and the room that idle models would leave. For the files of this folder. */
#ifndef CARAVAN_COORDINATOR_OFFERS_H
#define CARAVAN_COORDINATOR_OFFERS_H

#include "coordinator/copy.h"

/* The nodes' offers to a copy of the model. x: the copy; NULL: a further one. ret has v->n_records places. Returns how many there are. */
typedef bool (*offers_counts_fn)(const struct coordinator *c, const struct coordinator_view *v, const char *instance);
uint32_t offers_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                     offers_counts_fn counts, struct plan_node *ret);
/* Would a copy fit if only the stages that `counts` names took memory? ret_stages (may be NULL): in how many stages. */
bool offers_fit(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                offers_counts_fn counts, uint32_t *ret_stages);
/* The copy of this coordinator that has been idle for longest, called `name` (NULL: any) and of another model than `but` (NULL: any). NULL:
 * there is none. */
struct copy *offers_oldest(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                           const struct coordinator_model *but);
/* If the copy cannot be placed: finds out whether it helps to unload idle models, and has the one unloaded that was idle for longest, by
 * the coordinator that looks after it. */
void offers_make_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
bool offers_shows(const struct record *r, const char *instance, uint64_t epoch, uint32_t stage); /* does its node hold the stage? */
bool offers_idle(const struct coordinator *c, const struct coordinator_view *v, const char *instance);

#endif
