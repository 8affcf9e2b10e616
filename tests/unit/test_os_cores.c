/* SPDX-License-Identifier: MIT
 * Which processors are worth a thread, of machines made of plain files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "os/cores.h"
#include "os/machine.h"
#include "support/folder.h"

enum { MOST = 32 };
static char dir[] = "/tmp/caravan-cores.XXXXXX";

static void put(const char *machine, const char *name, const char *text) {
    char *path = mem_printf("%s/%s/%s", dir, machine, name);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(file_write(path, text, strlen(text), NULL), ERR_OK);
    free(path);
}

static void put_processor(const char *machine, uint32_t i, const char *name, const char *text) {
    char *file = mem_printf("system/cpu/cpu%u/%s", i, name);
    put(machine, file, text);
    free(file);
}

/* The processors from..to may be used. */
static uint32_t look(const char *machine, uint32_t from, uint32_t to) {
    bool may[MOST] = {false};
    for (uint32_t i = from; i <= to; i++) may[i] = true;
    char *folder = mem_printf("%s/%s", dir, machine);
    uint32_t n = cores_fast(folder, may, MOST);
    free(folder);
    return n;
}

static void without_files_each_processor_counts(void **state) {
    (void)state;
    assert_int_equal(look("none", 0, 7), 8);
    assert_int_equal(look("none", 3, 3), 1);
    put("odd", "cpu_atom/cpus", "x\n");
    put_processor("odd", 0, "topology/core_cpus_list", "");
    put_processor("odd", 1, "topology/core_cpus_list", "99999999999999999999\n");
    put_processor("odd", 2, "cpu_capacity", "-5\n");
    assert_int_equal(look("odd", 0, 3), 4);
    bool may[1] = {false};
    assert_int_equal(cores_fast(dir, may, 1), 1);
    assert_int_equal(cores_fast(dir, may, 0), 1);
}

/* Processor i and i + 4 are one core. */
static void hardware_threads_of_a_core_count_once(void **state) {
    (void)state;
    static const char *const lists[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};
    for (uint32_t i = 0; i < 8; i++)
        put_processor("smt", i, i < 6 ? "topology/core_cpus_list" : "topology/thread_siblings_list", lists[i % 4]);
    assert_int_equal(look("smt", 0, 7), 4);
    assert_int_equal(look("smt", 0, 3), 4);
    assert_int_equal(look("smt", 4, 5), 2); /* their first hardware thread may not be used */
    assert_int_equal(look("smt", 3, 4), 2);
}

/* 2 fast cores of two hardware threads, 4 efficiency cores. */
static void efficiency_cores_of_hybrids_do_not_count(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 4; i++) put_processor("hybrid", i, "topology/core_cpus_list", i < 2 ? "0-1\n" : "2-3\n");
    put("hybrid", "cpu_atom/cpus", "4-6,7\n");
    assert_int_equal(look("hybrid", 0, 7), 2);
    assert_int_equal(look("hybrid", 5, 7), 3); /* only they may be used */
    put("hybrid", "cpu_lowpower/cpus", "8-9\n"); /* a third kind */
    assert_int_equal(look("hybrid", 0, 9), 2);
    put("hybrid", "cpu_atom/cpus", "\n");
    assert_int_equal(look("hybrid", 0, 9), 2 + 4);
}

/* Four slow, three middle cores and a fast one, as phones and boards have them. */
static void little_cores_do_not_count(void **state) {
    (void)state;
    static const char *const capacities[] = {"290\n", "290\n", "290\n", "290\n", "800\n", "800\n", "800\n", "1024\n"};
    for (uint32_t i = 0; i < 8; i++) put_processor("board", i, "cpu_capacity", capacities[i]);
    assert_int_equal(look("board", 0, 7), 4);
    assert_int_equal(look("board", 0, 3), 4);
    assert_int_equal(look("board", 2, 5), 2);
}

static void this_machine_has_some(void **state) {
    (void)state;
    assert_uint_in_range(machine_threads(), 1, machine_cores());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_files_each_processor_counts),
                                       cmocka_unit_test(hardware_threads_of_a_core_count_once),
                                       cmocka_unit_test(efficiency_cores_of_hybrids_do_not_count),
                                       cmocka_unit_test(little_cores_do_not_count), cmocka_unit_test(this_machine_has_some)};
    if (!mkdtemp(dir)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return folder_remove(dir) == 0 ? failed : 1;
}
