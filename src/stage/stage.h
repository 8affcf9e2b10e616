/* SPDX-License-Identifier: MIT
 * The core of a stage: takes one frame, computes its slice of it, and returns the frames for the next stage (or, from the tail, back to the
 * head). Sans-I/O over the engine port: no socket, no thread; the caller gives the clock as a function. Owner: the compute thread.
 *
 * When a slice cannot compute a batch, the stage sends a FAULT with the frame's number, and then the COMPUTE frame without its tokens.
 * So the sequence operations still reach every later stage, the tail still answers, and the head knows which requests failed. Marks that
 * the slice has not (ENGINE_OP_BACK) are no failure: a LOST names them before the frame goes on. */
#ifndef CARAVAN_STAGE_STAGE_H
#define CARAVAN_STAGE_STAGE_H

#include "base/clock.h"
#include "engine/engine.h"
#include "wire/result.h"
#include "wire/frame.h"
#include "wire/link.h"
#include "wire/stage.h"

struct stage_config {
    struct engine *engine;   /* borrowed */
    uint32_t stage, n_stage;
    uint64_t epoch;
    uint8_t dtype;           /* of hidden states sent (enum frame_dtype) */
    clock_us (*clock)(void *user);
    clock_us (*cpu_clock)(void *user); /* processor time of the whole process; NULL: the number of threads stays as it is */
    bool (*idle_clock)(void *user,
                       clock_us *ret); /* time that the machine's processors were idle, all together; false: unknown. May be NULL */
    uint32_t threads;        /* the engine's, which may become fewer while the machine is busy (threads.h); 0: they stay */
    void *user;
};

/* Frames to send on the link to the next stage, in order. They point into the stage (and, for frames passed on, into the input). */
enum { STAGE_MAX_OUT = 3, STAGE_MAX_PARTS = 4 };
struct stage_out {
    size_t n;
    struct stage_out_frame {
        struct frame_header header; /* payload_len is set */
        struct wire_part parts[STAGE_MAX_PARTS];
        size_t n_parts;
    } frames[STAGE_MAX_OUT];
};

struct stage; /* opaque */

err_code stage_create(const struct stage_config *config, struct stage **ret, struct err *e); /* ERR_MEMORY, ERR_INVALID */
void stage_free(struct stage *st); /* NULL is fine */
/* The threads that it has chosen to compute with, trials left aside. False: they are those of its load. */
bool stage_team_of(const struct stage *st, struct stage_team *ret);

/* A frame came on the incoming link of a stage other than the head: COMPUTE, SEQ_OPEN, LOST or FAULT. hop_us: how long it travelled;
 * wait_us: how long it waited here. ERR_STALE: another epoch; ERR_PROTOCOL: not a legal frame here (the link is then closed). *ret is
 * valid until the next call. */
err_code stage_receive(struct stage *st, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, uint32_t wait_us,
                       struct stage_out *ret, struct err *e);
/* For the head: computes the first slice of a frame that the scheduler made. rows: as in struct sched_action. */
void stage_begin(struct stage *st, uint32_t number, const struct engine_op *ops, size_t n_ops, const struct engine_token *tokens,
                 const float *const *rows, size_t n_tokens, struct stage_out *ret);
/* The head: a sequence begins. In a one-stage ring this opens the sequence; a failure comes out as a FAULT frame, as it does from other
 * stages. */
void stage_begin_open(struct stage *st, const struct stage_open *open, struct stage_out *ret);

#endif
