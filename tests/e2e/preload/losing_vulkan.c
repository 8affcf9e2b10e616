/* SPDX-License-Identifier: MIT
 * Loaded before the Vulkan loader (LD_PRELOAD), this makes a device fail amid its work: once the file that VK_CARAVAN_FAULT names
 * is there, each submission to a queue returns the number in it (VkResult, for instance -4: the device is lost). With "once" behind the
 * number the file is removed with the first of them, and the device is well again. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*function)(void);
typedef function (*lookup)(void *object, const char *name);
typedef int (*submit)(void *queue, uint32_t n, const void *submits, void *fence);

function vkGetInstanceProcAddr(void *instance, const char *name);
function vkGetDeviceProcAddr(void *device, const char *name);

static submit next_submit;

static int failing(void *queue, uint32_t n, const void *submits, void *fence) {
    const char *path = getenv("VK_CARAVAN_FAULT");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    char line[16] = "";
    if (file == NULL) return next_submit(queue, n, submits, fence);
    if (fgets(line, sizeof(line), file) == NULL) line[0] = '\0';
    fclose(file);
    if (strstr(line, "once") != NULL) unlink(path);
    return (int)strtol(line, NULL, 10);
}

/* The loader's own function of that name. */
static lookup of_loader(const char *name) {
    lookup found = NULL;
    void *loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL), *symbol = loader != NULL ? dlsym(loader, name) : NULL;
    memcpy(&found, &symbol, sizeof(found));
    return found;
}

static function replaced(function found, const char *name) {
    if (found == NULL || strcmp(name, "vkQueueSubmit") != 0) return found;
    next_submit = (submit)found;
    return (function)failing;
}

function vkGetDeviceProcAddr(void *device, const char *name) {
    static lookup next;
    if (next == NULL) next = of_loader("vkGetDeviceProcAddr");
    return next != NULL ? replaced(next(device, name), name) : NULL;
}

function vkGetInstanceProcAddr(void *instance, const char *name) {
    static lookup next;
    if (next == NULL) next = of_loader("vkGetInstanceProcAddr");
    if (next == NULL) return NULL;
    return strcmp(name, "vkGetDeviceProcAddr") == 0 ? (function)vkGetDeviceProcAddr : replaced(next(instance, name), name);
}
