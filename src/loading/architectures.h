/* SPDX-License-Identifier: MIT
 * How models are cut whose architecture has no row in tables/quirks.def: a child process finds the row (`caravan probe`), this process is
 * taught it (model_quirks_teach), and it is kept for the next start, by architecture, kinds of layers, and libllama's version. Loop thread
 * only; owned by the node. */
#ifndef CARAVAN_LOADING_ARCHITECTURES_H
#define CARAVAN_LOADING_ARCHITECTURES_H

#include "io/loop.h"
#include "model/layout.h"

/* What architectures uses of the node; all of it outlives it. */
struct architectures_parts {
    struct io_loop *loop;
    const char *program;   /* this binary, for the child */
    const char *state_dir; /* ending in '/'; NULL: nothing is probed */
};
struct architectures; /* opaque */
struct architectures *architectures_create(const struct architectures_parts *parts); /* teaches the rows that were kept */
void architectures_stop(struct architectures *r); /* ends the children: all who wait get a done; nothing is probed any more. NULL is fine */
void architectures_free(struct architectures *r); /* NULL is fine */

/* The process knows now how such a model is cut, or will not. ends: the node ends. */
typedef void (*architectures_done_fn)(void *user, const struct model_layout *l, bool ends);
/* Probes the model at `path`, whose layout this is, unless there is a row for it. done comes from the loop, or at once when there is
 * nothing to wait for. */
void architectures_ask(struct architectures *r, const struct model_layout *l, const char *path, architectures_done_fn done, void *user);

#endif
