/* SPDX-License-Identifier: MIT
 * Loaded before the Vulkan loader (LD_PRELOAD), this is a driver that crashes as soon as it is asked for anything, or, if VK_CARAVAN_HANGS
 * is set, never answers. */
#include <stdlib.h>
#include <unistd.h>

void *vkGetInstanceProcAddr(void *instance, const char *name);
void *vkGetInstanceProcAddr(void *instance, const char *name) {
    (void)instance;
    (void)name;
    while (getenv("VK_CARAVAN_HANGS") != NULL) pause();
    abort();
}
