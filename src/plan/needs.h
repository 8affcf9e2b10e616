/* SPDX-License-Identifier: MIT
 * What slices of a model take on this machine, as libllama says itself (engine/need.h). Four slices tell what all others take: weights and
 * KV cache are sums over layers, and compute buffers depend on whether a slice is the first and whether it is the last. Values; any
 * thread, except for needs_measure. */
#ifndef CARAVAN_PLAN_NEEDS_H
#define CARAVAN_PLAN_NEEDS_H

#include "base/err.h"
#include "base/json.h"
#include "engine/params.h"
#include "model/layout.h"

enum needs_class { NEEDS_MIDDLE, NEEDS_FIRST, NEEDS_LAST, NEEDS_WHOLE, NEEDS_CLASSES }; /* [is the first] + 2 * [is the last] */

enum { NEEDS_MOST_CELLS = 8 << 20 }; /* positions of all sequences together */

struct needs {
    struct needs_slice {
        uint32_t first, end;          /* end 0: not known */
        uint64_t weights, kv, compute; /* bytes */
        uint64_t process;             /* bytes of everything else in the process: the program, the vocabulary, graphs */
        uint64_t gpu, apart;          /* compute buffers of a GPU with the slice or a part; with its experts in RAM. 0: not known */
    } slices[NEEDS_CLASSES];
};

/* What the sizes depend on, as a text: the model, how it is loaded, libllama's version. The caller frees it. */
char *needs_key(const char *model_id, const struct engine_load *load);
/* Asks libllama about a slice of each class that may be, each in a forked process, since it may abort; what fails stays unknown. With
 * n_gpu_layers at AUTO and devices that are named, it is asked again about each slice on those GPUs. Blocks for about as long as the
 * vocabulary takes to read, four times. Only in a process of one thread that has not started ggml. Loads of more cells than
 * NEEDS_MOST_CELLS stay unknown: libllama makes tables of all cells (64 sequences of a million positions took 20 s and gigabytes). */
void needs_measure(const struct model_gguf *g, const struct model_layout *l, const struct engine_load *load, struct needs *ret);

void needs_put(const struct needs *n, yyjson_mut_doc *doc, yyjson_mut_val *obj);
err_code needs_get(yyjson_val *obj, struct needs *ret, struct err *e); /* ERR_INVALID */

#endif
