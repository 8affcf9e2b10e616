/* SPDX-License-Identifier: MIT
 * How much of this machine the process may use: the machine's own memory and cores, or less where a container sets limits (os/cgroup.h)
 * or processors are closed to it. Blocking, some system files are read; any thread. */
#ifndef CARAVAN_OS_MACHINE_H
#define CARAVAN_OS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

uint64_t machine_memory(void); /* bytes in all */
/* Bytes available without swapping: MemAvailable of /proc/meminfo (proc(5)), on other systems all physical memory; and at most the bytes
 * that the container has left. */
uint64_t machine_memory_available(void);
/* The most bytes that models may take at once, however many are available: on macOS what it lets the GPU use; elsewhere UINT64_MAX. */
uint64_t machine_memory_for_models(void);
/* Bytes in memory that are this process's own, those that it has from the process that forked it among them, and no pages of files
 * (programs and libraries), which others may have, too; 0: unknown. */
uint64_t machine_memory_own(void);
/* How long the machine's processors have been idle since it started, all together, in us; false: this system doesn't say. In a container:
 * those of the machine, too. */
bool machine_idle_us(uint64_t *ret_us);
/* Cores, at least 1: the processors that this process may run on, but at most its share of processor time, rounded to the nearest. */
uint32_t machine_cores(void);
/* Threads that compute best, at least 1: as machine_cores, but only one a core, and none on efficiency cores (os/cores.h). */
uint32_t machine_threads(void);

#endif
