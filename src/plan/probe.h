/* SPDX-License-Identifier: MIT
 * Throughput of the links between nodes, measured gently: one link at a time, at most 4 MiB, only when no linked node answers a request,
 * every six hours, and kept in a file. Two nodes may have links by several networks: each address of a node is a path, measured by
 * itself. The measuring node asks every linked node whether it is idle. Only if all say yes does it send, and the other end tells how
 * long the second half of the bytes took (in the first half TCP gathers speed). A probe that was too short to measure is repeated with
 * four times the bytes. A sans-I/O core: (now, input) -> actions; no socket, clock or thread. peers/links.c drives it. */
#ifndef CARAVAN_PLAN_PROBE_H
#define CARAVAN_PLAN_PROBE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/field.h"

enum {
    PROBE_MAX_PATHS = 256,
    PROBE_HOST = 64,
    PROBE_CHUNK = 65000,    /* filler of one frame */
    PROBE_LEAST = 128 << 10, /* bytes of a first probe */
    PROBE_MOST = 4 << 20
};

enum probe_ask_kind { PROBE_QUESTION, PROBE_BYTES };
enum probe_answer_kind { PROBE_IDLE, PROBE_BUSY, PROBE_MEASURED };
/* The structs probe_ask and probe_answer, which PROBE and PROBED carry. */
#define MESSAGES_PROBE
#include "base/field_structs.h"
#undef MESSAGES_PROBE
/* Without the filler. */
enum { PROBE_ASK_SIZE = FIELD_SIZE(probe_ask), PROBE_ANSWER_SIZE = FIELD_SIZE(probe_answer) };

/* A way to a node. */
struct probe_path {
    uint64_t node;
    char host[PROBE_HOST]; /* the node's address there */
};

struct probe; /* opaque */
struct probe *probe_create(uint64_t self);
void probe_free(struct probe *p);

enum probe_action_kind {
    PROBE_SEND,  /* send `payload` to `path` (no host: by any), `count` times; the frame is a PROBED if `answer`, else a PROBE */
    PROBE_LEARNT /* the throughput of `path` is new: tell the others, keep it (probe_write) */
};
struct probe_action {
    enum probe_action_kind kind;
    struct probe_path path;
    bool answer;
    uint32_t count, filler; /* filler: zero bytes after the payload */
    uint8_t payload[PROBE_ANSWER_SIZE];
    uint32_t payload_len;
};
bool probe_next_action(struct probe *p, struct probe_action *ret);

/* paths: the links with nodes that know these frames; busy: a request runs through this node. Call it about twice a second. */
void probe_tick(struct probe *p, clock_us now, int64_t wall_s, const struct probe_path *paths, uint32_t n, bool busy);
/* Takes a frame's payload from a node. ERR_PROTOCOL: it is malformed. */
err_code probe_on_probe(struct probe *p, clock_us now, uint64_t from, const uint8_t *payload, size_t len, bool busy, struct err *e);
err_code probe_on_probed(struct probe *p, clock_us now, int64_t wall_s, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

/* Bytes per second from this node by that path; 0: not measured. */
double probe_throughput(const struct probe *p, uint64_t node, const char *host);

/* The figures as JSON, and back (figures of nodes that were away for a month are dropped). ERR_FORMAT, ERR_INVALID, ERR_LIMIT. */
void probe_write(const struct probe *p, struct buf *out);
err_code probe_read(struct probe *p, int64_t wall_s, const char *text, size_t len, struct err *e);

#endif
