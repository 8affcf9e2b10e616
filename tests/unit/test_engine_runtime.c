/* SPDX-License-Identifier: MIT
 * The start of libllama: the right backends, the devices, and an abort that logs a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <llama.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/runtime.h"
#include "os/runtime.h"

static void an_empty_folder_is_explained(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(engine_runtime_start("/nonexistent/backends", &e), ERR_UNAVAILABLE);
    assert_non_null(strstr(e.text, "\"/nonexistent/backends\""));
    assert_true(strlen(e.hint) > 0);
}

static void the_processor_is_listed(void **state) {
    (void)state;
    struct err e = {0};
    struct engine_device d[16];
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK);
    assert_int_equal(engine_runtime_start(os_backends_dir, &e), ERR_OK); /* a second start does nothing */
    size_t n = engine_devices(d, ARRAY_LEN(d)), cpus = 0;
    assert_uint_in_range(n, 1, ARRAY_LEN(d));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(d[i].type, "cpu") != 0) continue;
        cpus++;
        assert_string_equal(d[i].name, "CPU");
        assert_true(strlen(d[i].description) > 0);
        assert_true(d[i].memory_total > UINT64_C(64) << 20);
    }
    assert_int_equal(cpus, 1);
    assert_int_equal(engine_devices(NULL, 0), n);
}

/* On x86 the plainest variant of the CPU backend runs anywhere; a machine with AVX2 must not end up with it. */
static void the_best_variant_was_loaded(void **state) {
    (void)state;
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2")) skip();
    assert_non_null(strstr(llama_print_system_info(), "AVX2 = 1"));
#else
    skip();
#endif
}

/* ggml's Metal and CUDA call each of their devices a card. */
static void gpus_without_memory_of_their_own_are_known(void **state) {
    (void)state;
    assert_true(engine_device_is_unified("MTL", "Apple M4 Pro"));
    assert_true(engine_device_is_unified("CUDA", "NVIDIA GB10"));
    assert_true(engine_device_is_unified("CUDA", "Orin"));
    assert_false(engine_device_is_unified("MTL", "AMD Radeon Pro 5500M")); /* a card of an older Mac */
    assert_false(engine_device_is_unified("CUDA", "NVIDIA GeForce RTX 4090"));
    assert_false(engine_device_is_unified("Vulkan", "Apple M1 (Honeykrisp)")); /* Vulkan itself says that it is integrated */
}

static void complaints_and_sizes_are_kept(void **state) {
    (void)state;
    ggml_log_callback log = NULL;
    void *user = NULL;
    llama_log_get(&log, &user);
    engine_runtime_clear();
    assert_string_equal(engine_runtime_complaint(), "");
    log(GGML_LOG_LEVEL_INFO, "load_tensors:          CPU model buffer size =    10.50 MiB\n", user);
    log(GGML_LOG_LEVEL_INFO, "load_tensors:   CPU_REPACK model buffer size =     2.00 MiB\n", user);
    log(GGML_LOG_LEVEL_INFO, "llama_kv_cache:        CPU KV buffer size =     8.00 MiB\n", user);
    log(GGML_LOG_LEVEL_ERROR, "llama_decode: something: is wrong\n", user);
    assert_string_equal(engine_runtime_complaint(), "something: is wrong");
    assert_int_equal(engine_runtime_tally().weights, (10 << 20) + (2 << 20) + (1 << 19));
    assert_int_equal(engine_runtime_tally().kv, 8 << 20);
    log(GGML_LOG_LEVEL_ERROR, "no function here\n", user);
    assert_string_equal(engine_runtime_complaint(), "no function here");
}

/* In a child: libllama's abort() comes with our last line in the log. */
static void an_abort_leaves_a_line(void **state) {
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDERR_FILENO);
        dup2(fd[1], STDOUT_FILENO);
        signal(SIGABRT, SIG_DFL);
        GGML_ABORT("the llama sat down");
    }
    close(fd[1]);
    char text[4096] = {0};
    size_t len = 0;
    for (ssize_t n; len < sizeof(text) - 1 && (n = read(fd[0], text + len, sizeof(text) - 1 - len)) > 0;) len += (size_t)n;
    close(fd[0]);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "the llama sat down"));
    assert_non_null(strstr(text, "llama: abort:"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_folder_is_explained), cmocka_unit_test(the_processor_is_listed),
        cmocka_unit_test(the_best_variant_was_loaded),  cmocka_unit_test(complaints_and_sizes_are_kept),
        cmocka_unit_test(an_abort_leaves_a_line),       cmocka_unit_test(gpus_without_memory_of_their_own_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
