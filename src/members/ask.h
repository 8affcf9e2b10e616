/* SPDX-License-Identifier: MIT
 * What nodes say to each other about models that are to be loaded and about their work, in JSON over control links (docs/PROTOCOL.md): ASK,
 * its ANSWER, and BUSY. Values and both directions of their encoding; every limit is checked on the way in. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_ASK_H
#define CARAVAN_MEMBERS_ASK_H

#include "base/json.h"
#include "members/record.h"

struct ask {
    uint64_t id;
    char op[16];       /* "load", "unload", "keep"; or what this version doesn't know */
    char model[128];   /* a name, never a path */
    struct load_wish wish; /* of "load"; of "keep" its keep_s */
};
void ask_encode(const struct ask *a, struct buf *out);
err_code ask_decode(const uint8_t *data, size_t len, struct ask *ret, struct err *e);

/* ret_why->code is ERR_OK when it was done. */
void ask_answer_encode(uint64_t id, const struct err *why, struct buf *out);
err_code ask_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *ret_why, struct err *e);

/* A head's work. Idle times count from the last request, so that they can be compared from node to node without a common clock. */
struct ask_busy {
    char instance[64];
    uint32_t calls;    /* that run or wait */
    uint64_t idle_ms;  /* UINT64_MAX: none came yet */
};
void ask_busy_encode(const struct ask_busy *list, size_t n, struct buf *out);
/* At most RECORD_MAX_STAGES instances; ret has that many places. */
err_code ask_busy_decode(const uint8_t *data, size_t len, struct ask_busy *ret, size_t *ret_n, struct err *e);

#endif
