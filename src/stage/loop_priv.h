/* SPDX-License-Identifier: MIT
 * The inside of a stage child's life, shared by loop.c (load, compute, end), join.c (the ring is put together) and head.c
 * (what only the head does). Nobody else includes this. All of it belongs to the compute thread. */
#ifndef CARAVAN_STAGE_LOOP_PRIV_H
#define CARAVAN_STAGE_LOOP_PRIV_H

#include "stage/draft.h"
#include "sched/sched.h"
#include "stage/stage.h"
#include "stage/tokenizer.h"
#include "stage/loop.h"
#include "stage/spin.h"
#include "stage/watch.h"
#include "wire/link.h"

struct stage_loop {
    struct wire_link *local, *in, *out; /* in, out: NULL in a one-stage ring */
    struct io_tls_ctx *tls;
    struct stage_watch *watch;
    struct pulse pulse_in, pulse_out; /* of the ring's links */
    struct stage_order order;
    struct stage_state state;
    struct engine engine;
    bool engine_open;
    uint64_t park_room;         /* bytes for parked sequences, as the node last said */
    struct stage *stage;
    struct sched *sched;        /* the head's */
    struct tokenizer *tokenizer; /* the head's */
    struct draft *draft;        /* NULL: none */
    uint64_t in_flight[FRAME_MAX_SEQ]; /* the head's requests, of the frame that is computed */
    struct stage_out frames;    /* what the stage core says goes out */
    bool draining;              /* told to finish */
    bool node_gone;             /* LOCAL is closed */
    bool computed;              /* a first frame */
    bool fell;                  /* another stage has said why the ring ends: */
    struct stage_fault fall;    /* so */
    bool busy;                  /* the last wait found something at once: what came had to wait for us */
    struct stage_spin spin;
    bool on_battery;            /* as seen last, */
    clock_us power_at;          /* and when to look again */
    struct buf message;         /* of LOCAL frames */
    struct buf piece;
};

/* ---- loop.c ---- */
err_code stage_loop_tell(struct stage_loop *l, uint8_t type, const void *payload, size_t len, struct err *e);
err_code stage_loop_tell_state(struct stage_loop *l, struct err *e);
err_code stage_loop_tell_fault(struct stage_loop *l, const struct stage_fault *fault, struct err *e);
void stage_loop_computes(struct stage_loop *l); /* that is what it does from now on, as far as its watch is to know */
err_code stage_loop_send(struct stage_loop *l, struct err *e); /* l->frames, to the next stage */
/* FAULTs in l->frames: the node of the stage where it happened is told as well as the head. */
err_code stage_loop_tell_own_faults(struct stage_loop *l, struct err *e);
/* What may come on LOCAL in any phase: DRAIN, a node that is gone. *ret_handled: false: something else, in *h and *payload. */
err_code stage_loop_read_local(struct stage_loop *l, bool wait, struct frame_header *h, const uint8_t **payload, int *ret_fd,
                               bool *ret_handled, struct err *e);

/* ---- join.c: connects to the next stage and accepts the previous one. ERR_TIMEOUT says what is missing. ---- */
err_code stage_join(struct stage_loop *l, struct err *e);

/* ---- head.c ---- */
err_code stage_head_create(struct stage_loop *l, stage_open_fn open, void *user, struct err *e);
/* SUBMIT, CANCEL, EVAL. */
err_code stage_head_local(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, struct err *e);
err_code stage_head_ring(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, struct err *e);
/* Carries out actions up to and with one frame. *ret_more: there may be more to do at once. */
err_code stage_head_pump(struct stage_loop *l, bool *ret_more, struct err *e);
/* Takes the texts that are tokens now. */
err_code stage_head_texts(struct stage_loop *l, struct err *e);
/* The ring is broken: every request is told. */
void stage_head_fail(struct stage_loop *l, const struct err *why);
/* An event that is not the scheduler's: a request that never got that far. */
err_code stage_head_refuse(struct stage_loop *l, uint64_t id, const struct err *why, struct err *e);

#endif
