/* SPDX-License-Identifier: MIT
 * This machine's measurement by a child process, which is this program again: the kept profile counts until the child has ended, a failed
 * child changes nothing, and no child outlives the node. How many layers GPUs may have decides which GPUs other nodes see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "holder/measure.h"

static const char *program;

#define GIB (UINT64_C(1) << 30)

static struct profile profile_of(double bandwidth) {
    struct profile p = {.n_devices = 1, .quiet = true};
    snprintf(p.devices[0].name, sizeof(p.devices[0].name), "CPU");
    p.devices[0].bandwidth = bandwidth;
    return p;
}

/* The number behind such an argument; 0: there is none. */
static double number_of(char **argv, const char *name) {
    for (; *argv; argv++)
        if (strncmp(*argv, name, strlen(name)) == 0) return strtod(*argv + strlen(name), NULL);
    return 0;
}

/* The child, `<program> profile PATH MODE ...`: MODE is where a node names its models folder. */
static int child(char **argv) {
    const char *path = argv[2], *mode = argv[3];
    struct profile p = profile_of(2e9);
    char held[128];
    if (strcmp(mode, "fails") == 0) return 1;
    if (strcmp(mode, "counts") == 0) {
        p.devices[0].bandwidth = number_of(argv, "--threads=");
        p.devices[0].flops = number_of(argv, "--threads-batch=");
        p.devices[0].step = getenv("GOMP_SPINCOUNT") ? 1 : 0;
    }
    if (strcmp(mode, "hangs") == 0) {
        snprintf(held, sizeof(held), "%s.held", path);
        int fd = open(held, O_CREAT | O_RDWR, 0600);
        if (flock(fd, LOCK_EX) != 0 || profile_save(path, &p, NULL) != ERR_OK) return 2;
        for (;;) pause();
    }
    return profile_save(path, &p, NULL) == ERR_OK ? 0 : 2;
}

struct place {
    char folder[64], path[96];
    struct io_loop *loop;
    struct io_timer *turn;
    struct news news;
    struct measure *measure;
};

static void turned(void *user) { io_loop_stop(((struct place *)user)->loop); }
static void told(void *user) { (void)user; }

static void place_turn(struct place *p) {
    io_timer_start(p->turn, 1, 0);
    io_loop_run(p->loop);
}

/* what: n_gpu_layers and so on; the rest of it is the place's own. */
static void place_open_with(struct place *p, const char *mode, struct measure_parts what) {
    *p = (struct place){.folder = "/tmp/caravan-measure.XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/profile.json", p->folder);
    p->loop = io_loop_create();
    p->turn = io_timer_open(p->loop, turned, p);
    news_init(&p->news, p->loop, told, NULL);
    what.loop = p->loop;
    what.program = program;
    what.path = mode ? p->path : NULL;
    what.models_dir = mode;
    what.news = &p->news;
    p->measure = measure_create(&what);
}

static void place_open(struct place *p, const char *mode, int32_t n_gpu_layers, bool memory_given) {
    place_open_with(p, mode, (struct measure_parts){.n_gpu_layers = n_gpu_layers, .memory_given = memory_given});
}

static void place_close(struct place *p) {
    char held[128];
    measure_free(p->measure);
    news_done(&p->news);
    io_timer_close(p->turn);
    io_loop_free(p->loop);
    unlink(p->path);
    snprintf(held, sizeof(held), "%s.held", p->path);
    unlink(held);
    assert_int_equal(rmdir(p->folder), 0);
}

static void place_wait(struct place *p) {
    alarm(60);
    while (measure_runs(p->measure)) place_turn(p);
    alarm(0);
}

/* ---- tests ---- */

static void what_was_kept_counts_until_the_child_has_measured(void **state) {
    (void)state;
    struct place p;
    const struct profile kept = profile_of(1e9);
    place_open(&p, "works", -1, false);
    assert_int_equal(measure_profile(p.measure)->n_devices, 0);
    assert_int_equal(profile_save(p.path, &kept, NULL), ERR_OK);
    measure_start(p.measure);
    assert_true(measure_runs(p.measure));
    assert_true(measure_profile(p.measure)->devices[0].bandwidth == 1e9);
    uint64_t news = p.news.count;
    place_wait(&p);
    assert_true(measure_profile(p.measure)->devices[0].bandwidth == 2e9);
    assert_int_equal(p.news.count, news + 1); /* the others hear it */
    measure_tick(p.measure, false);
    assert_false(measure_runs(p.measure)); /* it was quiet, once is enough */
    place_close(&p);
}

