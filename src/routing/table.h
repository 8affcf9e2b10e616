/* SPDX-License-Identifier: MIT
 * The routes file: which models of the cluster, and which upstreams, a name stands for. JSON; comments, and commas before a closing
 * bracket, are allowed:
 *   {"upstreams": {NAME: {...}}, "models": {ALIAS: {"targets": [{"model": "qwen3"}, {"upstream": NAME, "model": "x"}], ...}}}
 * A table never changes after it has been read, so any thread may read it. It is counted: each owner has called routing_table_keep, and
 * calls routing_table_drop. Pure: it reads no file and knows no cluster. docs/ROUTES.md has the whole form. */
#ifndef CARAVAN_ROUTING_TABLE_H
#define CARAVAN_ROUTING_TABLE_H

#include "base/json.h"
#include "routing/upstream.h"

enum {
    ROUTING_MAX_FILE = 4 << 20,
    ROUTING_MAX_NAME = 256,
    ROUTING_MAX_TARGETS = 16,  /* of one alias */
    ROUTING_MAX_ALIASES = 1024,
    ROUTING_MAX_UPSTREAMS = 64,
    ROUTING_MAX_WEIGHT = 1000 * 1000,
    ROUTING_MAX_PRIORITY = 100,
};

/* Why a request leaves a target for the next one. */
enum routing_reason {
    ROUTING_ABSENT,            /* the model isn't loaded, or isn't there at all */
    ROUTING_FAILED,            /* it was asked, and failed before the first byte of the answer */
    ROUTING_FULL,              /* its queue is full, or the upstream said that we ask too much */
    ROUTING_WAIT,              /* the request would wait longer than wait_s of the next target */
    ROUTING_REASONS
};
const char *routing_reason_name(enum routing_reason why); /* "absent" */

struct routing_target {
    const char *model;
    const struct upstream *upstream; /* NULL: a model of the cluster */
    const char *same; /* an upstream's: the model of the cluster that it serves too, and whose answers it continues; NULL: none */
    uint32_t weight; /* among the targets beside it that have one; 0: it has none */
    uint32_t when; /* the reasons (1 << reason) for which it is asked after another target */
    uint32_t wait_s; /* ROUTING_WAIT: the longest wait before it */
};

/* What is done when none of the targets is loaded. */
enum routing_on_absent {
    ROUTING_ABSENT_WAIT /* the model is loaded and waited for */,
    ROUTING_ABSENT_REFUSE /* it is loaded; 503 until then */
};

struct routing_alias {
    const char *name;
    struct routing_target *targets; /* owned */
    size_t n_targets; /* at least 1 */
    yyjson_val *set, *defaults; /* fields of the request: put there, or put there if missing; NULL: none */
    yyjson_val *strip; /* names of fields that are removed; NULL: none */
    const char *system; /* text before the chat; NULL: none */
    int32_t priority; /* of its requests: 0 is usual, a higher one goes first */
    bool pinned; /* its models of the cluster are loaded at once, and stay */
    bool no_cloud; /* no upstream is ever asked */
    enum routing_on_absent on_absent;
};

struct routing_table; /* opaque */

/* Reads the text of a routes file. ERR_FORMAT, ERR_INVALID, ERR_LIMIT: the error names the line and the cause, and has the field
 * ("models.fast.targets[0].when"). *ret has one owner: the caller. */
err_code routing_table_parse(const char *text, size_t len, struct routing_table **ret, struct err *e);
struct routing_table *routing_table_keep(struct routing_table *t); /* one owner more; NULL stays NULL */
void routing_table_drop(struct routing_table *t); /* one owner less; the last one frees it. NULL is fine */

/* NULL: the name is no alias. ":latest" at the end of a name, as clients of Ollama write it, makes no difference. A table that is NULL has
 * no aliases. */
const struct routing_alias *routing_table_find(const struct routing_table *t, const char *name);
/* The i-th alias and the i-th upstream; NULL: there are no more. */
const struct routing_alias *routing_table_alias(const struct routing_table *t, size_t i);
const struct upstream *routing_table_upstream(const struct routing_table *t, size_t i);
yyjson_val *routing_table_root(const struct routing_table *t); /* the file as JSON; NULL: there is no table */

/* The order in which a request asks the targets: n_targets numbers of targets. Where targets with a weight stand next to each other, the
 * number `draw` chooses which of them comes first, by weight. Any number will do, and the same number gives the same order. */
void routing_order(const struct routing_alias *a, uint64_t draw, uint8_t ret[ROUTING_MAX_TARGETS]);
/* The next target for a request that leaves the target order[at] for this reason; n_targets: there is none. */
size_t routing_next(const struct routing_alias *a, const uint8_t *order, size_t at, enum routing_reason why, bool cloud);
/* The longest wait at order[at] before a later target is asked instead, in seconds; 0: any. */
uint32_t routing_wait_limit(const struct routing_alias *a, const uint8_t *order, size_t at, bool cloud);

/* Do the two serve the same model? They do if they have it under the same name, or one says so of an upstream. */
bool routing_is_same(const struct routing_target *a, const struct routing_target *b);

/* The request as the alias changes it: a new document (yyjson_doc_free). NULL: the alias changes nothing. root: an object. */
yyjson_doc *routing_apply(const struct routing_alias *a, yyjson_val *root);

#endif
