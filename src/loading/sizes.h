/* SPDX-License-Identifier: MIT
 * What slices of models take on this machine, by libllama's own word (plan/needs.h): a child process asks it about each new model and way
 * to load it (`caravan need`; the node itself never starts ggml), and the answers are kept for the next start. Loop thread only; owned by
 * the node. */
#ifndef CARAVAN_LOADING_SIZES_H
#define CARAVAN_LOADING_SIZES_H

#include "io/loop.h"
#include "plan/needs.h"

enum { SIZES_MAX = 128 }; /* answers that are kept, the newest */

/* What sizes uses of the node; all of it outlives it. */
struct sizes_parts {
    struct io_loop *loop;
    const char *program;   /* this binary, for the child */
    const char *state_dir; /* ending in '/'; NULL: nothing is measured */
};
struct sizes; /* opaque */
struct sizes *sizes_create(const struct sizes_parts *parts);
void sizes_stop(struct sizes *s); /* ends the children: all who wait get a done without a key; nothing is measured any more. NULL is fine */
void sizes_free(struct sizes *s); /* NULL is fine */

/* By the key of needs_key; NULL: not known. Valid until the next call of sizes_ask or the next answer. */
const struct needs *sizes_find(const struct sizes *s, const char *key);
/* The sizes of this key are known now, or will not be (n is NULL). key NULL: the node ends. */
typedef void (*sizes_done_fn)(void *user, const char *key, const struct needs *n);
/* Measures the model at `path`, loaded in this way, unless that is known. done comes from the loop, or at once when there is nothing to
 * wait for. */
void sizes_ask(struct sizes *s, const char *key, const char *path, const struct engine_load *load, sizes_done_fn done, void *user);

#endif
