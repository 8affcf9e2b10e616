/* SPDX-License-Identifier: MIT
 * See gpus.h. On macOS the GPU's driver is part of the system, and every process may use it: ggml's Metal backend says what there is. */
#include "os/gpus.h"

size_t os_gpus(const char *root, struct os_gpu *ret, size_t max) {
    (void)root;
    (void)ret;
    (void)max;
    return 0;
}

size_t os_gpu_drivers(const char *root, struct os_gpu_driver *ret, size_t max) {
    (void)root;
    (void)ret;
    (void)max;
    return 0;
}

const char *os_gpu_drivers_chosen(void) { return NULL; }

void os_gpu_drivers_show(void) {}
