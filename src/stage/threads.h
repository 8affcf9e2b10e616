/* SPDX-License-Identifier: MIT
 * How many threads a stage computes with. After each operation of a graph all its threads wait for the last one, so a thread that has to
 * share its core with other work makes all of them wait: two threads on a core and a half are slower than one. The frames tell: while
 * threads wait or stand still, the process uses less processor time than the frame's time times its threads. Then the stage tries fewer
 * threads for some frames, and keeps the number that is fastest. It tries more when the machine has a processor to spare, and seldom
 * otherwise, in case the other work gives way. Frames of one token (decode) and of several (prompts, several sequences) have numbers of
 * their own, as libllama has. Pure: the caller reads the clocks. Owner: the stage's compute thread. */
#ifndef CARAVAN_STAGE_THREADS_H
#define CARAVAN_STAGE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum { STAGE_THREADS_SIZES = 28 };
enum stage_threads_kind { STAGE_THREADS_SINGLE, STAGE_THREADS_SEVERAL, STAGE_THREADS_KINDS };
enum stage_threads_state { STAGE_THREADS_WATCH, STAGE_THREADS_TRY_FEWER, STAGE_THREADS_TRY_MORE };

struct stage_threads {
    uint32_t most;      /* that the machine has room for when nothing else runs */
    struct stage_threads_pace {
        enum stage_threads_state state;
        uint32_t count;         /* the number that has been chosen */
        uint32_t now;           /* the number for the next frame: another one during a trial */
        float us[STAGE_THREADS_SIZES]; /* mean time of frames of each size with `count` threads; 0: not known */
        /* since the watch or the trial began */
        uint32_t frames, passed; /* those that count, and those that do not */
        float wall, cpu, expected; /* of the frames that count, us; expected: with `count` threads */
        uint32_t best;          /* of the trials: the number with the lowest ratio of the time to the expected time */
        float best_ratio;
        clock_us fewer_at, more_at;     /* before this time no such trial begins */
        clock_us anyway_at;     /* from then on more threads are tried even if no processor is idle */
        clock_us fewer_wait, more_wait; /* from a trial to the next of its kind; they grow while trials bring nothing */
        clock_us more_won;      /* when a trial with more threads last had a gain */
    } paces[STAGE_THREADS_KINDS];
    struct stage_threads_look {
        clock_us at, idle, cpu;  /* of the last look; at 0: nobody has looked yet */
        float idle_rate, cpu_rate; /* processors that were idle and that this process used between the last two looks */
        uint32_t n;              /* looks so far; a caller that never looks gets trials at their times */
    } look;
};

/* most: threads of the first frame, at least 1. */
void stage_threads_init(struct stage_threads *t, uint32_t most);
/* A frame of n_tokens was computed with the threads that were asked for: in wall_us, during which the whole process used cpu_us of
 * processor time. True if later frames of its kind want another number (t->paces[kind].now). */
bool stage_threads_frame(struct stage_threads *t, clock_us now, uint32_t n_tokens, clock_us wall_us, clock_us cpu_us);
/* From when on the caller should look at the machine; UINT64_MAX: no need, all threads compute. */
clock_us stage_threads_look_at(const struct stage_threads *t);
/* The machine's processors have been idle for idle_us together so far, and this process has used cpu_us. */
void stage_threads_looked(struct stage_threads *t, clock_us now, clock_us idle_us, clock_us cpu_us);

#endif
