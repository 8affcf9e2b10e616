/* SPDX-License-Identifier: MIT
 * What a node and its stage child tell each other in JSON: the LOAD order, the STATE of the child, FAULTs (which also travel on the ring),
 * and what comes with a SOCKET. Values and both directions of their encoding. No I/O, any thread. */
#ifndef CARAVAN_WIRE_STAGE_MSG_H
#define CARAVAN_WIRE_STAGE_MSG_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/engine.h"
#include "wire/pass.h"

enum { STAGE_KEY_SIZE = 32, STAGE_SPIN_US = 4000, STAGE_MAX_DRAFT = 32 /* guesses that may travel with one token */ };

/* LOAD: hold this slice, and take this place in this ring. */
struct stage_order {
    char instance[64];
    uint64_t epoch;
    char model[80];             /* content hash of the GGUF's header */
    char path[1024];            /* where the weights are: for stage_open_fn */
    uint32_t first, end;        /* layers [first, end) */
    uint32_t stage, n_stage;
    uint64_t need;              /* bytes of memory, as planned; 0: not known */
    bool forced;                /* cut even where tables/quirks.def says not to: for verify --force */
    struct engine_load load;
    uint8_t key[STAGE_KEY_SIZE];/* of the ring's links */
    char next_host[256];        /* the next stage's node ("" in a one-stage ring) */
    uint16_t next_port;
    uint64_t next_node;         /* its node's id (16 hex digits in JSON): whoever starts the stage looks the address up */
    uint64_t prev_node;         /* the node of the previous stage; both must prove that they are those */
    struct wire_pass pass;      /* what this stage proves its own node with: made by the node that holds it, on LOCAL only */
    uint64_t self_node;         /* the node that holds the stage */
    uint64_t source_node;       /* the node that gave the order, and has the weights if they are not at `path`; its address: */
    char source_host[256];      /* "" : only local files */
    uint16_t source_port;
    char cache[512];            /* folder for weights fetched from other nodes */
    uint64_t cache_limit;       /* bytes that they may take there; 0: what the disk has */
    uint8_t dtype;              /* hidden states on the wire: enum frame_dtype; "f32" "f16" "bf16" "q8_0" in JSON */
    uint32_t spin_us;           /* longest spinning before the stage sleeps; 0: none */
    uint32_t connect_timeout_ms;/* until the whole ring stands */
    uint32_t beat_ms;           /* by which every other wait is bounded: wire/bounds.h */
    uint32_t n_queue;           /* head: requests that may wait */
    uint32_t n_credit;          /* head: frames in flight; 0: the policy's choice */
    uint32_t latency_ms;        /* head: a prompt may make those who decode wait so long for a token */
    uint32_t prefix_cache;      /* head: 1: finished sequences are kept for requests that begin the same way; 0: not */
    uint32_t n_draft;           /* head: tokens guessed ahead at most; 0: no speculation */
    uint32_t draft_always;      /* head: 1: that many, whether they pay or not */
    char draft[1024];           /* head: GGUF of a small model that guesses; "": none */
};
/* The server name of the ring link into stage `stage` of this ring: "ring-<instance>-<epoch, 16 hex digits>-<stage>.caravan". */
void stage_order_name(const struct stage_order *o, uint32_t stage, char *ret, size_t size);
void stage_order_init(struct stage_order *o); /* defaults: one stage, spin 4 ms, 60 s, beat 1 s, 256 waiting, prefixes kept, 200 ms */
void stage_order_encode(const struct stage_order *o, struct buf *out);
err_code stage_order_decode(const uint8_t *data, size_t len, struct stage_order *ret, struct err *e);

/* STATE: where the child stands. */
enum stage_phase { STAGE_LOADING, STAGE_CONNECTING, STAGE_READY, STAGE_DRAINING, STAGE_PHASE_COUNT };
const char *stage_phase_name(enum stage_phase p);
/* Weights that come from other nodes. */
struct stage_fetch {
    uint64_t done, all;         /* bytes; all 0: nothing has to come */
    uint64_t rate;              /* bytes a second, lately */
};
struct stage_state {
    enum stage_phase phase;
    uint32_t progress;          /* percent, while loading */
    struct stage_fetch fetch;   /* while loading */
    struct engine_info info;    /* from CONNECTING on */
};
void stage_state_encode(const struct stage_state *s, struct buf *out);
err_code stage_state_decode(const uint8_t *data, size_t len, struct stage_state *ret, struct err *e);

/* FAULT: something could not be done. `frame` and `seq` are -1 when it concerns no single frame or sequence; fatal: the child ends. On the
 * ring a fatal one with ERR_CANCELLED says that the head has been drained: the ring ends in order. */
struct stage_fault {
    struct err err;
    uint32_t stage;
    int64_t frame;
    int64_t seq, generation;
    bool fatal;
};
void stage_fault_encode(const struct stage_fault *f, struct buf *out); /* at most 4 KiB */
err_code stage_fault_decode(const uint8_t *data, size_t len, struct stage_fault *ret, struct err *e);

/* SEQ_OPEN: how a sequence is sampled. */
void stage_open_encode(uint32_t seq, uint32_t generation, const struct engine_sampling *sampling, struct buf *out);
err_code stage_open_decode(const uint8_t *data, size_t len, uint32_t *ret_seq, uint32_t *ret_generation,
                           struct engine_sampling *ret_sampling, struct err *e);

#endif
