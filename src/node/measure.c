/* SPDX-License-Identifier: MIT
 * See measure.h. */
#include "node/measure.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/machine.h"
#include "os/os.h"

enum { GPU_RESERVE = 16, ALL_LAYERS = 1000 }; /* a sixteenth of a GPU is left to others; more layers than any model has */

struct measure {
    struct measure_parts parts;
    struct profile profile;
    struct io_child *child; /* NULL: nothing is being measured */
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

static void measure_exited(void *user, int status, int signo) {
    struct measure *m = user;
    struct err e = {0};
    io_child_close(m->child);
    m->child = NULL;
    if (status != 0 || profile_load(m->parts.path, &m->profile, &e) != ERR_OK) {
        log_warn("node", "this machine could not be measured (%s): plans guess how fast it is", signo ? strsignal(signo) : e.text);
        return;
    }
    char disk[STR_SHORT];
    for (uint32_t i = 0; i < m->profile.n_devices; i++)
        log_info("node", "%s (%s): %.1f GB/s of weights, %.0f GFLOP/s", m->profile.devices[i].name, m->profile.devices[i].description,
                 m->profile.devices[i].bandwidth / 1e9, m->profile.devices[i].flops / 1e9);
    log_debug("node", "disk: %s a second", str_size((uint64_t)m->profile.disk, disk));
    news_own(m->parts.news);
}

static void measure_once(struct measure *m) {
    struct err e = {0};
    const char *argv[] = {m->parts.program, "profile", m->parts.path, m->parts.models_dir, NULL};
    struct io_child_options options = {.argv = argv, .fd = -1, .ignores_ends = true};
    m->count++;
    m->begun = clock_now();
    if (io_child_start(m->parts.loop, &options, measure_exited, m, &m->child, &e) != ERR_OK) log_warn("node", "%s", e.text);
}

void measure_start(struct measure *m) {
    if (!m->parts.path) return;
    profile_load(m->parts.path, &m->profile, NULL); /* it is no fault when no measurements were kept */
    measure_once(m);
}

void measure_tick(struct measure *m, bool busy) {
    double load;
    if (!m->parts.path || m->child || busy || !os_load(&load)) return;
    if (profile_again(&m->profile, m->count, clock_now() - m->begun, load / (double)machine_cores())) measure_once(m);
}

bool measure_runs(const struct measure *m) { return m->child != NULL; }
const struct profile *measure_profile(const struct measure *m) { return &m->profile; }

/* With all layers on GPUs, weights and KV must fit there, and the processor's memory holds none of them. */
static void measure_gpus_only(const struct measure *m, struct record *r) {
    uint64_t sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->profile.n_devices; i++) {
        if (!r->profile.devices[i].gpu) continue;
        sum += r->profile.devices[i].memory_free - r->profile.devices[i].memory_free / GPU_RESERVE;
        r->profile.devices[kept++] = r->profile.devices[i];
    }
    if (kept == 0) return; /* there is no GPU: all layers run on the processor */
    r->profile.n_devices = kept;
    if (!m->parts.memory_given) r->memory = sum;
}

void measure_record(const struct measure *m, struct record *r) {
    r->profile = m->profile;
    r->profile.n_devices = 0;
    for (uint32_t i = 0; i < m->profile.n_devices; i++) /* others plan with a GPU only if stages here use it */
        if (!m->profile.devices[i].gpu || m->parts.n_gpu_layers != 0) r->profile.devices[r->profile.n_devices++] = m->profile.devices[i];
    if (m->parts.n_gpu_layers < 0 || m->parts.n_gpu_layers >= ALL_LAYERS) measure_gpus_only(m, r);
}
