/* SPDX-License-Identifier: MIT
 * The machine's profile: really measured, kept, taken again only on the same hardware and when it was quiet; both directions of its JSON;
 * profiles from peers that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "plan/profile.h"
#include "engine/measure.h"
#include "engine/runtime.h"
#include "os/runtime.h"

static const char *const path = "test-profile.json";

static void measured_and_kept(void **state) {
    (void)state;
    struct profile p, again;
    struct err e = {0};
    remove(path);
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, (struct engine_threads){0}, &p, &e), ERR_OK);
    assert_true(p.n_devices >= 1);
    bool cpu = false;
    for (uint32_t i = 0; i < p.n_devices; i++) {
        if (p.devices[i].gpu) continue;
        cpu = true;
        assert_true(p.devices[i].bandwidth > 1e7 && p.devices[i].bandwidth < 1e13);
        assert_true(p.devices[i].flops > 1e8 && p.devices[i].flops < 1e15);
        assert_true(p.devices[i].step == ENGINE_STEP || p.devices[i].step == ENGINE_STEP_LONG);
        assert_int_equal(profile_step(&p), p.devices[i].step);
        assert_true(p.devices[i].memory_total > 0);
    }
    assert_true(cpu);
    assert_true(p.topology.threads >= p.topology.cores && p.topology.cores >= p.topology.fast_cores && p.topology.fast_cores > 0);
    assert_true(p.topology.numa >= 1);
    p.quiet = true;
    p.devices[0].bandwidth = 12345e6;
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, (struct engine_threads){0}, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth == 12345e6); /* taken from the file */
    p.quiet = false;
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, (struct engine_threads){0}, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth != 12345e6);
    p.quiet = true;
    snprintf(p.hardware, sizeof(p.hardware), "another machine");
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, (struct engine_threads){0}, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth != 12345e6);
    remove(path);
    assert_int_not_equal(access("test-profile.json.probe", F_OK), 0);
}

/* What was kept of other threads doesn't count, and the figures say of how many they are. */
static void of_the_threads_that_stages_use(void **state) {
    (void)state;
    struct profile p = {0}, again;
    struct err e = {0};
    const struct engine_threads one = {.single = 1}, odd = {.single = 1, .several = 3};
    remove(path);
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, one, &p, &e), ERR_OK);
    assert_non_null(strstr(p.devices[0].description, ", 1 thread"));
    p.quiet = true;
    p.devices[0].bandwidth = 12345e6;
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_measure(path, NULL, one, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth == 12345e6);
    assert_int_equal(profile_measure(path, NULL, odd, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth != 12345e6);
    assert_non_null(strstr(again.devices[0].description, ", 1 and 3 threads"));
    assert_int_equal(profile_measure(path, NULL, (struct engine_threads){.single = 2}, &again, &e), ERR_OK);
    assert_true(again.devices[0].bandwidth != 12345e6);
    assert_non_null(strstr(again.devices[0].description, ", 2 threads"));
    remove(path);
}

static void the_disk_is_that_of_the_models(void **state) {
    (void)state;
    struct profile p = {0}, again;
    struct err e = {0};
    remove(path);
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    assert_int_equal(profile_measure(path, ".", (struct engine_threads){0}, &p, &e), ERR_OK);
    assert_string_equal(p.disk_at, "./.probe");
    assert_int_not_equal(access(p.disk_at, F_OK), 0);
    p.quiet = true;
    p.disk = 123;
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_measure(path, ".", (struct engine_threads){0}, &again, &e), ERR_OK);
    assert_true(again.disk == 123); /* taken from the file */
    assert_int_equal(profile_measure(path, "no/such/folder", (struct engine_threads){0}, &again, &e), ERR_OK);
    assert_string_equal(again.disk_at, "test-profile.json.probe");
    assert_true(again.disk != 123);
    assert_true(again.devices[0].bandwidth == p.devices[0].bandwidth);
    remove(path);
}

static void disturbed_it_is_measured_again_in_a_quiet_moment(void **state) {
    (void)state;
    const clock_us long_ago = UINT64_C(3600) * 1000000;
    struct profile p = {.n_devices = 1};
    assert_true(profile_again(&p, 1, long_ago, 0));
    assert_false(profile_again(&p, 1, long_ago, 0.5)); /* not quiet now either */
    assert_false(profile_again(&p, 1, 1000000, 0));    /* it has just been tried */
    assert_false(profile_again(&p, 100, long_ago, 0)); /* it never is quiet */
    p.quiet = true;
    assert_false(profile_again(&p, 1, long_ago, 0));
    p = (struct profile){0};
    assert_false(profile_again(&p, 1, long_ago, 0)); /* it can't be measured */
}

