/* SPDX-License-Identifier: MIT
 * Folders of backends that users name: which are refused, with the module's name, and which will do. No module is loaded here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ggml.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/backends.h"
#include "support/folder.h"

static char dir[] = "/tmp/caravan-backends.XXXXXX";

static void put(const char *folder, const char *name) {
    char *path = mem_printf("%s/%s/%s", dir, folder, name);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(file_write(path, "", 0, NULL), ERR_OK);
    free(path);
}

static err_code check(const char *folder, struct err *e) {
    char *path = mem_printf("%s/%s", dir, folder);
    *e = (struct err){0};
    err_code code = engine_backends_check(path, e);
    free(path);
    return code;
}

static bool has_gpu(const char *folder) {
    char *path = mem_printf("%s/%s", dir, folder);
    bool has = engine_backends_has_gpu(path);
    free(path);
    return has;
}

static void a_module_of_another_version_is_refused_by_name(void **state) {
    (void)state;
    struct err e;
    put("old", "libggml-cuda.so");
    put("old", "libggml-base.so.0.9.4");
    assert_int_equal(check("old", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "libggml-cuda.so"));
    assert_non_null(strstr(e.text, "0.9.4"));
    assert_non_null(strstr(e.text, ggml_version()));
    assert_true(e.hint[0] != '\0');
    /* Two versions beside it: the module may be of either. */
    char both[64];
    snprintf(both, sizeof(both), "libggml-base.so.%s", ggml_version());
    put("old", both);
    assert_int_equal(check("old", &e), ERR_INVALID);
    put("unknown", "libggml-hip.so");
    put("unknown", "libggml-base.so");
    assert_int_equal(check("unknown", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "cannot tell"));
    assert_non_null(strstr(e.text, "libggml-hip.so"));
}

static void this_version_will_do(void **state) {
    (void)state;
    struct err e;
    char base[64], folder[64];
    snprintf(base, sizeof(base), "libggml-base.so.%s", ggml_version());
    put("build", "libggml-cuda.so");
    put("build", base);
    assert_int_equal(check("build", &e), ERR_OK);
    put(ggml_version(), "libggml-cuda.so");
    assert_int_equal(check(ggml_version(), &e), ERR_OK);
    snprintf(folder, sizeof(folder), "%s/", ggml_version());
    assert_int_equal(check(folder, &e), ERR_OK);
}

static void a_folder_without_modules_is_refused(void **state) {
    (void)state;
    struct err e;
    assert_int_equal(check("nowhere", &e), ERR_NOT_FOUND);
    put("plain", "libggml-cpu-x64.so");
    put("plain", "libggml-cpu.so");
    put("plain", "libggml-blas.so");
    put("plain", "libggml-rpc.so");
    put("plain", "libggml-base.so");
    put("plain", "libggml-.so");
    put("plain", "libggml-cuda.so.txt");
    put("plain", "libllama.so");
    assert_int_equal(check("plain", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "no backend"));
    assert_false(has_gpu("plain"));
    put("plain", "libggml-vulkan.so");
    assert_true(has_gpu("plain"));
    assert_false(has_gpu("nowhere"));
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    return folder_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_of_another_version_is_refused_by_name),
        cmocka_unit_test(this_version_will_do),
        cmocka_unit_test(a_folder_without_modules_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
