/* SPDX-License-Identifier: MIT
 * See machine.h. macOS. */
#include "os/machine.h"

#include <mach/mach.h>
#include <stdbool.h>
#include <sys/sysctl.h>
#include <unistd.h>

static uint64_t read_sysctl(const char *name) {
    uint64_t value = 0;
    size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 ? value : 0; /* of 4 bytes: the machine is little-endian */
}

uint64_t machine_memory(void) { return read_sysctl("hw.memsize"); }

/* What the GPU may use at once, where models are computed: the user's limit, else what macOS takes, about three quarters. */
uint64_t machine_memory_for_models(void) {
    uint64_t mb = read_sysctl("iogpu.wired_limit_mb");
    return mb > 0 ? mb << 20 : machine_memory() / 4 * 3;
}

/* Free pages, and those that are given up when others need them. */
uint64_t machine_memory_available(void) {
    vm_statistics64_data_t s;
    mach_msg_type_number_t n = HOST_VM_INFO64_COUNT;
    vm_size_t page;
    mach_port_t host = mach_host_self();
    bool good =
        host_page_size(host, &page) == KERN_SUCCESS && host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&s, &n) == KERN_SUCCESS;
    mach_port_deallocate(mach_task_self(), host);
    return good ? ((uint64_t)s.free_count + s.inactive_count + s.purgeable_count) * page : machine_memory();
}

uint64_t machine_memory_own(void) {
    task_vm_info_data_t info;
    mach_msg_type_number_t n = TASK_VM_INFO_COUNT;
    return task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&info, &n) == KERN_SUCCESS ? info.phys_footprint : 0;
}

bool machine_idle_us(uint64_t *ret_us) {
    host_cpu_load_info_data_t load;
    mach_msg_type_number_t n = HOST_CPU_LOAD_INFO_COUNT;
    mach_port_t host = mach_host_self();
    long ticks = sysconf(_SC_CLK_TCK);
    bool good = ticks > 0 && host_statistics(host, HOST_CPU_LOAD_INFO, (host_info_t)&load, &n) == KERN_SUCCESS;
    mach_port_deallocate(mach_task_self(), host);
    if (good) *ret_us = (uint64_t)((double)load.cpu_ticks[CPU_STATE_IDLE] * 1e6 / (double)ticks);
    return good;
}

uint32_t machine_cores(void) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

uint32_t machine_threads(void) {
    uint64_t fast = read_sysctl("hw.perflevel0.physicalcpu"), all = read_sysctl("hw.physicalcpu");
    if (fast > 0) return (uint32_t)fast; /* level 0: the performance cores */
    return all > 0 ? (uint32_t)all : machine_cores();
}
