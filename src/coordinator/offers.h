/* SPDX-License-Identifier: MIT
 * The memory that nodes offer to a copy of a model, and the room that idle models would leave. For the files of this folder. */
#ifndef CARAVAN_COORDINATOR_OFFERS_H
#define CARAVAN_COORDINATOR_OFFERS_H

#include "coordinator/copy.h"

/* The nodes' offers to a copy of the model. x: the copy; NULL: a further one. ret has v->n_records places. Returns how many there are. */
typedef bool (*offers_counts_fn)(const struct coordinator *c, const struct coordinator_view *v, const char *instance);
uint32_t offers_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                     offers_counts_fn counts, struct plan_node *ret);
/* The machines that are to be emptied offer nothing. Those of them on which the copy still runs: their ids. Returns how many. */
uint32_t offers_drained(const struct coordinator_view *v, const struct copy *x, uint64_t ret[PLAN_MAX_STAGES]);
/* Would a copy fit if only the stages that `counts` names took memory? ret_stages (may be NULL): in how many stages. */
bool offers_fit(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                offers_counts_fn counts, uint32_t *ret_stages);
/* The nodes' offers to the copy if all idle models left. ret: as for offers_make. */
uint32_t offers_make_idle(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x, struct plan_node *ret);
/* Does the copy wait for room, and would it in vain even if all idle models left, as far as is known? */
bool offers_lack(const struct coordinator *c, const struct copy *x, clock_us now, const struct coordinator_view *v);
/* Copies that may leave. */
struct offers_who {
    const char *name;                    /* NULL: of any name */
    const struct coordinator_model *but; /* NULL: of any model */
    clock_us idle_for;                   /* at least */
    bool spare;                          /* only those that no user has asked for */
    bool replicas;                       /* only copies that came with the load, beside the first one */
};
/* The copy of this coordinator that has been idle for longest. NULL: there is none. */
struct copy *offers_oldest(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const struct offers_who *who);
/* A copy of this coordinator that is busy gets no further requests: of the copies that came with the load the newest one, else the one that
 * has been ready for longest, and for longer than models wait for each other. False: there is none. */
bool offers_drain(struct coordinator *c, clock_us now, const struct offers_who *who);
/* If the copy cannot be placed: finds out whether it helps to unload idle models, and has the one unloaded that was idle for longest, by
 * the coordinator that looks after it. If it does not help, copies that came with the load give way, and when the copy has waited for long
 * enough, busy ones do. */
void offers_make_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
/* Has a replica of the copy's model the room of a model that no user has asked for and that has been idle for a while? Then that one is
 * unloaded. */
void offers_make_spare_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
bool offers_shows(const struct record *r, const char *instance, uint64_t epoch, uint32_t stage); /* does its node hold the stage? */
/* Is the copy to be loaded for somebody: was the model loaded by hand, or do requests wait for it? */
bool offers_is_wanted(const struct copy *x, const struct coordinator_view *v);
bool offers_idle(const struct coordinator *c, const struct coordinator_view *v, const char *instance);

#endif
