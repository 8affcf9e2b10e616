/* SPDX-License-Identifier: MIT
 * ggml's backend modules, files libggml-NAME.so in a folder: which of them this process loads. Those of GPUs bring in drivers of the
 * machine, which may be broken, so a process loads them only where it is going to use a GPU (engine_runtime_gpus). A module works only
 * with the ggml that it was built with; the module itself doesn't say which that was, so the folder must: by libggml-base.so.VERSION
 * beside the module, as builds of ggml leave it, or by its own name. */
#ifndef CARAVAN_ENGINE_BACKENDS_H
#define CARAVAN_ENGINE_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Refuses a folder that the user names: ERR_NOT_FOUND, there is no such folder; ERR_INVALID, there is no module in it, or they are for
 * another version of ggml, or nobody can say for which. Only reads the folder; any thread. */
err_code engine_backends_check(const char *dir, struct err *e);
/* Is there a module for a GPU in this folder? "": the system's folder, which is not known here: true. */
bool engine_backends_has_gpu(const char *dir);

/* For engine/runtime, which locks. Loads the best variant of the CPU backend that this machine can run, and the libraries that compute in
 * RAM beside it, such as BLAS. */
void engine_backends_load_cpu(const char *dir);
/* The variant of the CPU backend that is loaded, such as "haswell"; "": ggml was built with one only, or none is loaded. Any thread. */
void engine_backends_variant(char *ret, size_t size);
/* Loads all other modules of a folder that the user has named, and says which of them cannot be loaded, and why: the first one in *ret. */
void engine_backends_load_named(const char *dir, struct err *ret);
/* Loads all other modules of a folder, but those of which the folder `besides` has one by the same name ("": none). */
void engine_backends_load_gpus(const char *dir, const char *besides);

#endif
