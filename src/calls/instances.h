/* SPDX-License-Identifier: MIT
 * The loaded copies of models in the cluster, as this node knows them: its own from its coordinator core, the others from records. An
 * instance whose coordinator is out of reach counts too, since it can be asked if its head is in reach. A value; loop thread only. */
#ifndef CARAVAN_CALLS_INSTANCES_H
#define CARAVAN_CALLS_INSTANCES_H

#include "coordinator/coordinator.h"
#include "peers/records.h"

struct instances {
    uint64_t self; /* this node */
    const struct coordinator *core;
    const struct records *records;
};

size_t instances_nodes(const struct instances *s);
/* The k-th instance of the i-th node: 0 is this node, suspects come last. NULL: the node has no more. */
const struct record_model *instances_get(const struct instances *s, size_t i, size_t k);
/* Can it be asked now: is it ready, not leaving, and its head on a node in reach? */
bool instances_reaches(const struct instances *s, const struct record_model *m);
/* Is there an instance of this model that can be asked now? */
bool instances_ready(const struct instances *s, const char *name);
/* Does any node coordinate this instance? */
bool instances_has(const struct instances *s, const char *instance);
/* The instance of this model that can answer soonest; NULL: there is none. */
const struct record_model *instances_best(const struct instances *s, const char *name);
/* The chat template of this model: of several copies only one carries it. NULL: none does. */
const char *instances_template(const struct instances *s, const char *name);

#endif
