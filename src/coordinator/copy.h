/* SPDX-License-Identifier: MIT
 * One copy of a model: its life, and how it leaves. For the files of this folder. */
#ifndef CARAVAN_COORDINATOR_COPY_H
#define CARAVAN_COORDINATOR_COPY_H

#include "coordinator/state.h"

/* Do other models leave room for it? */
enum copy_room {
    ROOM_UNKNOWN,
    ROOM_LATER /* once busy models are idle or gone, or it is known that nodes can connect to each other */,
    ROOM_NONE
};

enum copy_state {
    COPY_WANTED,   /* its instance waits, loads or is ready */
    COPY_ASKED,    /* the same, and its head's node has been asked to drop it if it is idle */
    COPY_GIVEN_UP, /* its load has failed and is not tried again; its message says why */
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
    clock_us room_asked; /* when another coordinator was last asked to unload an idle copy for this one; 0: not yet */
    clock_us ready; /* when it last became ready; it may have been lost since */
    clock_us lost;  /* when it stopped being ready; 0: it is ready, or never was */
    clock_us rival; /* since when another node's copy has to stay instead of it; 0: none has */
    clock_us used;  /* when it last had a request, or a client set keep_s */
    /* replan.h */
    char better[120];   /* how it would fit better; "": it would not */
    bool better_told;  /* it has been so for a while, and was told */
    clock_us better_since, replan_looked;
    bool moves; /* COPY_ASKED: it is to be loaded anew, and does not leave */
    /* the slices of the epoch `watched`, as their nodes' records show them */
    uint64_t watched;
    bool seen[PLAN_MAX_STAGES];
    clock_us ordered[PLAN_MAX_STAGES];
};

/* A new copy among those of c. first: the copy whose wish this one shares; NULL: it is the first. asked: seconds since 1970 when the model
 * was asked for, unless its wish says so. */
struct copy *copy_create(struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m,
                         const struct copy *first, uint32_t replica, uint32_t asked);
/* The copy of this instance; NULL: there is none. */
struct copy *copy_find(const struct coordinator *c, const char *instance);
void copy_free(struct copy *x);
void copy_set_state(struct copy *x, enum copy_state to, clock_us now);
bool copy_is_live(const struct copy *x); /* wanted, or asked whether it is idle */
/* Turns the actions of its instance into actions of the coordinator. */
void copy_actions(struct coordinator *c, struct copy *x);
/* Brings its record up to date. */
void copy_publish(struct coordinator *c, struct copy *x, clock_us now);
/* Asks its head's node to drop it if it has no requests. why: a string literal, for the log. */
void copy_ask(struct coordinator *c, struct copy *x, clock_us now, const char *why);
/* Nobody wants it: unloads it, now or once its head's node has ended the requests. */
void copy_close(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
/* Unloads its slices and frees it. */
void copy_finish(struct coordinator *c, struct copy *x);

#endif
