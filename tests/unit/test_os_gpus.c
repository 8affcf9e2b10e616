/* SPDX-License-Identifier: MIT
 * GPUs and their drivers, in a folder that looks like a machine's /sys, /dev and /usr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "os/gpus.h"
#include "support/folder.h"

enum { MOST = 8 };

static char dir[] = "/tmp/caravan-gpus.XXXXXX";

static void put(const char *name, const char *text) {
    char *path = mem_printf("%s/%s", dir, name);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(file_write(path, text, strlen(text), NULL), ERR_OK);
    free(path);
}

static void put_link(const char *name, const char *target) {
    char *path = mem_printf("%s/%s", dir, name);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static void put_card(const char *pci, const char *class, const char *vendor, const char *driver, const char *node) {
    char name[200], target[200];
    snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/class", pci);
    put(name, class);
    snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/vendor", pci);
    put(name, vendor);
    if (driver) {
        snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/driver", pci);
        snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
        put_link(name, target);
    }
    if (!node) return;
    snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/drm/%s/dev", pci, node);
    put(name, "226:128\n");
    snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/subsystem", pci);
    put_link(name, "../../../bus/pci");
    snprintf(name, sizeof(name), "sys/class/drm/%s/device", node);
    snprintf(target, sizeof(target), "../../../bus/pci/devices/%s", pci);
    put_link(name, target);
}

static void cards_are_found_with_driver_and_device(void **state) {
    (void)state;
    struct os_gpu g[MOST];
    put_card("0000:00:1f.0", "0x060100\n", "0x8086\n", NULL, NULL); /* a bridge */
    put_card("0000:03:00.0", "0x030000\n", "0x1002\n", "amdgpu", "renderD128");
    put_card("0000:04:00.0", "0x030200\n", "0x10de\n", NULL, NULL);
    put_card("0000:05:00.0", "0x030200\n", "0x10de\n", "nvidia", NULL);
    put("dev/dri/renderD128", "");
    put("dev/nvidiactl", "");
    put_link("sys/class/drm/renderD129/device/subsystem", "../../../bus/platform");
    put_link("sys/class/drm/renderD129/device/driver", "../../../bus/platform/drivers/v3d");
    put("sys/class/drm/renderD129/device/drm/renderD129/dev", "226:129\n");
    assert_int_equal(os_gpus(dir, g, MOST), 4);
    assert_string_equal(g[0].pci, "0000:03:00.0");
    assert_int_equal(g[0].vendor, 0x1002);
    assert_string_equal(g[0].driver, "amdgpu");
    assert_string_equal(g[0].node, "/dev/dri/renderD128");
    assert_int_equal(g[0].node_errno, 0);
    assert_true(g[0].group[0] != '\0');
    assert_string_equal(g[1].driver, "");
    assert_string_equal(g[1].node, "");
    assert_string_equal(g[2].node, "/dev/nvidiactl"); /* NVIDIA's driver, without its part for displays */
    assert_string_equal(g[3].pci, "");                /* a board's */
    assert_string_equal(g[3].driver, "v3d");
    assert_string_equal(g[3].node, "/dev/dri/renderD129");
    assert_int_equal(g[3].node_errno, ENOENT);
    put_card("0000:06:00.0", "0x030200\n", "0x1414\n", "dxgkrnl", NULL); /* the machine's, in WSL 2 */
    assert_int_equal(os_gpus(dir, g, MOST), 5);
    assert_string_equal(g[3].node, "/dev/dxg");
    assert_int_equal(g[3].node_errno, ENOENT);
    assert_int_equal(os_gpus(dir, g, 2), 2);
    assert_int_equal(os_gpus("/nonexistent", g, MOST), 0);
}

static void drivers_are_read(void **state) {
    (void)state;
    struct os_gpu_driver d[MOST];
    put("usr/share/vulkan/icd.d/a.json", "{\"ICD\":{\"library_path\":\"libvulkan_a.so\",\"api_version\":\"1.4.0\"}}");
    put("usr/share/vulkan/icd.d/b.json", "{\"ICD\":{\"library_path\":\"../b.so\"}}");
    put("usr/share/vulkan/icd.d/broken.json", "{");
    put("usr/share/vulkan/icd.d/other.txt", "{\"ICD\":{\"library_path\":\"libvulkan_a.so\"}}");
    put("run/opengl-driver/share/vulkan/icd.d/c.json", "{\"ICD\":{\"library_path\":\"/run/c.so\"}}");
    assert_int_equal(os_gpu_drivers(dir, d, MOST), 3);
    assert_string_equal(d[0].file, "/usr/share/vulkan/icd.d/a.json");
    assert_string_equal(d[0].library, "libvulkan_a.so");
    assert_string_equal(d[1].library, "/usr/share/vulkan/icd.d/../b.so");
    assert_string_equal(d[2].library, "/run/c.so");
    assert_int_equal(os_gpu_drivers(dir, d, 1), 1);
}

