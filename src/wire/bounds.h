/* SPDX-License-Identifier: MIT
 * Limits for waiting. Every wait for a stage, or for the link to a stage, has one of these limits, most of them counted in beats of watched
 * time (base/pulse.h). They end waits for a stage that will never answer, but not for a stage that is only slow: on a machine that swaps,
 * with a long prompt on a slow processor, with weights over a slow link. */
#ifndef CARAVAN_WIRE_BOUNDS_H
#define CARAVAN_WIRE_BOUNDS_H

enum {
    /* Once a beat a stage tells its node, and both links of its ring, that it lives. A separate thread sends these beats. It uses little
     * memory, so a machine that swaps, or computes on all cores, delays a beat by only a fraction of a second. */
    STAGE_BEAT_MS = 1000,
    /* After this many beats without a byte the process stands still, or the link is dead. TCP by itself gives up after a quarter of an
     * hour. Shorter outages of a network are bridged, as long as the nodes still hear one another (members/membership.h). */
    STAGE_SILENT_BEATS = 20,
    /* Before the first beat the program and its libraries are loaded, perhaps over a network. */
    STAGE_START_BEATS = 60,

    /* After this many beats without a step of progress, work that was begun will never be done. */
    /* Computing: a step is an operation of the graph on a CPU, a batch on a GPU. The longest known step, one matrix of a model of 70
     * billion weights times 512 tokens, takes a slow processor (2 GFLOPS) two minutes. */
    STAGE_STUCK_BEATS = 120,
    /* ... or this many times as long as the longest step of this stage so far, since a slow step is slow again. */
    STAGE_STUCK_TIMES = 10,
    /* Loading: a step is a piece of a file read, or bytes from another node. Opening devices and clearing caches make no step. */
    STAGE_STUCK_LOADING_BEATS = 300,
    /* The first batch on a GPU, because its driver compiles the kernels. Also turning a text into tokens, which is one step: the largest
     * text, 16 MiB, took 40 s on the machine where that was measured. */
    STAGE_STUCK_LONG_BEATS = 600,

    /* If the next stage's node cannot be reached for this long during joining, the node is gone or a firewall blocks it. A node that
     * restarts is back sooner. */
    STAGE_UNREACHABLE_BEATS = 30,

    /* A stage that was told to end may finish its frame; a killed process needs time to give its memory back. */
    STAGE_STOP_MS = 5000,
    /* A stage whose ring is lost learns this from its links, fails its requests with the reason, and ends. It may have to finish a frame
     * first. */
    STAGE_FALL_MS = 1000,
    /* For sending the last words on a link when a stage ends with an error. If they are late, only the reason is lost. */
    STAGE_LAST_WORDS_MS = 500,
};

#endif
