/* SPDX-License-Identifier: MIT
 * How fast a device really is: a quantised matrix times a vector (decoding) and times many vectors (prefill), with ggml's own kernels on
 * weights that are larger than any cache. Takes about a second and 200 MB. For a process of its own (the node never loads backends);
 * one thread. */
#ifndef CARAVAN_ENGINE_MEASURE_H
#define CARAVAN_ENGINE_MEASURE_H

#include <stdint.h>

#include "base/err.h"

struct engine_speed {
    double bandwidth; /* bytes of weights per second */
    double flops;     /* operations per second, a multiplication and an addition counting two */
    uint32_t step;    /* tokens of a prompt that should be computed at once: ENGINE_STEP, or ENGINE_STEP_LONG where that pays; 0: a GPU */
};
/* Most processors are as fast with 64 tokens at once as with 512, and the buffers of 64 take an eighth of the memory. Those with matrix
 * units (AMX) are not. */
enum { ENGINE_STEP = 64, ENGINE_STEP_LONG = 512 };

/* How many threads compute on a processor: as engine_load has them, n_threads and n_threads_batch. */
struct engine_threads {
    uint32_t single, several; /* 0: machine_threads(), and as many as single */
};
struct engine_threads engine_threads_of(struct engine_threads wish); /* without zeros */

/* Device: ggml's name of it. After engine_runtime_start. ERR_NOT_FOUND, ERR_MEMORY, ERR_ENGINE. */
err_code engine_measure(const char *device, struct engine_threads threads, struct engine_speed *ret, struct err *e);
/* Does the device compute at all? One small product: milliseconds. The driver of one that is lost may end the process instead. After
 * engine_runtime_start. ERR_NOT_FOUND, ERR_MEMORY, ERR_ENGINE: it doesn't. */
err_code engine_device_try(const char *device, struct err *e);

#endif
