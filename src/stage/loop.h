/* SPDX-License-Identifier: MIT
 * The life of a stage child (`caravan stage`, started by the node with the LOCAL link on a descriptor): waits for the LOAD order, opens its
 * slice, joins the ring, computes until it is told to stop, or the node is gone, or the ring breaks. The calling thread is the compute
 * thread, and reads its links itself (poll, with a short adaptive spin before it sleeps). Other threads: one makes the outgoing connection
 * while this one accepts the incoming one, the watch (stage/watch.h) shows signs of life and ends the process if the node dies or the
 * compute thread is stuck, and a head's tokenizer (stage/tokenizer.h) reads long texts.
 *
 * On LOCAL, from the node: LOAD (first), SOCKET (with the descriptor of an incoming ring connection), DRAIN, the memory for parked
 * sequences; to a head also SUBMIT, CANCEL, EVAL, TOKENIZE. To the node: STATE, FAULT, BEAT; from a head also EVENT, LOGITS, TOKENIZED. */
#ifndef CARAVAN_STAGE_LOOP_H
#define CARAVAN_STAGE_LOOP_H

#include "engine/engine.h"
#include "wire/stage.h"

/* Called from time to time while the weights load, with the percentage loaded and the bytes fetched from other nodes. false: stop loading
 * (the node has gone). */
typedef bool (*stage_progress_fn)(void *user, uint32_t percent, const struct stage_fetch *fetch);
/* Opens the slice that the order names. *ret is closed by the loop with its own ops->close. */
typedef err_code (*stage_open_fn)(void *user, const struct stage_order *order, stage_progress_fn progress, void *progress_user,
                                  struct engine *ret, struct err *e);

/* Runs the child's life on local_fd (a connected Unix stream socket; taken over). Returns the exit status: 0 after DRAIN or when the node
 * closed the link, else err_exit_code of the error, which a FAULT has told the node. */
int stage_loop_run(int local_fd, stage_open_fn open, void *user);

#endif