static void a_child_that_fails_changes_nothing(void **state) {
    (void)state;
    struct place p;
    const struct profile kept = profile_of(1e9);
    place_open(&p, "fails", -1, false);
    assert_int_equal(profile_save(p.path, &kept, NULL), ERR_OK);
    measure_start(p.measure);
    place_wait(&p);
    assert_true(measure_profile(p.measure)->devices[0].bandwidth == 1e9);
    assert_int_equal(p.news.count, 0);
    place_close(&p);
}

static void the_child_has_the_threads_that_compute_here(void **state) {
    (void)state;
    struct place p;
    place_open_with(&p, "counts", (struct measure_parts){.threads = {.single = 3, .several = 7}});
    measure_start(p.measure);
    place_wait(&p);
    assert_true(measure_profile(p.measure)->devices[0].bandwidth == 3 && measure_profile(p.measure)->devices[0].flops == 7);
    assert_int_equal(measure_profile(p.measure)->devices[0].step, 1); /* and waits as stages do */
    place_close(&p);
}

/* It is tried again without GPUs, whose driver may be what hangs; then the machine stays unknown. */
static void a_measurement_that_hangs_is_given_up(void **state) {
    (void)state;
    struct place p;
    place_open_with(&p, "hangs", (struct measure_parts){.n_gpu_layers = -1, .most = 1000});
    measure_start(p.measure);
    alarm(60);
    while (measure_runs(p.measure)) {
        place_turn(&p);
        measure_tick(p.measure, true);
    }
    alarm(0);
    assert_int_equal(measure_profile(p.measure)->n_devices, 0);
    place_close(&p);
}

static void no_child_outlives_the_node(void **state) {
    (void)state;
    struct place p;
    char held[128];
    place_open(&p, "hangs", -1, false);
    measure_start(p.measure);
    alarm(60);
    while (access(p.path, F_OK) != 0) place_turn(&p); /* now the child holds the lock */
    measure_free(p.measure);
    p.measure = NULL;
    snprintf(held, sizeof(held), "%s.held", p.path);
    int fd = open(held, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* waits until it has ended */
    alarm(0);
    close(fd);
    place_close(&p);
}

static void without_a_file_nothing_is_measured(void **state) {
    (void)state;
    struct place p;
    struct record *r = MEM_NEW(struct record);
    place_open(&p, NULL, -1, false);
    measure_start(p.measure);
    measure_tick(p.measure, false);
    assert_false(measure_runs(p.measure));
    r->memory = 5;
    measure_record(p.measure, r);
    assert_true(r->profile.n_devices == 0 && r->memory == 5);
    free(r);
    place_close(&p);
}

/* The profile that other nodes see of a machine with a processor and n_gpus GPUs of 16 GiB, whose node offers so much RAM. */
static struct record *seen_of(struct measure_parts what, uint64_t memory, uint32_t n_gpus) {
    struct place p;
    struct profile kept = profile_of(1e9);
    struct record *r = MEM_NEW(struct record);
    kept.n_devices = 1 + n_gpus;
    for (uint32_t i = 1; i <= n_gpus; i++) {
        kept.devices[i] = (struct profile_device){.gpu = true, .memory_total = 16 * GIB, .memory_free = 16 * GIB};
        snprintf(kept.devices[i].name, sizeof(kept.devices[i].name), "GPU%u", i);
        snprintf(kept.devices[i].pci, sizeof(kept.devices[i].pci), "0000:0%u:00.0", i < 3 ? i : 1);
    }
    place_open_with(&p, "fails", what);
    assert_int_equal(profile_save(p.path, &kept, NULL), ERR_OK);
    measure_start(p.measure);
    r->memory = memory;
    measure_record(p.measure, r);
    place_close(&p);
    return r;
}

static struct record *seen(int32_t n_gpu_layers, bool memory_given, uint32_t n_gpus) {
    return seen_of((struct measure_parts){.n_gpu_layers = n_gpu_layers, .memory_given = memory_given}, 5, n_gpus);
}

static void gpus_are_told_as_far_as_they_are_used(void **state) {
    (void)state;
    struct record *r = seen(0, false, 2); /* not at all */
    assert_true(r->profile.n_devices == 1 && !r->profile.devices[0].gpu && r->memory == 5);
    free(r);
    r = seen(7, false, 2); /* beside the processor */
    assert_true(r->profile.n_devices == 3 && r->profile.devices[2].gpu && r->memory == 5);
    free(r);
    r = seen(-1, false, 2); /* alone: then their memory counts, less a sixteenth */
    assert_int_equal(r->profile.n_devices, 2);
    assert_true(r->profile.devices[0].gpu && r->profile.devices[1].gpu);
    assert_string_equal(r->profile.devices[1].name, "GPU2");
    assert_int_equal(r->memory, 30 * GIB);
    free(r);
    r = seen(1000, false, 1);
    assert_true(r->profile.n_devices == 1 && r->profile.devices[0].gpu && r->memory == 15 * GIB);
    free(r);
    r = seen(-1, true, 1); /* no more than the user wants to offer */
    assert_true(r->profile.n_devices == 1 && r->memory == 5);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1, .memory_given = true}, 64 * GIB, 1); /* nor than the GPU has */
    assert_int_equal(r->memory, 15 * GIB);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1, .gpu_memory = 4 * GIB}, 64 * GIB, 2); /* of each */
    assert_int_equal(r->memory, 8 * GIB);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1, .gpu_memory = 4 * GIB, .moe_cache = GIB}, 64 * GIB,
                1); /* copies of experts take some */
    assert_int_equal(r->memory, 3 * GIB);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1, .moe_cache = 32 * GIB}, 5, 1); /* or all of it */
    assert_int_equal(r->memory, 0);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1}, 5, 3); /* the third is the first one, by another backend */
    assert_true(r->profile.n_devices == 2 && r->memory == 30 * GIB);
    free(r);
    r = seen_of((struct measure_parts){.n_gpu_layers = -1, .devices = "GPU3"}, 5, 3);
    assert_true(r->profile.n_devices == 1 && strcmp(r->profile.devices[0].name, "GPU3") == 0);
    free(r);
    r = seen(-1, false, 0); /* there is none */
    assert_true(r->profile.n_devices == 1 && !r->profile.devices[0].gpu && r->memory == 5);
    free(r);
}

