/* SPDX-License-Identifier: MIT
 * How long a stage is waited for. Every wait for a stage, or for the link to one, ends by one of these bounds, which are counted in beats
 * of watched time (base/pulse.h). They are to find what will never answer, and to leave alone what is merely slow: a machine that swaps, a
 * long prompt on a slow processor, weights over a slow link. */
#ifndef CARAVAN_WIRE_BOUNDS_H
#define CARAVAN_WIRE_BOUNDS_H

enum {
    /* A stage says that it lives once a beat: to its node, and on both links of its ring. A thread of its own does that, which needs no
     * memory but its stack: a machine that swaps, or computes on all cores, delays it by fractions of a second. */
    STAGE_BEAT_MS = 1000,
    /* So many beats without a byte: the process stands still, or nothing gets through the link. TCP by itself gives up after a quarter of
     * an hour. Shorter outages of a network are bridged, as far as the nodes still hear one another (members/membership.h). */
    STAGE_SILENT_BEATS = 20,
    /* Before the first beat the program and its libraries are loaded, perhaps over a network. */
    STAGE_START_BEATS = 60,

    /* So many beats without a step of progress while there is something to do: it will never be done. */
    /* Computing: a step is an operation of the graph on a CPU, a batch on a GPU. The longest known, one matrix of a model of 70 billion
     * weights times 512 tokens, takes a slow processor (2 GFLOPS) two minutes. */
    STAGE_STUCK_BEATS = 120,
    /* ... or so many times as long as the longest step that this stage has done: what is slow once is slow again. */
    STAGE_STUCK_TIMES = 10,
    /* Loading: a step is a piece of a file read, or bytes from another node. Devices are opened, and caches cleared, without one. */
    STAGE_STUCK_LOADING_BEATS = 300,
    /* The first batch on a GPU: its driver compiles the kernels. And turning a text into tokens, which is one step: 16 MiB, the most that
     * can be asked, take 40 s on the machine where that was measured. */
    STAGE_STUCK_LONG_BEATS = 600,

    /* So long in a row the node of the next stage can't be reached at all, while the ring is put together: it is gone, or a firewall is in
     * the way. A node that starts anew is there again by then. */
    STAGE_UNREACHABLE_BEATS = 30,

    /* A stage that was told to end may finish what it computes; a process that was killed needs time to give its memory back. */
    STAGE_STOP_MS = 5000,
    /* A stage whose ring is lost hears so from its links, tells its requests why, and ends; it may have a frame to compute before that. */
    STAGE_FALL_MS = 1000,
    /* Last words on a link, when a stage ends with an error: what is lost then is only the reason. */
    STAGE_LAST_WORDS_MS = 500,
};

#endif
