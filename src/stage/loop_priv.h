/* SPDX-License-Identifier: MIT
 * The inside of a stage child's life, shared by loop.c (load, compute, end), join.c (joining the ring) and head.c (the head's part). No
 * other file includes this header. The compute thread owns everything in it. */
#ifndef CARAVAN_STAGE_LOOP_PRIV_H
#define CARAVAN_STAGE_LOOP_PRIV_H

#include "stage/draft.h"
#include "sched/sched.h"
#include "stage/stage.h"
#include "stage/tokenizer.h"
#include "stage/loop.h"
#include "stage/media.h"
#include "stage/prefixes.h"
#include "stage/spin.h"
#include "stage/watch.h"
#include "wire/link.h"

struct stage_loop {
    struct wire_link *local, *in, *out; /* in, out: NULL in a one-stage ring */
    struct io_tls_ctx *tls;
    struct stage_watch *watch;
    struct pulse pulse_in, pulse_out; /* of the ring's links */
    struct wire_traffic told;   /* to the node, of the link to the next stage */
    clock_us told_at;
    struct stage_team told_team; /* likewise, with how many threads the stage computes */
    struct stage_order order;
    struct stage_state state;
    struct engine engine;
    bool engine_open;
    uint64_t park_room;         /* bytes for parked sequences, by the node's last message */
    struct prefixes *prefixes;  /* NULL: nothing is kept on disk */
    struct stage *stage;
    struct sched *sched;        /* the head's */
    struct media *media;        /* the head's */
    struct tokenizer *tokenizer; /* the head's */
    struct draft *draft;        /* NULL: none */
    uint8_t *turns;             /* [n_vocab]: control tokens; the head's, if the scheduler makes marks */
    uint64_t in_flight[FRAME_MAX_SEQ]; /* the head's requests in flight while it computes a frame */
    struct stage_out frames;    /* frames from the stage core that have to be sent */
    bool draining;              /* told to finish */
    bool node_gone;             /* LOCAL is closed */
    bool computed;              /* it has computed a first frame */
    bool fell;                  /* another stage has reported the reason why the ring ends */
    struct stage_fault fall;    /* that report */
    bool busy;                  /* the last wait returned at once: the message had waited for this stage */
    struct stage_spin spin;
    bool on_battery;            /* the result of the last look at the source of power */
    clock_us power_at;          /* the time of the next look */
    struct buf message;         /* of LOCAL frames */
    struct buf piece;
};

/* ---- loop.c ---- */
err_code stage_loop_tell(struct stage_loop *l, uint8_t type, const void *payload, size_t len, struct err *e);
err_code stage_loop_tell_state(struct stage_loop *l, struct err *e);
err_code stage_loop_tell_fault(struct stage_loop *l, const struct stage_fault *fault, struct err *e);
void stage_loop_computes(struct stage_loop *l); /* tells the watch that this thread computes from now on */
err_code stage_loop_send(struct stage_loop *l, struct err *e); /* l->frames, to the next stage */
/* Sends the FAULTs in l->frames to this stage's node too, and not only round the ring to the head. */
err_code stage_loop_tell_own_faults(struct stage_loop *l, struct err *e);
/* Handles the messages that may come on LOCAL in any phase, such as DRAIN and the end of the link. *ret_handled is false for any other
 * message, which is in *h and *payload. */
err_code stage_loop_read_local(struct stage_loop *l, bool wait, struct frame_header *h, const uint8_t **payload, int *ret_fd,
                               bool *ret_handled, struct err *e);

/* Log lines name the request, until log_leave. */
struct log_request stage_loop_enter(const char *name, const char *trace);
void stage_loop_log_open(const struct stage_open *open);

/* ---- join.c: connects to the next stage and accepts the previous one. ERR_TIMEOUT names the missing link. ---- */
err_code stage_join(struct stage_loop *l, struct err *e);

/* ---- head.c ---- */
err_code stage_head_create(struct stage_loop *l, stage_open_fn open, void *user, struct err *e);
/* SUBMIT, CANCEL, EVAL. */
err_code stage_head_local(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, struct err *e);
err_code stage_head_ring(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, struct err *e);
/* Carries out actions up to and with one frame. *ret_more: there may be more to do at once. */
err_code stage_head_pump(struct stage_loop *l, bool *ret_more, struct err *e);
/* Takes the finished texts from the tokenizer. */
err_code stage_head_texts(struct stage_loop *l, struct err *e);
/* The ring is broken: fails every request. */
void stage_head_fail(struct stage_loop *l, const struct err *why);
/* Fails a request that the scheduler never got. */
err_code stage_head_refuse(struct stage_loop *l, uint64_t id, const struct err *why, struct err *e);

#endif