/* What the loader takes besides: folders of the user, folders and files that the environment names. */
static void drivers_are_looked_for_where_the_loader_does(void **state) {
    (void)state;
    struct os_gpu_driver d[MOST];
    size_t usual = os_gpu_drivers(dir, d, MOST);
    put("me/.local/share/vulkan/icd.d/own.json", "{\"ICD\":{\"library_path\":\"own.so\"}}");
    put("me/.config/vulkan/icd.d/own.json", "{\"ICD\":{\"library_path\":\"config.so\"}}");
    put("nix/share/vulkan/icd.d/n.json", "{\"ICD\":{\"library_path\":\"n.so\"}}");
    put("mine/m.json", "{\"ICD\":{\"library_path\":\"m.so\"}}");
    setenv("HOME", "/me", 1);
    setenv("XDG_DATA_DIRS", "/nix/share/::/usr/share", 1);
    assert_int_equal(os_gpu_drivers(dir, d, MOST), usual + 3); /* /usr/share counts once */
    assert_string_equal(d[0].library, "config.so");
    assert_string_equal(d[1].library, "own.so");
    assert_string_equal(d[2].library, "n.so");
    setenv("XDG_DATA_HOME", "/elsewhere", 1);
    assert_int_equal(os_gpu_drivers(dir, d, MOST), usual + 2);
    assert_null(os_gpu_drivers_chosen());
    setenv("VK_ADD_DRIVER_FILES", "/mine", 1);
    assert_int_equal(os_gpu_drivers(dir, d, MOST), usual + 3);
    assert_string_equal(d[usual + 2].library, "m.so");
    setenv("VK_ICD_FILENAMES", "/none.json", 1);
    assert_int_equal(os_gpu_drivers(dir, d, MOST), 0);
    assert_string_equal(os_gpu_drivers_chosen(), "VK_ICD_FILENAMES");
    setenv("VK_DRIVER_FILES", "/mine/m.json:/nix/share/vulkan/icd.d/", 1);
    assert_int_equal(os_gpu_drivers(dir, d, MOST), 2);
    assert_string_equal(d[1].file, "/nix/share/vulkan/icd.d/n.json");
    assert_string_equal(os_gpu_drivers_chosen(), "VK_DRIVER_FILES");
    static const char *const names[] = {"XDG_DATA_DIRS", "XDG_DATA_HOME", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_DRIVER_FILES"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) unsetenv(names[i]);
}

/* The user's own choice of drivers stays. Where XDG_DATA_DIRS hides the usual folder, the loader is told of it. */
static void the_loader_is_told_where_it_does_not_look(void **state) {
    (void)state;
    setenv("VK_DRIVER_FILES", "/mine.json", 1);
    setenv("XDG_DATA_DIRS", "/nix/share", 1);
    unsetenv("VK_ADD_DRIVER_FILES");
    os_gpu_drivers_show();
    assert_null(getenv("VK_ADD_DRIVER_FILES"));
    unsetenv("VK_DRIVER_FILES");
    setenv("XDG_DATA_DIRS", "/nix/share:/usr/share/:/usr/local/share", 1);
    os_gpu_drivers_show();
    const char *told = getenv("VK_ADD_DRIVER_FILES");
    assert_true(told == NULL || strstr(told, "/usr/share/vulkan") == NULL);
    unsetenv("VK_ADD_DRIVER_FILES");
    setenv("XDG_DATA_DIRS", "/nix/share:/usr/sharing", 1);
    os_gpu_drivers_show();
    told = getenv("VK_ADD_DRIVER_FILES");
    bool there = access("/usr/share/vulkan/icd.d", R_OK | X_OK) == 0;
    assert_int_equal(told != NULL && strstr(told, "/usr/share/vulkan/icd.d") != NULL, there);
}

static int setup(void **state) {
    (void)state;
    static const char *const names[] = {"HOME",          "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",  "XDG_DATA_HOME",
                                        "XDG_DATA_DIRS", "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) unsetenv(names[i]); /* of the user who runs the test */
    return mkdtemp(dir) ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    return folder_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cards_are_found_with_driver_and_device),
        cmocka_unit_test(drivers_are_read),
        cmocka_unit_test(drivers_are_looked_for_where_the_loader_does),
        cmocka_unit_test(the_loader_is_told_where_it_does_not_look),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
