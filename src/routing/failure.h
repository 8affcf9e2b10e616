/* SPDX-License-Identifier: MIT
 * Classes of failures (tables/failures.def): does a failure speak against the place where it happened, and may the request try another one?
 * Pure values, any thread. */
#ifndef CARAVAN_ROUTING_FAILURE_H
#define CARAVAN_ROUTING_FAILURE_H

#include "base/err.h"
#include "routing/table.h"

enum failure_id {
#define FAILURE_CLASS(id, name, counts, moves, reason) FAILURE_##id,
#include "../../tables/failures.def"
#undef FAILURE_CLASS
    FAILURE_IDS
};

struct failure {
    enum failure_id id;
    const char *name;
    bool counts;               /* the place's breaker (breaker.h) counts it */
    bool moves;                /* before the first byte the request may go to a target that is asked for `reason` */
    enum routing_reason reason;
};

/* The class of an error of a model of the cluster or of the gateway; the class of an upstream's HTTP status. Never NULL. */
const struct failure *failure_of_error(err_code code);
const struct failure *failure_of_status(int status);

#endif
