/* SPDX-License-Identifier: MIT
 * The watch of a stage child: a thread that computes nothing, and speaks for the process when its compute thread can't.
 * - Once a beat it says on LOCAL and on the ring's links that this process lives.
 * - It sees whether the compute thread gets on with what it does (base/pulse.h), and ends the process when it will never be done.
 * - When the process crashes (crash.h), or is ended so, it says the last words: every request that may be the cause fails with
 *   ERR_CRASH, the node and the stages beside this one are told the reason.
 * - It ends the process at once when the node is gone: no orphan is left, even in the middle of a long computation.
 * Owner: the compute thread, which calls everything here but stage_watch_expose_text. One watch a process hears of crashes. */
#ifndef CARAVAN_STAGE_WATCH_H
#define CARAVAN_STAGE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pulse.h"
#include "wire/link.h"

/* What the compute thread does. */
enum stage_doing {
    STAGE_WAITS,    /* for others: nothing is expected of it */
    STAGE_LOADS,
    STAGE_READS,    /* turns a text into tokens */
    STAGE_BEGINS,   /* computes its first batch */
    STAGE_COMPUTES,
    STAGE_DOING_COUNT
};
/* Beats without progress after which it will never be done with that; longest: beats that this took at most until now. */
uint32_t stage_patience(enum stage_doing doing, uint32_t longest);

struct stage_watch;

/* local is borrowed until stage_watch_stop. */
err_code stage_watch_start(struct wire_link *local, struct stage_watch **ret, struct err *e);
void stage_watch_stop(struct stage_watch *w); /* NULL is fine */
/* What the order says of this stage. */
void stage_watch_order(struct stage_watch *w, uint32_t stage, uint64_t epoch, uint32_t beat_ms);
void stage_watch_doing(struct stage_watch *w, enum stage_doing doing);
/* The ring stands; NULL, NULL before the links are closed. */
void stage_watch_links(struct stage_watch *w, struct wire_link *in, struct wire_link *out);
/* The head: the request whose text a thread turns into tokens; NULL: none. Called by that thread. If it ends the process, it may be the
 * reason. */
void stage_watch_expose_text(struct stage_watch *w, const uint64_t *id);
/* The head: the requests that the next step is for. If it ends the process, they may be the reason. At most FRAME_MAX_SEQ. */
void stage_watch_expose(struct stage_watch *w, const uint64_t *ids, size_t n);

#endif
