/* SPDX-License-Identifier: MIT
 * The side of a stage child that its owner sees (holder/stages). */
#ifndef CARAVAN_HOLDER_STAGE_CHILD_PRIV_H
#define CARAVAN_HOLDER_STAGE_CHILD_PRIV_H

#include "holder/stage_child.h"

struct stage_child_owner {
    struct io_loop *loop;
    char *program; /* path of this binary */
    struct stage_child_callbacks cb;
    void *user;
    /* The child is freed now: it is in no list any more. */
    void (*gone)(struct stage_child_owner *owner, const struct stage_child *c);
};

/* owner outlives the child. */
err_code stage_child_start(struct stage_child_owner *owner, const struct stage_order *order, struct stage_child **ret, struct err *e);
/* Kills the process if it still runs. on_exit does not come. */
void stage_child_free(struct stage_child *c);
/* Has on_exit been called, though the process could not be ended yet? */
bool stage_child_is_lost(const struct stage_child *c);
/* Passes a raw socket to the process. False: there is no link to it any more. The caller closes fd. */
bool stage_child_give(struct stage_child *c, int fd);

#endif
