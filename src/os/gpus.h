/* SPDX-License-Identifier: MIT
 * The GPUs that the kernel knows, whether this process may use them, and the Vulkan drivers that are installed for them. What computes
 * there is not decided here. Blocking, some system files are read; any thread. */
#ifndef CARAVAN_OS_GPUS_H
#define CARAVAN_OS_GPUS_H

#include <stddef.h>
#include <stdint.h>

struct os_gpu {
    char pci[16];     /* "0000:03:00.0"; "": it is not on that bus */
    uint16_t vendor;  /* its PCI number; 0: none */
    char driver[32];  /* of the kernel: "amdgpu"; "": none has it */
    char node[64];    /* the device that programs open: "/dev/dri/renderD128"; "": the driver gives none */
    int node_errno;   /* why it cannot be opened for reading and writing; 0: it can */
    char group[32];   /* the group of that device; "": it is not there */
};
/* Displays without a computing part are among them. root: "", or for tests a folder that stands for /. Returns how many, at most max. */
size_t os_gpus(const char *root, struct os_gpu *ret, size_t max);

/* A description of a driver that the Vulkan loader reads (Vulkan loader documentation, LoaderDriverInterface). */
struct os_gpu_driver {
    char file[256];    /* "/usr/share/vulkan/icd.d/radeon_icd.json" */
    char library[256]; /* the driver, for dlopen */
};
/* Those that the loader of this process would look at, and those in folders that os_gpu_drivers_show tells it of. */
size_t os_gpu_drivers(const char *root, struct os_gpu_driver *ret, size_t max);
/* The variable of the environment by which the user says which drivers are to be taken, and no others; NULL: none is set. */
const char *os_gpu_drivers_chosen(void);

/* Tells the Vulkan loader about folders of drivers where it doesn't look, unless the user has said which drivers it is to take
 * (VK_DRIVER_FILES and the like). Changes the environment, also of child processes: before any thread is started. */
void os_gpu_drivers_show(void);

#endif
