/* SPDX-License-Identifier: MIT
 * The inside of the coordinator, shared by coordinator.c (events and rules), copy.c (one copy), offers.c (memory and room) and claims.c
 * (who looks after a model). */
#ifndef CARAVAN_COORDINATOR_COORDINATOR_PRIV_H
#define CARAVAN_COORDINATOR_COORDINATOR_PRIV_H

#include "coordinator/coordinator.h"

enum { COPIES_MAX = RECORD_MAX_MODELS };

/* What other models leave room for. */
enum copy_room { ROOM_UNKNOWN, ROOM_LATER /* once busy models are idle, or gone */, ROOM_NONE };

enum copy_state {
    COPY_WANTED,   /* its instance waits, loads or is ready */
    COPY_ASKED,    /* so; and its head's node has been asked to drop it if it is idle */
    COPY_GIVEN_UP, /* nothing is done for it any more; its message says why */
    COPY_CLOSING,  /* nobody wants it: its head's node ends the requests, then the slices go */
    COPY_STATE_COUNT
};

struct copy {
    const struct coordinator_model *model;
    struct instance *instance;
    struct record_model record;
    enum copy_state state;
    clock_us since;     /* it is in this state */
    const char *leaves; /* why its head was asked to drop it */
    enum copy_room room;
    clock_us ready; /* since when; it may have been lost since */
    clock_us lost;  /* since when it isn't ready any more; 0: it is, or never was */
    clock_us rival; /* since when another node's copy is to stay instead of it; 0: not so */
    clock_us used;  /* when it last had something to do, as far as its keep_s goes */
    /* the slices of an epoch, as their nodes' records show them */
    uint64_t watched;
    bool seen[PLAN_MAX_STAGES];
    clock_us ordered[PLAN_MAX_STAGES];
};

struct coordinator {
    uint64_t self;
    uint32_t tag, count; /* instances so far */
    struct copy **copies;
    size_t n_copies, cap_copies;
    struct orphans orphans;
    struct unloads unloads;
    uint64_t fleet;      /* of the last look for places of more replicas: there is none as long as this hasn't changed */
    clock_us swept;      /* when stray stages were last looked for */
    bool publish;
    struct coordinator_action *actions;
    size_t n_actions, at_action, cap_actions;
};

/* ---- coordinator.c ---- */
void coordinator_act(struct coordinator *c, const struct coordinator_action *a);
struct copy *coordinator_copy(const struct coordinator *c, const char *instance);
/* Can this node send to that one? It can to itself. */
bool coordinator_reaches(const struct coordinator_view *v, uint64_t node);

/* ---- copy.c ---- */
/* first: the copy whose wish this one shares; NULL: it is the first. */
struct copy *copy_create(struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m,
                         const struct copy *first, uint32_t replica);
void copy_free(struct copy *x);
void copy_set_state(struct copy *x, enum copy_state to, clock_us now);
bool copy_is_live(const struct copy *x); /* wanted, or asked whether it is idle */
/* What its instance wants done becomes actions. */
void copy_actions(struct coordinator *c, struct copy *x);
/* The record says how it is now. */
void copy_publish(struct coordinator *c, struct copy *x, clock_us now);
/* Asks its head's node to drop it if it has no requests. why: a string literal, for the log. */
void copy_ask(struct coordinator *c, struct copy *x, clock_us now, const char *why);
/* Nobody wants it. It goes now, or once its head's node has ended the requests. */
void copy_close(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
/* Its slices go, and it is forgotten: x is gone afterwards. */
void copy_finish(struct coordinator *c, struct copy *x);

/* ---- offers.c ---- */
/* What the nodes offer to a copy of the model. x: the copy, NULL: one beside all that there are. *ret has v->n_records places. */
typedef bool (*offers_counts_fn)(const struct coordinator *c, const struct coordinator_view *v, const char *instance);
uint32_t offers_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                     offers_counts_fn counts, struct plan_node *ret);
/* Would a copy fit if only the stages that `counts` names took memory? *ret_stages, if not NULL: in so many stages. */
bool offers_fit(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                offers_counts_fn counts, uint32_t *ret_stages);
/* The copy cannot be placed: finds out whether it helps to unload idle models, and asks the one that was idle for longest to leave. */
void offers_make_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
bool offers_shows(const struct record *r, const char *instance, uint64_t epoch, uint32_t stage); /* that its node holds the stage */
bool offers_idle(const struct coordinator *c, const struct coordinator_view *v, const char *instance);

/* ---- claims.c ---- */
/* Loads models whose coordinator is gone, or tells their heirs. */
void claims_update(struct coordinator *c, clock_us now, const struct coordinator_view *v);
/* Seconds since 1970, for a load that is asked for now: not before the last unload, wherever that was and whatever the clock there says. */
uint32_t claims_now(const struct coordinator *c, const struct coordinator_view *v, const char *name);
/* Another node coordinates the model as well, and this one shall let go of it. */
bool claims_yields(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x);

#endif
