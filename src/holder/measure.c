/* SPDX-License-Identifier: MIT
 * See measure.h. */
#include "holder/measure.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "holder/stage_child.h"
#include "io/child.h"
#include "os/gpus.h"
#include "os/machine.h"
#include "os/os.h"

#define FIRST_US 120000000u /* a model waits for the first measurement at most so long */
#define MOST_US  900000000u /* the slowest of machines take some minutes */
enum { ALL_LAYERS = 1000 }; /* more layers than any model has */

struct measure {
    struct measure_parts parts;
    struct profile profile;
    struct io_child *child; /* NULL: nothing is being measured */
    bool may_have_gpu;      /* the kernel knows one, or the user names one */
    bool late;              /* the present one was given up, and will be gone at once */
    bool without_gpus;      /* the driver of one has ended a measurement */
    size_t failing;         /* size of the list of GPUs that fail, as the measurement began */
    uint32_t count;         /* measurements that were begun, and when the last one was */
    clock_us begun;
};

struct measure *measure_create(const struct measure_parts *parts) {
    struct measure *m = MEM_NEW(struct measure);
    m->parts = *parts;
    return m;
}

void measure_free(struct measure *m) {
    if (m && m->child) io_child_kill(m->child, SIGKILL);
    if (m) io_child_close(m->child);
    free(m);
}

static void measure_once(struct measure *m);

static size_t trial_size(const struct measure *m) {
    char path[4096];
    struct stat st;
    profile_trial(m->parts.path, path, sizeof(path));
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* Tries all GPUs, also those that failed before. */
static void measure_anew(struct measure *m) {
    char path[4096];
    profile_trial(m->parts.path, path, sizeof(path));
    unlink(path);
    measure_once(m);
}

/* The signal came from a driver, most likely: of a GPU that was being tried, which the next measurement leaves out, or of another, without
 * which the rest of the machine can be measured. */
static bool measure_again(struct measure *m, int signo) {
    if (signo == 0 || m->without_gpus || m->parts.n_gpu_layers == 0) return false;
    if (trial_size(m) > m->failing) { /* it grows with each, so this ends */
        measure_once(m);
        return true;
    }
    log_warn("node", "the measurement of this machine has crashed (%s): GPUs are left out until the next start", strsignal(signo));
    m->without_gpus = true;
    measure_once(m);
    return true;
}

static bool measure_uses(const struct measure *m, uint32_t device);

/* A user who asks for GPUs shall know that there is none to be had; the processor computes instead. */
static void measure_say_missing(const struct measure *m) {
    const char *devices = m->parts.devices ? m->parts.devices : "";
    bool named = *devices != '\0' && strcmp(devices, "none") != 0;
    bool wanted = m->parts.n_gpu_layers != 0 && m->parts.n_gpu_layers != ENGINE_GPU_AUTO;
    for (uint32_t i = 0; i < m->profile.n_devices; i++)
        if (m->profile.devices[i].gpu && measure_uses(m, i)) return;
    if (named || wanted)
        log_warn("node", "%s asks for a GPU, and none can be used here: the processor computes. `caravan doctor` says what is missing",
                 named ? "--device" : "--gpu-layers");
}

static void measure_exited(void *user, int status, int signo) {
    struct measure *m = user;
    struct err e = {0};
    io_child_close(m->child);
    m->child = NULL;
    if (measure_again(m, signo)) return;
    if (status != 0 || profile_load(m->parts.path, &m->profile, &e) != ERR_OK) {
        log_warn("node", "this machine could not be measured (%s): plans guess how fast it is", signo ? strsignal(signo) : e.text);
        return;
    }
    char disk[STR_SHORT];
    for (uint32_t i = 0; i < m->profile.n_devices; i++)
        log_info("node", "%s (%s): %.1f GB/s of weights, %.0f GFLOP/s", m->profile.devices[i].name, m->profile.devices[i].description,
                 m->profile.devices[i].bandwidth / 1e9, m->profile.devices[i].flops / 1e9);
    log_debug("node", "disk: %s a second", str_size((uint64_t)m->profile.disk, disk));
    measure_say_missing(m);
    news_own(m->parts.news);
}

static void measure_once(struct measure *m) {
    struct err e = {0};
    char layers[32], single[32], several[32];
    snprintf(layers, sizeof(layers), "--gpu-layers=%d", m->without_gpus ? 0 : (int)m->parts.n_gpu_layers);
    snprintf(single, sizeof(single), "--threads=%u", m->parts.threads.single);
    snprintf(several, sizeof(several), "--threads-batch=%u", m->parts.threads.several);
    const char *more = m->parts.more_backends ? m->parts.more_backends : "", *models = m->parts.models_dir ? m->parts.models_dir : "";
    const char *argv[] = {m->parts.program, "profile", m->parts.path, models, layers, single, several, "--backends", more, NULL};
    struct io_child_options options = {.argv = argv, .env = stage_child_env(), .fd = -1, .ignores_ends = true};
    m->count++;
    m->begun = clock_now();
    m->late = false;
    m->failing = trial_size(m);
    if (io_child_start(m->parts.loop, &options, measure_exited, m, &m->child, &e) != ERR_OK) log_warn("node", "%s", e.text);
}

void measure_start(struct measure *m) {
    if (!m->parts.path) return;
    struct os_gpu gpu;
    m->may_have_gpu = os_gpus("", &gpu, 1) > 0 || (m->parts.devices && m->parts.devices[0]);
    profile_load(m->parts.path, &m->profile, NULL); /* it is no fault when no measurements were kept */
    measure_anew(m);
}

void measure_tick(struct measure *m, bool busy) {
    double load;
    clock_us most = m->parts.most > 0 ? m->parts.most : MOST_US;
    if (m->child && !m->late && clock_now() - m->begun > most) {
        log_warn("node", "the measurement of this machine has not ended in %u s, and is given up", (unsigned)(most / 1000000));
        m->late = true;
        io_child_kill(m->child, SIGKILL);
    }
    if (!m->parts.path || m->child || busy || !os_load(&load)) return;
    if (profile_again(&m->profile, m->count, clock_now() - m->begun, load / (double)machine_cores())) measure_once(m);
}

bool measure_is_first(const struct measure *m) {
    return m->parts.n_gpu_layers == ENGINE_GPU_AUTO && m->child && m->profile.n_devices == 0 && m->may_have_gpu &&
           clock_now() < m->begun + FIRST_US;
}

bool measure_runs(const struct measure *m) { return m->child != NULL; }
const struct profile *measure_profile(const struct measure *m) { return &m->profile; }

static uint64_t measure_gpu_offer(const struct measure *m, const struct profile_device *d) {
    uint64_t offer = profile_gpu_offer(d->memory_free);
    if (m->parts.gpu_memory > 0 && m->parts.gpu_memory < offer) offer = m->parts.gpu_memory;
    return offer > m->parts.moe_cache ? offer - m->parts.moe_cache : 0;
}

/* With all layers on GPUs, weights and KV must fit there, and the processor's memory holds none of them. What the user says this node
 * offers bounds that; it makes no GPU larger. */
static void measure_gpus_only(const struct measure *m, struct record *r) {
    uint64_t sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->profile.n_devices; i++) {
        struct profile_device *d = &r->profile.devices[i];
        if (!d->gpu) continue;
        sum += measure_gpu_offer(m, d);
        r->profile.devices[kept++] = *d;
    }
    if (kept == 0) return; /* there is no GPU: all layers run on the processor */
    r->profile.n_devices = kept;
    if (!m->parts.memory_given || (sum > 0 && sum < r->memory)) r->memory = sum;
}

