/* SPDX-License-Identifier: MIT
 * A stage child: a process of this binary (`caravan stage`, LOCAL link on descriptor 3) that holds one slice. Passes frames both ways, sees
 * its exit, and ends it in order (DRAIN, then SIGKILL). Its weights are never in this process. Loop thread only; owned by holder/stages. */
#ifndef CARAVAN_HOLDER_STAGE_CHILD_H
#define CARAVAN_HOLDER_STAGE_CHILD_H

#include "io/loop.h"
#include "wire/frame.h"
#include "wire/stage.h"

struct stage_child; /* valid from stages_start until on_exit has returned */

struct stage_child_callbacks {
    void (*on_state)(void *user, struct stage_child *c, const struct stage_state *s);
    void (*on_team)(void *user); /* stage_child_team has changed; NULL: nobody needs to know */
    /* The stage could not do something; a fatal fault is followed by on_exit. */
    void (*on_fault)(void *user, struct stage_child *c, const struct stage_fault *f);
    /* A frame of another type that a head sends its node (EVENT, LOGITS, TOKENIZED). The payload is valid during the call. */
    void (*on_frame)(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload);
    /* The stage wants a connection to the port of that node. The callee owns reply, over which the descriptor goes; closing it says that
     * the stage is to dial. NULL: stages dial by themselves. */
    void (*on_dial)(void *user, uint64_t node, int reply);
    /* The child is gone; why->code is ERR_OK when it had been told to go. */
    void (*on_exit)(void *user, struct stage_child *c, const struct err *why);
};

/* What the environment of a process that computes here gets besides, as io_child_options has it; constant. */
const char *const *stage_child_env(void);

const struct stage_order *stage_child_order(const struct stage_child *c);
const struct stage_state *stage_child_state(const struct stage_child *c); /* as last told */
uint32_t
stage_child_origin(const struct stage_child *c); /* the stage of its ring where the trouble began that ended it; mostly the child's own */
/* What its link to the next stage has carried, as last told; zeros before, and of a ring of one stage. Borrowed. */
const struct stage_traffic *stage_child_traffic(const struct stage_child *c);
const struct stage_team *stage_child_team(const struct stage_child *c); /* with how many threads it computes; zeros until it is ready */
int stage_child_pid(const struct stage_child *c);
/* ERR_BUSY: the child does not keep up with what was sent to it; more would only take memory. */
err_code stage_child_check_room(const struct stage_child *c, struct err *e);
/* Sends a frame to the child. A child that takes no more is killed (its on_exit says so). */
void stage_child_send(struct stage_child *c, enum frame_type type, const void *payload, size_t len);
/* As stage_child_send, for a request to a head, which is counted. */
void stage_child_ask(struct stage_child *c, enum frame_type type, const void *payload, size_t len);
clock_us stage_child_asked(const struct stage_child *c, uint64_t *ret_count); /* when the last request came, and how many there were */
/* Tells the child how many bytes its parked sequences may take, if that has changed. */
void stage_child_set_room(struct stage_child *c, uint64_t bytes);
/* Ends the child: it finishes its requests if `drain`, and is killed after five seconds at the latest. on_exit follows. */
void stage_child_stop(struct stage_child *c, bool drain);

/* The same for a child whose ring is lost: the child notices that by itself, and tells its requests why before it ends. It is killed
 * after a second. crashed: because another stage crashed. Then a head that is in the middle of a step has its watch say which requests were
 * in flight, and is killed later. */
void stage_child_fall(struct stage_child *c, bool crashed);

#endif
