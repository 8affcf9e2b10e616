/* SPDX-License-Identifier: MIT
 * What this machine offers: memory, devices, their speed and the disk's. Measured once (profile_measure, in a process of its own, since
 * it loads ggml's backends), kept in a file, and measured again when the hardware changes. Blocking; any thread. */
#ifndef CARAVAN_PLAN_PROFILE_H
#define CARAVAN_PLAN_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/field.h"
#include "base/json.h"
#include "engine/measure.h"
#include "engine/params.h"
#include "plan/topology.h"

enum { PROFILE_MAX_DEVICES = 8 };

struct profile_device {
    char name[32];          /* ggml's: "CPU", "Vulkan0" */
    char description[64];   /* "AMD EPYC", "AMD EPYC, 2 threads" where the user has chosen their number */
    char pci[16];           /* where a GPU is, "0000:03:00.0"; "": not known */
    bool gpu;
    bool shared;            /* a GPU that computes in the machine's RAM */
    bool software;          /* a GPU's driver that computes on the processor */
    uint64_t memory_total, memory_free; /* bytes; in a node's record of a GPU, free is what the node offers */
    double bandwidth;       /* bytes of quantised weights per second in decoding; 0: not measured */
    double flops;           /* operations per second in prefill; 0: not measured */
    uint32_t step;          /* tokens of a prompt to compute at once, as engine_speed has it; 0: not measured */
};
struct profile {
    uint32_t n_devices;     /* 0: nothing is known */
    struct profile_device devices[PROFILE_MAX_DEVICES];
    struct topology topology; /* of the processor */
    double disk;            /* bytes per second, read in order; 0: not measured */
    char disk_at[256];      /* the file that was read for it */
    bool quiet;             /* no other program used the processor during the measurement; if false, it is repeated (profile_again) */
    char hardware[128];     /* a text that changes with the hardware */
};

/* Bytes of memory that are free for models now: what the kernel calls available, less an eighth (at least 256 MB) for other programs; at
 * most what the system lets models take. */
uint64_t profile_memory_offer(void);
/* What a node offers of the memory that is free on a GPU: a sixteenth is left to others, such as the screen. */
uint64_t profile_gpu_offer(uint64_t free);
uint64_t profile_memory_offer_of(uint64_t available, uint64_t most); /* the same, of these figures */

/* Measures all devices, and the disk under the folder `models` (NULL, or not writable: under `path`). threads: those of this machine's
 * stages. If there is a profile at `path` (it need not exist) of the same hardware and threads that was measured in quiet, its figures are
 * reused and only free memory is read. After engine_runtime_start. A GPU that does not compute is left out. Its driver may end this
 * process: then the name of the GPU stays in a file (profile_trial), and the next measurement leaves that GPU out. */
err_code profile_measure(const char *path, const char *models, struct engine_threads threads, struct profile *ret, struct err *e);
/* ret[size]: the file, beside the profile at `path`, with a line for each GPU that was tried and has not computed. */
void profile_trial(const char *path, char *ret, size_t size);
/* Should this machine, whose profile this is, be measured again now? It was measured `tries` times since the node's start, the last time
 * `ago` microseconds ago; `load` processes run or wait for each core. */
bool profile_again(const struct profile *p, uint32_t tries, clock_us ago, double load);

/* Would a GPU answer sooner than the processor? By both figures, as measured: a prompt of 512 tokens, and 128 tokens after it. A driver in
 * software never does. */
bool profile_gpu_helps(const struct profile *p, uint32_t device);
/* Does another backend offer the same card, and is it the one to use: by its speed, or because its backend came first? */
bool profile_gpu_is_double(const struct profile *p, uint32_t device);

/* The processor's step (see above); 0: not measured. */
uint32_t profile_step(const struct profile *p);
/* n_ubatch for such a load where this machine chooses: longer steps where its processor is quicker with them (they are GPUs' default, too).
 * Under `exact` all machines have the same, and what the user has said stays. */
uint32_t profile_ubatch(const struct profile *p, const struct engine_load *load);

/* The devices as an array and "disk", into an object: in the file, in node records, in the status. */
void profile_put(const struct profile *p, yyjson_mut_doc *doc, yyjson_mut_val *obj);
/* Reads what profile_put wrote; missing fields stay 0. ERR_INVALID, ERR_LIMIT. */
err_code profile_get(yyjson_val *obj, struct profile *ret, struct err *e);
/* Both for tables of fields (base/field.h). */
extern const struct field_custom profile_custom;
/* The whole file. ERR_NOT_FOUND, ERR_FORMAT. */
err_code profile_load(const char *path, struct profile *ret, struct err *e);
err_code profile_save(const char *path, const struct profile *p, struct err *e);

#endif