/* Do stages here use this device? A GPU that the user names is used even if the processor is faster. */
static bool measure_uses(const struct measure *m, uint32_t device) {
    const char *list = m->parts.devices ? m->parts.devices : "";
    if (!m->profile.devices[device].gpu) return true;
    if (m->parts.n_gpu_layers == 0) return false;
    if (*list != '\0') return str_is_part(list, ',', m->profile.devices[device].name);
    if (profile_gpu_is_double(&m->profile, device)) return false;
    return m->parts.n_gpu_layers != ENGINE_GPU_AUTO || profile_gpu_helps(&m->profile, device);
}

void measure_doubt(struct measure *m) {
    bool used = false;
    for (uint32_t i = 0; i < m->profile.n_devices; i++) used = used || (m->profile.devices[i].gpu && measure_uses(m, i));
    if (used && m->parts.path && !m->child) measure_anew(m);
}

/* The node offers its RAM and its GPUs' memory. */
static void measure_both(const struct measure *m, struct record *r) {
    const uint64_t ram = r->memory;
    for (uint32_t i = 0; i < r->profile.n_devices; i++) {
        struct profile_device *d = &r->profile.devices[i];
        if (!d->gpu) continue;
        r->ram = ram;
        d->memory_free = measure_gpu_offer(m, d);
        if (!d->shared) r->memory += d->memory_free;
    }
}

void measure_record(const struct measure *m, struct record *r) {
    r->cpu_moe = m->parts.n_cpu_moe;
    r->profile = m->profile;
    r->profile.n_devices = 0;
    for (uint32_t i = 0; i < m->profile.n_devices; i++) /* others plan with a GPU only if stages here use it */
        if (measure_uses(m, i)) r->profile.devices[r->profile.n_devices++] = m->profile.devices[i];
    bool apart = m->parts.n_gpu_layers != 0 && m->parts.n_cpu_moe != ENGINE_MOE_AUTO && m->parts.n_cpu_moe != 0;
    if (m->parts.n_gpu_layers == ENGINE_GPU_AUTO || apart) measure_both(m, r);
    else if (m->parts.n_gpu_layers < 0 || m->parts.n_gpu_layers >= ALL_LAYERS) measure_gpus_only(m, r);
}
