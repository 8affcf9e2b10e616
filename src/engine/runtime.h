/* SPDX-License-Identifier: MIT
 * libllama and ggml in this process: started once, its log lines turned into ours (debug level), its compute devices listed. Its last error
 * and the memory that it logged as allocated are kept for each calling thread, because its API reports neither. Nothing is unloaded before
 * the process ends. */
#ifndef CARAVAN_ENGINE_RUNTIME_H
#define CARAVAN_ENGINE_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* libllama's version and ggml's, for people. */
const char *engine_runtime_version(void);
const char *engine_runtime_ggml(void);

struct engine_device {
    char name[64];             /* "CPU", "Vulkan0": a value of --device */
    char description[128];     /* "AMD EPYC" */
    char type[8];              /* cpu | gpu | igpu (it computes in RAM) | accel */
    char backend[16];          /* "CPU", "Vulkan" */
    char pci[16];              /* "0000:03:00.0"; "": it is not on that bus, or the backend doesn't say */
    bool software;             /* a GPU's driver that computes on the processor */
    uint64_t memory_free, memory_total; /* bytes */
};

/* Loads ggml's backend modules from a folder ("": ggml's own search path, GPUs' modules too), without those of GPUs. Of the CPU variants
 * it loads the best one that this machine can run. Once in a process, later calls do nothing; any thread. ERR_UNAVAILABLE when no CPU
 * backend is found there. */
err_code engine_runtime_start(const char *backends, struct err *e);
/* After it: loads the modules of GPUs from another folder that was checked (engine_backends_check; "": none), and from the same folder
 * those that the other doesn't have. Drivers of this machine come with them, and may end this process. Once in a process; any thread. A
 * module that cannot be loaded is no error; *ret_trouble (may be NULL) says why the first such one of the other folder cannot. */
void engine_runtime_gpus(const char *backends, const char *more, struct err *ret_trouble);

/* Does this GPU compute in the machine's RAM, although its backend doesn't say so (as Apple's chips)? backend, description: ggml's. */
bool engine_device_is_unified(const char *backend, const char *description);
/* The devices of the loaded backends, at most max; returns how many there are in all. */
size_t engine_devices(struct engine_device *ret, size_t max);

/* The last error that libllama logged in this thread since the last clear; "" if none. */
const char *engine_runtime_complaint(void);
void engine_runtime_clear(void);

/* Why libllama is about to abort this process ("ggml.c:1234: GGML_ASSERT(...) failed"); "" if it is not. Any thread. */
const char *engine_runtime_abort(void);

/* The GPUs that libllama joins to one device in what this thread loads next (split_mode "tensor"): each of them has the bytes that it logs
 * for that one. At most ENGINE_MAX_USED; engine_runtime_clear forgets them. */
void engine_runtime_join(const char *const *names, uint32_t n);

/* Bytes that libllama has logged as allocated in this thread since the last clear (to 0.01 MiB). kv_laid_out: of KV cache and state
 * also where they were not allocated. */
struct engine_tally {
    uint64_t weights, kv, kv_laid_out, compute;
    uint32_t n_on;
    struct engine_used on[ENGINE_MAX_USED]; /* of them all, by GPU */
};
struct engine_tally engine_runtime_tally(void);

#endif
