/* SPDX-License-Identifier: MIT
 * The JSON messages between nodes and stage children (tables/messages.def): LOAD, STATE, UNLOAD, FAULT and SEQ_OPEN. FAULT and SEQ_OPEN
 * also cross the ring. Values and both directions of their encoding. No I/O, any thread. */
#ifndef CARAVAN_WIRE_STAGE_H
#define CARAVAN_WIRE_STAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/engine.h"
#include "wire/pass.h"

enum { STAGE_KEY_SIZE = 32, STAGE_SPIN_US = 4000, STAGE_MAX_DRAFT = 32 /* guesses that may travel with one token */ };

enum stage_phase { STAGE_LOADING, STAGE_CONNECTING, STAGE_READY, STAGE_DRAINING, STAGE_PHASE_COUNT };
const char *stage_phase_name(enum stage_phase p);

/* How the requests of a slice end when the slice is dropped. */
enum stage_unload_how {
    STAGE_UNLOAD_LOST,     /* the epoch is over: they end with UNAVAILABLE, and may go on in another epoch */
    STAGE_UNLOAD_IF_IDLE,  /* the head's node drops the slice if there are none; its answer is a STATE that failed: CANCELLED, or BUSY */
    STAGE_UNLOAD_CRASHED, /* as LOST, because a stage of the epoch crashed: those in flight end with CRASH, since each may be the cause */
    STAGE_UNLOAD_FOR_GOOD, /* the model is unloaded: they end with CANCELLED; after that a STATE that failed with CANCELLED comes */
    STAGE_UNLOAD_COUNT
};

/* The structs stage_options, stage_order (LOAD), stage_fetch, stage_state and stage_report (STATE), stage_fault, stage_lost, stage_open and
 * stage_unload. */
#define MESSAGES_STAGE
#include "base/field_structs.h"
#undef MESSAGES_STAGE

void stage_order_init(struct stage_order *o); /* the defaults */
/* The model's adapters. */
void stage_order_adapters(struct stage_order *o, const struct model_adapter *list, uint32_t n);
void stage_order_encode(const struct stage_order *o, struct buf *out);
err_code stage_order_decode(const uint8_t *data, size_t len, struct stage_order *ret, struct err *e);

void stage_state_encode(const struct stage_state *s, struct buf *out);
err_code stage_state_decode(const uint8_t *data, size_t len, struct stage_state *ret, struct err *e);

/* A stage's state, as its node reports it to the coordinator. */
void stage_report_encode(const struct stage_report *r, struct buf *out);
err_code stage_report_decode(const uint8_t *data, size_t len, struct stage_report *ret, struct err *e);

/* FAULT: a stage failed to do something. On the ring a fatal FAULT with ERR_CANCELLED means that the head has been drained, and the ring
 * ends in order. At most 4 KiB. */
void stage_fault_encode(const struct stage_fault *f, struct buf *out);
err_code stage_fault_decode(const uint8_t *data, size_t len, struct stage_fault *ret, struct err *e);

/* LOST: the keys of marks and stored sequences (engine/engine.h), at most FRAME_MAX_LOST. key: the i-th of a decoded message,
 * which borrows the payload. */
void stage_lost_encode(const uint64_t *keys, size_t n, struct buf *out);
err_code stage_lost_decode(const uint8_t *data, size_t len, struct stage_lost *ret, struct err *e);
uint64_t stage_lost_key(const struct stage_lost *l, size_t i);

/* SEQ_OPEN: the sampling parameters of a sequence, which a decoded message owns (engine_sampling_done). */
void stage_open_encode(const struct stage_open *o, struct buf *out);
err_code stage_open_decode(const uint8_t *data, size_t len, struct stage_open *ret, struct err *e);

void stage_unload_encode(const struct stage_unload *u, struct buf *out);
err_code stage_unload_decode(const uint8_t *data, size_t len, struct stage_unload *ret, struct err *e);

#endif
