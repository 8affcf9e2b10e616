/* SPDX-License-Identifier: MIT
 * The node's own profile: what was kept from an earlier start at once, and what a child process measures now (the node itself never loads
 * ggml's backends). */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "node/calls.h"
#include "node/measure.h"
#include "node/node_priv.h"
#include "os/machine.h"
#include "os/os.h"

enum { GPU_RESERVE = 16, ALL_LAYERS = 1000 }; /* a sixteenth of a GPU is left to others; more layers than any model has */

static void measure_exited(void *user, int status, int signo) {
    struct node *n = user;
    struct err e = {0};
    io_child_close(n->measuring);
    n->measuring = NULL;
    if (status != 0 || profile_load(n->config->profile, &n->profile, &e) != ERR_OK) {
        log_warn("node", "this machine could not be measured (%s): plans guess how fast it is", signo ? strsignal(signo) : e.text);
        return;
    }
    char disk[STR_SHORT];
    for (uint32_t i = 0; i < n->profile.n_devices; i++)
        log_info("node", "%s (%s): %.1f GB/s of weights, %.0f GFLOP/s", n->profile.devices[i].name, n->profile.devices[i].description,
                 n->profile.devices[i].bandwidth / 1e9, n->profile.devices[i].flops / 1e9);
    log_debug("node", "disk: %s a second", str_size((uint64_t)n->profile.disk, disk));
    node_changed(n);
}

static void measure_once(struct node *n) {
    struct err e = {0};
    const char *argv[] = {n->config->program, "profile", n->config->profile, n->config->models_dir, NULL};
    struct io_child_options options = {.argv = argv, .fd = -1, .ignore_interrupt = true};
    n->n_measured++;
    n->measured_at = clock_now();
    if (io_child_start(n->loop, &options, measure_exited, n, &n->measuring, &e) != ERR_OK) log_warn("node", "%s", e.text);
}

void measure_start(struct node *n) {
    if (!n->config->profile) return;
    profile_load(n->config->profile, &n->profile, NULL); /* nothing kept is no fault */
    measure_once(n);
}

void measure_tick(struct node *n) {
    double load;
    if (!n->config->profile || n->measuring || n->stopping || calls_count(n->calls) > 0 || !os_load(&load)) return;
    if (profile_again(&n->profile, n->n_measured, clock_now() - n->measured_at, load / (double)machine_cores())) measure_once(n);
}

void measure_stop(struct node *n) {
    if (!n->measuring) return;
    io_child_kill(n->measuring, SIGKILL);
    io_child_close(n->measuring);
    n->measuring = NULL;
}

/* With all layers on GPUs, weights and KV must fit there, and the processor's memory holds none of them. */
static void measure_gpus_only(const struct node *n, struct record *r) {
    uint64_t sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->profile.n_devices; i++) {
        if (!r->profile.devices[i].gpu) continue;
        sum += r->profile.devices[i].memory_free - r->profile.devices[i].memory_free / GPU_RESERVE;
        r->profile.devices[kept++] = r->profile.devices[i];
    }
    if (kept == 0) return; /* there is none: it all runs on the processor */
    r->profile.n_devices = kept;
    if (n->config->memory == 0) r->memory = sum;
}

void measure_record(const struct node *n, struct record *r) {
    r->profile = n->profile;
    r->profile.n_devices = 0;
    for (uint32_t i = 0; i < n->profile.n_devices; i++) /* GPUs that stages here don't use are none to others */
        if (!n->profile.devices[i].gpu || n->config->load.n_gpu_layers != 0)
            r->profile.devices[r->profile.n_devices++] = n->profile.devices[i];
    if (n->config->load.n_gpu_layers < 0 || n->config->load.n_gpu_layers >= ALL_LAYERS) measure_gpus_only(n, r);
}
