/* SPDX-License-Identifier: MIT
 * How long the stages take for frames of each size, by the traces that come back, and the time of a round of the ring. Times are kept by
 * size, not fitted to a line: a batch of 4 may take no longer than one of 3, and one of 1 as long as one of 2. Where one size's
 * time changes, those of the others change in proportion: what slows one frame down slows all, and some sizes are measured rarely.
 * Frames of decode tokens and frames with pieces of prompts are kept apart, since the tail computes logits for every decode token.
 * Sans-I/O; owner: the scheduler. */
#ifndef CARAVAN_SCHED_TIME_H
#define CARAVAN_SCHED_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/compute.h"

enum { SCHED_TIME_STAGES = 64, SCHED_TIME_SIZES = 28 };
enum sched_time_kind { SCHED_TIME_DECODE, SCHED_TIME_PROMPT, SCHED_TIME_KINDS };

struct sched_time {
    uint32_t n_stage;
    float hops_us; /* all links together: about the shortest time of late */
    float crowd;   /* compute times where frames of one sequence follow one another, over those of frames alone: stages may share cores */
    struct sched_time_table {
        uint32_t n_known;                             /* sizes seen */
        float n[SCHED_TIME_SIZES];                    /* mean tokens of the frames of this size; 0: there were none */
        float us[SCHED_TIME_SIZES][SCHED_TIME_STAGES];/* mean time of each stage */
    } kinds[SCHED_TIME_KINDS];
};

void sched_time_init(struct sched_time *t, uint32_t n_stage);
/* A frame of n tokens came back; one trace of each stage. */
void sched_time_learn(struct sched_time *t, enum sched_time_kind kind, uint32_t n, const struct wire_trace *traces, uint32_t hop_us);
/* The same of a frame that followed others of its sequence closely (spec.h). */
void sched_time_learn_crowd(struct sched_time *t, uint32_t n, const struct wire_trace *traces);
bool sched_time_known(const struct sched_time *t, enum sched_time_kind kind);
/* Was a frame of about this size measured? */
bool sched_time_seen(const struct sched_time *t, enum sched_time_kind kind, uint32_t n);
/* The largest frame that was measured; 0: none. The time of a much larger frame is a guess. */
uint32_t sched_time_largest(const struct sched_time *t, enum sched_time_kind kind);
/* The slowest stage's time for a frame of n tokens; *ret_trip (may be NULL): that of a whole round of the ring, links included. 0: not
 * known. */
float sched_time_frame(const struct sched_time *t, enum sched_time_kind kind, uint32_t n, float *ret_trip);
/* The same for decode frames that follow one another. */
float sched_time_crowded(const struct sched_time *t, uint32_t n, float *ret_trip);
/* From one frame of a group to its next, when n_frames such frames follow one another: a round, or the slowest stage's time for all. */
float sched_time_cycle(const struct sched_time *t, enum sched_time_kind kind, uint32_t n, uint32_t n_frames);

#endif