/* A card that two backends list is one card. */
static void the_faster_backend_of_a_card_counts(void **state) {
    (void)state;
    struct profile p = {.n_devices = 4};
    p.devices[0] = (struct profile_device){.name = "CPU", .bandwidth = 2e10, .flops = 1e11};
    p.devices[1] = (struct profile_device){.name = "CUDA0", .gpu = true, .pci = "0000:03:00.0", .bandwidth = 9e11, .flops = 9e13};
    p.devices[2] = (struct profile_device){.name = "Vulkan0", .gpu = true, .pci = "0000:03:00.0", .bandwidth = 8e11, .flops = 4e13};
    p.devices[3] = (struct profile_device){.name = "Vulkan1", .gpu = true, .pci = "0000:04:00.0", .bandwidth = 8e11, .flops = 4e13};
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(profile_gpu_is_double(&p, i), i == 2);
    p.devices[1].flops = 1e12;
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(profile_gpu_is_double(&p, i), i == 1);
    p.devices[1].flops = p.devices[2].flops = 0; /* not measured: the first */
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(profile_gpu_is_double(&p, i), i == 2);
    for (uint32_t i = 1; i < 4; i++) p.devices[i].pci[0] = '\0'; /* nobody knows */
    for (uint32_t i = 0; i < 4; i++) assert_false(profile_gpu_is_double(&p, i));
}

/* What macOS lets the GPU use leaves the rest to others already: an idle Mac offers the three quarters that plans on paper count. */
static void the_offer_leaves_memory_to_others(void **state) {
    (void)state;
    const uint64_t gib = UINT64_C(1) << 30;
    assert_int_equal(profile_memory_offer_of(64 * gib, UINT64_MAX), 56 * gib);
    assert_int_equal(profile_memory_offer_of(gib, UINT64_MAX), gib / 4 * 3);
    assert_int_equal(profile_memory_offer_of(gib / 8, UINT64_MAX), 0);
    assert_int_equal(profile_memory_offer_of(60 * gib, 48 * gib), 48 * gib); /* a Mac of 64 GB */
    assert_int_equal(profile_memory_offer_of(16 * gib, 48 * gib), 14 * gib); /* the same, busy */
}

static void file_and_back(void **state) {
    (void)state;
    struct profile p = {.n_devices = 2, .disk = 1e9, .quiet = true, .topology = {32, 24, 8, 2, 36 << 20}}, q;
    struct err e = {0};
    p.devices[0] = (struct profile_device){
        .name = "CPU", .description = "a \"chip\"", .memory_total = 10, .memory_free = 5, .bandwidth = 2e10, .step = 512};
    p.devices[1] = (struct profile_device){.name = "Vulkan0", .gpu = true, .pci = "0000:03:00.0", .memory_total = 8, .flops = 1e13};
    snprintf(p.hardware, sizeof(p.hardware), "2 cores");
    assert_int_equal(profile_save(path, &p, &e), ERR_OK);
    assert_int_equal(profile_load(path, &q, &e), ERR_OK);
    remove(path);
    assert_int_equal(q.n_devices, 2);
    assert_string_equal(q.devices[0].description, "a \"chip\"");
    assert_string_equal(q.hardware, "2 cores");
    assert_string_equal(q.devices[1].pci, "0000:03:00.0");
    assert_true(q.devices[0].bandwidth == 2e10 && q.devices[1].flops == 1e13 && q.disk == 1e9 && q.quiet);
    assert_memory_equal(&q.topology, &p.topology, sizeof(p.topology));
    assert_true(q.devices[1].gpu && !q.devices[0].gpu && q.devices[0].memory_free == 5);
    assert_int_equal(profile_step(&q), 512);
    assert_int_equal(profile_load("no-such-file.json", &q, &e), ERR_NOT_FOUND);
}

static void absurd_profiles_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"{\"devices\":7}",
                                      "{\"devices\":[{\"bandwidth\":-1}]}",
                                      "{\"devices\":[{\"bandwidth\":\"fast\"}]}",
                                      "{\"devices\":[{\"memory_total\":-5}]}",
                                      "{\"disk\":1e30}",
                                      "{\"processor\":{\"cores\":-1}}",
                                      "{\"devices\":[{\"flops\":1e30}]}",
                                      "{\"devices\":[{},{},{},{},{},{},{},{},{}]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct profile p;
        struct err e = {0};
        assert_int_equal(file_write(path, bad[i], strlen(bad[i]), NULL), ERR_OK);
        if (profile_load(path, &p, &e) == ERR_OK) fail_msg("accepted: %s", bad[i]);
    }
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_and_kept),
        cmocka_unit_test(of_the_threads_that_stages_use),
        cmocka_unit_test(the_disk_is_that_of_the_models),
        cmocka_unit_test(disturbed_it_is_measured_again_in_a_quiet_moment),
        cmocka_unit_test(the_faster_backend_of_a_card_counts),
        cmocka_unit_test(the_offer_leaves_memory_to_others),
        cmocka_unit_test(file_and_back),
        cmocka_unit_test(absurd_profiles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
