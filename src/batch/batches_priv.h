/* SPDX-License-Identifier: MIT
 * What the files of the service share: batches.c has all batches and what is looked at when, batches_job.c one of them, batches_check.c
 * reads inputs, batches_lines.c asks lines, batches_results.c keeps answers. */
#ifndef CARAVAN_BATCH_BATCHES_PRIV_H
#define CARAVAN_BATCH_BATCHES_PRIV_H

#include "batch/batches.h"
#include "batch/line.h"
#include "gateway/gateway.h"
#include "gateway/keys.h"
#include "io/work.h"

enum { BATCHES_MAX_LIVE = 1000 };

struct batches {
    struct gateway *gateway;
    struct uploads *uploads;
    batches_ask_fn ask;
    void *user;
    struct batch_core *core;
    struct batches_job *jobs;      /* the newest first */
    struct batches_line *lines;    /* in flight */
    struct batches_result *results; /* that are not in the store yet */
    struct io_works *works;
    struct io_timer *timer, *sweep_timer;
    struct io_task task;
    bool stopped;
};

/* A batch that has not come to its end. */
struct batches_job {
    struct batches *service;
    struct batches_job *next, **slot;
    struct batch *batch;           /* the core's */
    struct batch_object object;
    char owner[GATEWAY_OWNER_SIZE];
    int fd;                        /* of its input; -1: not open */
    bool begun;                    /* it is in the store */
    bool resumed;                  /* it was begun before this process */
    struct batch_input *input;     /* checked; owned */
    struct batches_check *check;   /* the input is being read */
    struct batches_leftover *leftover; /* the lines that were not asked are being read */
    struct store_ask *asking, *keeping;
    uint32_t n_unkept;             /* its results that are not in the store yet */
    bool expired;                  /* FINALIZING: its time was over */
};

/* ---- batches_job.c ---- */
void batches_look(struct batches *s); /* in the next turn of the loop: is there anything to ask, or to end? */
/* Takes the object over. */
struct batches_job *batches_job_new(struct batches *s, const char *owner, const struct batch_object *object);
/* Nothing of it may be under way. */
void batches_job_free(struct batches_job *job);
void batches_job_set_state(struct batches_job *job, enum batch_state to);
/* The last state; when the store has it, the job is freed. */
void batches_job_end(struct batches_job *job, enum batch_state to);
void batches_fail(struct batches_job *job, const struct batch_fault *faults, size_t n);
const char *batches_id(const struct batches_job *job);

/* ---- batches_check.c ---- */
/* Reads the input in a thread; then the batch begins, or fails. */
void batches_check_start(struct batches_job *job);
void batches_check_drop(struct batches_job *job);

/* ---- batches_lines.c ---- */
void batches_lines_start(struct batches_job *job, uint32_t line);
/* Gives up all lines in flight of this batch; NULL: of all. */
void batches_lines_drop(struct batches *s, const struct batches_job *job);

/* ---- batches_results.c ---- */
/* Keeps results, a JSON array as store_results_put wants it; freed when it is kept. */
void batches_results_keep(struct batches_job *job, char *json);
/* Those whose keeping failed are tried again. */
void batches_results_again(struct batches *s);
void batches_results_drop(struct batches *s);
/* Gives all lines without a result one that says why they have none. */
void batches_results_leftover(struct batches_job *job);
void batches_results_leftover_drop(struct batches_job *job);

#endif
