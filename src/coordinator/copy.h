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

/* A stage of a copy is gone, as its node has reported. */
struct copy_loss {
    uint64_t node;
    uint32_t stage, origin; /* origin: the stage of the ring where the trouble began */
    struct err why;         /* ERR_OK: there is no such report */
};

/* Why does it get no further requests? */
enum copy_drain {
    DRAIN_NOT,
    DRAIN_SCALE, /* the others carry the load */
    DRAIN_ROOM   /* another model needs the room */
};

struct copy {
    const struct coordinator_model *model;
    struct instance *instance;
    struct record_model record;
    enum copy_state state;
    clock_us since;     /* it is in this state */
    const char *leaves; /* why its head was asked to drop it */
    enum stage_unload_how broken; /* how the stages of an epoch that is given up are unloaded: LOST, or CRASHED */
    enum copy_room room;
    clock_us room_since; /* since when it waits for room that others may leave; 0: it does not */
    bool others_have_room; /* it waits for room that other models have, and would give */
    bool yields;           /* another model has just been given room by this one's, and takes it before this one is planned */
    clock_us room_asked; /* when another coordinator was last asked to unload an idle copy for this one; 0: not yet */
    clock_us ready; /* when it last became ready; it may have been lost since */
    clock_us lost;  /* when it stopped being ready; 0: it is ready, or never was */
    clock_us rival; /* since when another node's copy has to stay instead of it; 0: none has */
    clock_us used;  /* when it last had a request, or a client set keep_s */
    clock_us waited; /* when requests last waited for the model; 0: none did */
    char waits[120]; /* waker.h: for which machines it waits; "": for none */
    /* replan.h */
    char better[120];   /* how it would fit better; "": it would not */
    bool better_told;  /* it has been so for a while, and was told */
    clock_us better_since, replan_looked;
    clock_us drained; /* since when a machine of it is to be emptied; 0: none is */
    enum copy_drain drain;
    clock_us drain_until; /* DRAIN_ROOM: unless it is needed again by then, it stays */
    /* scale.h: of a first copy of which there are as many as the load needs */
    clock_us over, under; /* since when there are too few; too many; 0: there are not */
    clock_us scale_looked;
    char note[120]; /* why it came, or why it leaves; "": nobody needs to know */
    bool moves; /* COPY_ASKED: it is to be loaded anew, and does not leave */
    struct copy_loss loss; /* COPY_ASKED: heard before the head's node has answered */
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
/* It gets no further requests, and leaves when it has none; or it gets requests again. why: for its record and the log. */
void copy_drain(struct coordinator *c, struct copy *x, enum copy_drain reason, const char *why);
void copy_undrain(struct coordinator *c, struct copy *x);
/* Asks its head's node to drop it if it has no requests. why: a string literal, for the log. */
void copy_ask(struct coordinator *c, struct copy *x, clock_us now, const char *why);
/* A stage is lost: what is left of the epoch is unloaded, and the copy is planned again. */
void copy_lose(struct coordinator *c, struct copy *x, clock_us now, const struct copy_loss *loss);
/* It was asked, and stays. A stage that was lost meanwhile is lost now. */
void copy_stay(struct coordinator *c, struct copy *x, clock_us now);
/* Nobody wants it: unloads it, now or once its head's node has ended the requests. */
void copy_close(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
/* Unloads its slices and frees it. */
void copy_finish(struct coordinator *c, struct copy *x);

#endif
