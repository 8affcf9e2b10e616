/* SPDX-License-Identifier: MIT
 * The state of the coordinator, for the files of this folder: its copies, what it remembers, and the actions that wait to be taken. */
#ifndef CARAVAN_COORDINATOR_STATE_H
#define CARAVAN_COORDINATOR_STATE_H

#include "coordinator/view.h"

struct copy;

/* A machine that was woken, and has not come yet (coordinator/waker). */
struct coordinator_woken {
    uint64_t node;
    clock_us since, sent; /* the attempt began; a packet was last sent */
    uint32_t attempts;
};

struct coordinator {
    uint64_t self;
    uint32_t tag, count; /* instances so far */
    struct copy **copies;
    size_t n_copies, cap_copies;
    struct orphans orphans;
    struct unloads unloads;
    struct coordinator_tuning tuning;
    clock_us now;        /* of the event that is being handled */
    clock_us gives_until; /* until then no replica is loaded: another coordinator was given room */
    clock_us gave;       /* when a copy last left for another model; 0: never */
    clock_us swept;      /* when stray stages were last looked for */
    struct coordinator_woken woken[COORDINATOR_MAX_SLEEPERS];
    uint32_t n_woken;
    bool publish;
    struct coordinator_action *actions;
    size_t n_actions, at_action, cap_actions;
};

/* Appends an action. */
void coordinator_act(struct coordinator *c, const struct coordinator_action *a);

#endif
