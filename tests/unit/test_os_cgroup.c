/* SPDX-License-Identifier: MIT
 * Limits of control groups, in hierarchies made of plain files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "os/cgroup.h"
#include "base/file.h"
#include "os/machine.h"
#include "base/mem.h"
#include "support/folder.h"

#define MB (UINT64_C(1) << 20)

static char dir[] = "/tmp/caravan-cgroup.XXXXXX";

/* A file below the test's folder; its text may name that folder as %s. */
static void put(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *name, const char *format, ...) {
    char text[2048], *path = mem_printf("%s/%s", dir, name);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(file_write(path, text, strlen(text), NULL), ERR_OK);
    free(path);
}

static struct cgroup_limits look(const char *proc) {
    struct cgroup_limits l;
    char *path = mem_printf("%s/%s", dir, proc);
    cgroup_read(path, &l);
    free(path);
    return l;
}

static void assert_limits(struct cgroup_limits l, uint64_t memory, uint64_t left, double cpus) {
    assert_int_equal(l.memory, memory);
    assert_int_equal(l.left, left);
    assert_true(l.cpus > cpus - 0.001 && l.cpus < cpus + 0.001);
}

static void nothing_there_is_no_limit(void **state) {
    (void)state;
    assert_limits(look("none"), UINT64_MAX, UINT64_MAX, 0);
    put("bad/cgroup", "0:\n::\n0::\n\nx\n0::/a/../b\n");
    put("bad/mountinfo", "\n - \na b c - cgroup2\n1 2 3 4 5 6 -\n1 2 3 / %s/nowhere rw - cgroup2 c rw\n", dir);
    assert_limits(look("bad"), UINT64_MAX, UINT64_MAX, 0);
}

/* The tightest limit of the group and the groups above it counts. Memory of its file cache counts as available. */
static void version_2_is_read_up_to_its_root(void **state) {
    (void)state;
    put("two/cgroup", "0::/pod/box/app\n");
    put("two/mountinfo", "29 22 0:26 / %s/v2 rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", dir);
    put("v2/pod/box/app/memory.max", "max\n");
    put("v2/pod/box/app/memory.high", "max\n");
    put("v2/pod/box/app/cpu.max", "max 100000\n");
    assert_limits(look("two"), UINT64_MAX, UINT64_MAX, 0);
    put("v2/pod/box/memory.max", "%llu\n", (unsigned long long)(512 * MB));
    put("v2/pod/box/memory.high", "max\n");
    put("v2/pod/box/memory.current", "%llu\n", (unsigned long long)(300 * MB));
    put("v2/pod/box/memory.stat", "anon 1\nfile 9\ninactive_file %llu\nactive_file %llu\nslab_reclaimable %llu\nworkingset 7\n",
        (unsigned long long)(60 * MB), (unsigned long long)(30 * MB), (unsigned long long)(10 * MB));
    put("v2/pod/box/cpu.max", "150000 100000\n");
    assert_limits(look("two"), 512 * MB, 312 * MB, 1.5);
    put("v2/pod/memory.max", "%llu\n", (unsigned long long)(4096 * MB));
    put("v2/pod/memory.high", "%llu\n", (unsigned long long)(1024 * MB));
    put("v2/pod/memory.current", "%llu\n", (unsigned long long)(1000 * MB));
    put("v2/pod/cpu.max", "400000 100000\n");
    assert_limits(look("two"), 512 * MB, 24 * MB, 1.5); /* a neighbour has used most of the memory that both may have */
    put("v2/pod/memory.current", "%llu\n", (unsigned long long)(1100 * MB));
    assert_limits(look("two"), 512 * MB, 0, 1.5);
}

/* Seen from inside of a container, the root of the mount is the container's group, and its place may be written as seen from outside. */
static void a_container_sees_a_part_of_the_hierarchy(void **state) {
    (void)state;
    put("in/cgroup", "0::/docker/abc\n");
    put("in/mountinfo", "29 22 0:26 /docker/abc %s/with\\040blank ro - cgroup2 cgroup2 rw\n", dir);
    put("with blank/memory.max", "%llu\n", (unsigned long long)(256 * MB));
    put("with blank/memory.current", "%llu\n", (unsigned long long)(56 * MB));
    assert_limits(look("in"), 256 * MB, 200 * MB, 0);
    put("in/cgroup", "0::/docker/abc/inner\n");
    put("with blank/inner/memory.max", "%llu\n", (unsigned long long)(128 * MB));
    put("with blank/inner/memory.current", "0\n");
    assert_limits(look("in"), 128 * MB, 128 * MB, 0);
    put("in/cgroup", "0::/docker/abcdef\n"); /* not below the root: only the mount point is known */
    assert_limits(look("in"), 256 * MB, 200 * MB, 0);
    put("in/cgroup", "0::/\n");
    assert_limits(look("in"), 256 * MB, 200 * MB, 0);
}

static void version_1_has_a_hierarchy_for_each_controller(void **state) {
    (void)state;
    put("one/cgroup", "9:name=systemd:/x\n4:memory:/box/app\n3:cpuset:/\n1:cpu,cpuacct:/slow\n0::/\n");
    put("one/mountinfo",
        "35 31 0:32 / %s/m rw - cgroup cgroup rw,memory\n32 31 0:29 / %s/c rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:29 / %s/s rw - cgroup cgroup rw,cpuset\n41 31 0:38 / %s/u rw - cgroup2 cgroup2 rw\n22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
        dir, dir, dir, dir);
    put("m/memory.limit_in_bytes", "9223372036854771712\n");
    put("m/memory.usage_in_bytes", "123456\n");
    put("m/box/app/memory.limit_in_bytes", "9223372036854771712\n");
    put("c/slow/cpu.cfs_quota_us", "-1\n");
    put("c/slow/cpu.cfs_period_us", "100000\n");
    assert_limits(look("one"), UINT64_MAX, UINT64_MAX, 0);
    put("m/box/memory.limit_in_bytes", "%llu\n", (unsigned long long)(100 * MB));
    put("m/box/memory.usage_in_bytes", "%llu\n", (unsigned long long)(90 * MB));
    put("m/box/memory.stat", "cache 5\ninactive_file 7\ntotal_inactive_file %llu\ntotal_active_file %llu\n", (unsigned long long)(20 * MB),
        (unsigned long long)(5 * MB));
    put("c/slow/cpu.cfs_quota_us", "50000\n");
    put("s/cpu.cfs_quota_us", "1\n"); /* of another hierarchy */
    put("s/cpu.cfs_period_us", "100000\n");
    assert_limits(look("one"), 100 * MB, 35 * MB, 0.5);
}

static void the_machine_has_something(void **state) {
    (void)state;
    assert_uint_in_range(machine_cores(), 1, 65536);
    assert_true(machine_memory() > 0 && machine_memory_available() <= machine_memory());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_there_is_no_limit), cmocka_unit_test(version_2_is_read_up_to_its_root),
                                       cmocka_unit_test(a_container_sees_a_part_of_the_hierarchy),
                                       cmocka_unit_test(version_1_has_a_hierarchy_for_each_controller),
                                       cmocka_unit_test(the_machine_has_something)};
    if (!mkdtemp(dir)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return folder_remove(dir) == 0 ? failed : 1;
}
