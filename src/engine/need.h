/* SPDX-License-Identifier: MIT
 * The memory that a slice would take, asked of libllama itself: it loads the slice's header, lays out weights, KV cache and compute
 * buffers as for use, and allocates none of them. Takes about as long as reading the vocabulary. One thread, in a process of its own:
 * libllama may abort() here too. */
#ifndef CARAVAN_ENGINE_NEED_H
#define CARAVAN_ENGINE_NEED_H

#include <stdint.h>

#include "base/err.h"
#include "engine/params.h"
#include "model/slice.h"

struct engine_need {
    uint64_t weights; /* as this processor lays them out: some layouts are larger than the file's */
    uint64_t kv;      /* KV cells and recurrent state */
    uint64_t compute; /* compute and output buffers */
    uint64_t gpu;     /* of these, the most that is on one GPU */
    uint64_t process; /* everything else in a process that serves: the program, the vocabulary, graphs, threads, links, samplers */
};
/* Parameters and errors as engine_slice_open. */
err_code engine_need_ask(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                         struct engine_need *ret, struct err *e);

#endif
