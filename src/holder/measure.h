/* SPDX-License-Identifier: MIT
 * This machine's profile: what was kept from an earlier start, at once, and what a child process measures now (the node itself never loads
 * ggml's backends). Loop thread only; owned by the node. */
#ifndef CARAVAN_HOLDER_MEASURE_H
#define CARAVAN_HOLDER_MEASURE_H

#include "members/record.h"
#include "peers/news.h"

/* What measure uses of the node; all of it outlives it. */
struct measure_parts {
    struct io_loop *loop;
    const char *program;    /* this binary, for the child */
    const char *path;       /* file of the measurements; NULL: the machine is not measured */
    const char *models_dir; /* on the disk that is measured; NULL: none */
    struct engine_threads threads; /* that compute here, as the user has chosen them */
    int32_t n_gpu_layers;   /* as engine_load has it: 0, GPUs here serve no stages */
    int32_t n_cpu_moe;      /* as engine_load has it */
    uint64_t moe_cache;     /* bytes of each GPU that are left for copies of experts */
    const char *more_backends; /* folder of further backends; NULL: none */
    const char *devices;    /* those that may be used, as engine_load has them; NULL: all that help */
    uint64_t gpu_memory;    /* the most that each GPU offers; 0: what is free there, less a part */
    clock_us most;          /* a measurement that takes longer is given up; 0: a quarter of an hour */
    bool memory_given;      /* the user has said how much memory is offered */
    struct news *news;
};
struct measure; /* opaque; the child computes as stages do (stage_child_env) */
struct measure *measure_create(const struct measure_parts *parts);
void measure_free(struct measure *m); /* ends the child; NULL is fine */

/* Reads the kept profile, and starts to measure. */
void measure_start(struct measure *m);
/* A stage here has failed: if GPUs are used, measures again which of them compute. */
void measure_doubt(struct measure *m);
/* Measures once more, in a quiet moment, where other work disturbed the last measurement. busy: requests run here. Gives up a measurement
 * that takes too long, as with a driver that never answers. */
void measure_tick(struct measure *m, bool busy);
bool measure_runs(const struct measure *m);
/* Nothing is known of this machine yet, and it may have a GPU: what is loaded now would not be placed there. For two minutes at most. */
bool measure_is_first(const struct measure *m);
/* Without devices until something has been measured. */
const struct profile *measure_profile(const struct measure *m);
/* The profile as others are to see it, and the memory that follows from it. */
void measure_record(const struct measure *m, struct record *r);

#endif
