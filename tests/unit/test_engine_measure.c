/* SPDX-License-Identifier: MIT
 * The threads that a device is measured with: ggml is told of them before each of the two measurements, as it is for stages. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ggml-backend.h>

#include "base/mem.h"
#include "engine/measure.h"
#include "engine/runtime.h"
#include "os/machine.h"
#include "os/runtime.h"
#include "plan/profile.h"

static int told[8];
static size_t n_told;
static ggml_backend_set_n_threads_t set_threads;

static void note_threads(ggml_backend_t backend, int n) {
    assert_true(n_told < ARRAY_LEN(told));
    told[n_told++] = n;
    set_threads(backend, n);
}

/* The name of ggml's function: the calls of measure.c come here. */
void *ggml_backend_reg_get_proc_address(ggml_backend_reg_t reg, const char *name) {
    void *(*next)(ggml_backend_reg_t, const char *);
    void *symbol = dlsym(RTLD_NEXT, "ggml_backend_reg_get_proc_address"), *found, *noting;
    void (*note)(ggml_backend_t, int) = note_threads;
    memcpy(&next, &symbol, sizeof(next));
    found = next(reg, name);
    if (found == NULL || strcmp(name, "ggml_backend_set_n_threads") != 0) return found;
    memcpy(&set_threads, &found, sizeof(set_threads));
    memcpy(&noting, &note, sizeof(noting));
    return noting;
}

static void measured_with_the_threads_of_stages(void **state) {
    (void)state;
    const int all = (int)machine_threads();
    const struct {
        struct engine_threads wish;
        int single, several;
    } cases[] = {{{.single = 1, .several = 3}, 1, 3}, {{.single = 2, .several = 1}, 2, 1}, {{.single = 3}, 3, 3}, {{0}, all, all}};
    struct err e = {0};
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct engine_speed speed = {0};
        n_told = 0;
        if (engine_measure("CPU", cases[i].wish, &speed, &e) != ERR_OK) fail_msg("%s", e.text);
        assert_true(speed.bandwidth > 0 && speed.flops > 0);
        assert_int_equal(n_told, 2);
        assert_int_equal(told[0], cases[i].single);
        assert_int_equal(told[1], cases[i].several);
    }
}

static void so_is_a_machine_s_profile(void **state) {
    (void)state;
    static const char *const path = "test-measure.json";
    struct profile p;
    struct err e = {0};
    remove(path);
    n_told = 0;
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    if (profile_measure(path, NULL, (struct engine_threads){.single = 1, .several = 3}, &p, &e) != ERR_OK) fail_msg("%s", e.text);
    remove(path);
    assert_int_equal(n_told, 2);
    assert_true(told[0] == 1 && told[1] == 3);
}

static void an_unknown_device_is_not_found(void **state) {
    (void)state;
    struct engine_speed speed = {0};
    struct err e = {0};
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    assert_int_equal(engine_measure("abacus", (struct engine_threads){0}, &speed, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "abacus"));
    assert_true(speed.bandwidth == 0 && speed.flops == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(measured_with_the_threads_of_stages), cmocka_unit_test(so_is_a_machine_s_profile),
                                       cmocka_unit_test(an_unknown_device_is_not_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