/* As others see a machine whose GPUs may be used as they help: a fast one, one that is slower than the processor, one that shares its RAM,
 * one in software. The node offers 5 GiB of RAM. */
static struct record *seen_auto(const char *devices, uint64_t gpu_memory) {
    struct place p;
    struct profile kept = profile_of(20e9);
    struct record *r = MEM_NEW(struct record);
    kept.n_devices = 5;
    kept.devices[0].flops = 1e12;
    for (uint32_t i = 1; i < 5; i++) {
        bool fast = i != 2;
        kept.devices[i] = (struct profile_device){.gpu = true,
                                                  .shared = i == 3,
                                                  .software = i == 4,
                                                  .memory_free = 16 * GIB,
                                                  .bandwidth = fast ? 400e9 : 10e9,
                                                  .flops = fast ? 10e12 : 1e11};
        snprintf(kept.devices[i].name, sizeof(kept.devices[i].name), "GPU%u", i);
    }
    place_open_with(&p, "fails", (struct measure_parts){.n_gpu_layers = ENGINE_GPU_AUTO, .devices = devices, .gpu_memory = gpu_memory});
    assert_int_equal(profile_save(p.path, &kept, NULL), ERR_OK);
    measure_start(p.measure);
    assert_false(measure_is_first(p.measure)); /* something was kept */
    r->memory = 5 * GIB;
    measure_record(p.measure, r);
    place_close(&p);
    return r;
}

static void gpus_that_help_add_their_memory(void **state) {
    (void)state;
    struct record *r = seen_auto("", 0);
    assert_int_equal(r->profile.n_devices, 3);
    assert_string_equal(r->profile.devices[1].name, "GPU1");
    assert_string_equal(r->profile.devices[2].name, "GPU3");
    assert_int_equal(r->profile.devices[1].memory_free, 15 * GIB);
    assert_int_equal(r->ram, 5 * GIB);
    assert_int_equal(r->memory, 20 * GIB); /* memory that is shared counts once */
    free(r);
    r = seen_auto("", 2 * GIB);
    assert_int_equal(r->memory, 7 * GIB);
    free(r);
    r = seen_auto("GPU4,GPU2", 0); /* named ones are used, however slow */
    assert_int_equal(r->profile.n_devices, 3);
    assert_string_equal(r->profile.devices[1].name, "GPU2");
    assert_string_equal(r->profile.devices[2].name, "GPU4");
    assert_int_equal(r->memory, 35 * GIB);
    free(r);
    r = seen_auto("none", 0);
    assert_true(r->profile.n_devices == 1 && r->memory == 5 * GIB && r->ram == 0);
    free(r);
}

int main(int argc, char **argv) {
    unsetenv("OMP_WAIT_POLICY");
    if (argc > 3 && strcmp(argv[1], "profile") == 0) return child(argv);
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_counts_until_the_child_has_measured),
        cmocka_unit_test(a_child_that_fails_changes_nothing),
        cmocka_unit_test(the_child_has_the_threads_that_compute_here),
        cmocka_unit_test(a_measurement_that_hangs_is_given_up),
        cmocka_unit_test(no_child_outlives_the_node),
        cmocka_unit_test(without_a_file_nothing_is_measured),
        cmocka_unit_test(gpus_are_told_as_far_as_they_are_used),
        cmocka_unit_test(gpus_that_help_add_their_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
