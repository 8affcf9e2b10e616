/* SPDX-License-Identifier: MIT
 * Models whose coordinator is gone, as one node remembers them, and who loads them again. The heir of a model is the live node with the
 * smallest id that has its file: it loads the model as it was asked for. Nodes learn of a loss at different times, so every node remembers,
 * and tells an heir that has not noticed. A model that was loaded for a request only waits for the next request. A core: it takes the time
 * and what the node sees, and says what to do; it owns no socket or clock. Any thread, one at a time. */
#ifndef CARAVAN_MEMBERS_ORPHANS_H
#define CARAVAN_MEMBERS_ORPHANS_H

#include "base/clock.h"
#include "members/unloads.h"
#include "members/wish.h"
#include "model/card.h"

enum { ORPHANS_MAX = 64 };

struct orphan {
    char name[MODEL_NAME_SIZE];
    char path[1024];    /* its file on this machine; "": found by its name */
    struct load_wish wish;
    uint64_t node;      /* that coordinated it */
    char node_name[64]; /* for people; "": not known */
    clock_us since;
    clock_us from;      /* it is not loaded before: its node may come back with it */
    clock_us asked;     /* its heir has been told; 0: not */
};
struct orphans {
    struct orphan list[ORPHANS_MAX];
    uint32_t n;
};

/* Remembers a model, in place of an earlier entry of it; the oldest entry makes room. WISH_PINNED is dropped: it belongs to a command
 * line. */
void orphans_add(struct orphans *o, const struct orphan *one);
const struct orphan *orphans_find(const struct orphans *o, const char *name);
void orphans_drop(struct orphans *o, const char *name); /* it need not be there */

/* For the file in which a node keeps the models that it coordinates from one start to the next. Reading: ERR_FORMAT, ERR_INVALID,
 * ERR_LIMIT. */
void orphans_write(const struct orphans *o, const struct unloads *u, struct buf *out);
err_code orphans_read(const char *text, size_t len, struct orphans *o, struct unloads *u, struct err *e);
/* What the node sees of a model. */
struct orphan_view {
    bool claimed; /* a live node coordinates it, linked or not */
    uint32_t unloaded; /* when somebody last had it unloaded, as far as live nodes know; 0: never */
    uint64_t heir; /* 0: no live node has its file */
};
typedef struct orphan_view (*orphan_view_fn)(void *user, const char *name);

enum orphan_act {
    ORPHAN_NOTHING, /* nothing is to be done now for any of them */
    ORPHAN_LOAD, /* load it here */
    ORPHAN_TELL /* ask `heir` to load it */
};
struct orphan_action {
    enum orphan_act act;
    uint64_t heir;
    struct orphan orphan; /* a copy: it stays in the list until somebody coordinates it */
};
/* Forgets the models that are looked after again, and those that nobody has wanted for long. Then gives the next thing to do, each model at
 * most once in a while; ORPHAN_NOTHING: no more. */
enum orphan_act orphans_next(struct orphans *o, clock_us now, uint64_t self, orphan_view_fn view, void *user, struct orphan_action *ret);

#endif
