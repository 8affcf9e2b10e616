/* SPDX-License-Identifier: MIT
 * The watch of a stage child: a thread that does not compute, and that sends messages for the process when the compute thread cannot.
 * - Once a beat it says on LOCAL and on the ring's links that this process lives.
 * - It checks that the compute thread makes progress (base/pulse.h), and ends the process when the thread is stuck.
 * - When the process crashes (crash.h), or the watch ends it as stuck, it sends the last words: every request that may be the cause fails
 *   with ERR_CRASH, and the node and the neighbouring stages get the reason.
 * - It ends the process at once when the node is gone: no orphan is left, even during a long computation.
 * Owner: the compute thread, which calls everything here but stage_watch_expose_text. Only one watch in a process learns of crashes. */
#ifndef CARAVAN_STAGE_WATCH_H
#define CARAVAN_STAGE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pulse.h"
#include "wire/link.h"

/* The compute thread's activity. */
enum stage_doing {
    STAGE_WAITS,    /* waits for others: the watch expects no progress */
    STAGE_LOADS,
    STAGE_READS,    /* turns a text into tokens */
    STAGE_BEGINS,   /* computes its first batch */
    STAGE_COMPUTES,
    STAGE_DOING_COUNT
};
/* Beats without progress after which the watch takes the activity for stuck; longest: the most beats that a step of it has taken so far. */
uint32_t stage_patience(enum stage_doing doing, uint32_t longest);

struct stage_watch;

/* local is borrowed until stage_watch_stop. */
err_code stage_watch_start(struct wire_link *local, struct stage_watch **ret, struct err *e);
void stage_watch_stop(struct stage_watch *w); /* NULL is fine */
/* The order has come. */
void stage_watch_order(struct stage_watch *w, uint32_t stage, uint64_t epoch, uint32_t beat_ms);
void stage_watch_doing(struct stage_watch *w, enum stage_doing doing);
/* The ring is joined. Call with NULL, NULL before the links are closed. */
void stage_watch_links(struct stage_watch *w, struct wire_link *in, struct wire_link *out);
/* The head: the request whose text a thread turns into tokens; NULL: none. The tokenizer's thread calls this. If the process crashes, that
 * request may be the reason. */
void stage_watch_expose_text(struct stage_watch *w, const uint64_t *id);
/* The head: the requests of the next step. If the process crashes, they may be the reason. At most FRAME_MAX_SEQ. */
void stage_watch_expose(struct stage_watch *w, const uint64_t *ids, size_t n);

#endif
