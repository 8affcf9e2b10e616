/* SPDX-License-Identifier: MIT
 * Loaded before the Vulkan loader (LD_PRELOAD), this is a driver that crashes as soon as it is asked for anything. */
#include <stdlib.h>

void *vkGetInstanceProcAddr(void *instance, const char *name);
void *vkGetInstanceProcAddr(void *instance, const char *name) {
    (void)instance;
    (void)name;
    abort();
}
