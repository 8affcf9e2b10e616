/* SPDX-License-Identifier: MIT
 * The calls that POSIX lacks and that differ between systems: files, processes, the machine (os/net.h has sockets). Each system has a file
 * (linux.c). All other folders are compiled with POSIX's names alone. Descriptors that these functions make are closed on exec. A
 * function that fails returns -1, NULL or false, and sets errno as the system does. Any thread. */
#ifndef CARAVAN_OS_OS_H
#define CARAVAN_OS_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/* ---- files ---- */
int os_pipe(int ret_fds[2], bool blocks);
int64_t os_file_changed_ns(const struct stat *st); /* when the content changed last, in nanoseconds since 1970 */
int os_file_sync(int fd);                          /* writes the content to the disk, and what is needed to find it again */
int os_file_uncache(int fd);                       /* later reads come from the disk, not from memory */
/* A stream for reading. `read` gives the bytes at the stream's position, as pread does; `seek` gives the new position, or -1. fclose()
 * calls `close` once. NULL: no memory. */
struct os_stream {
    ssize_t (*read)(void *user, char *buf, size_t size);
    int64_t (*seek)(void *user, int64_t offset, int whence);
    int (*close)(void *user);
};
FILE *os_stream_open(void *user, const struct os_stream *functions);

/* ---- processes and threads ---- */
/* In a child between fork and exec: the child gets `signal` when its parent dies. Async-signal-safe. */
void os_die_with_parent(int signal);
/* In a child between fork and exec: makes all descriptors from `first` on close on exec. Async-signal-safe. */
void os_close_on_exec_from(int first);
/* Sets every signal to its default action. Async-signal-safe. */
void os_signals_reset(void);
char **os_environment(void);
/* A condition whose waits end at a time of clock_now() (base/clock.h): not every system lets pthread_cond_timedwait() use that clock. */
void os_cond_init(pthread_cond_t *cond);
bool os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until); /* false: the time has come */
void os_thread_name(const char *name); /* of the calling thread; at most 15 characters show */

/* ---- the machine ---- */
void *os_memory_map(size_t len);  /* zeros in pages of their own, for munmap() */
bool os_load(double *ret);        /* running and waiting processes, on average over the last minute */
void os_memory_trim(void);        /* returns memory that malloc keeps to the system */
void os_memory_give_back(void);   /* from now on, large blocks (128 KiB) go back to the system as soon as they are freed */
void os_random(void *ret, size_t len); /* for seeds and names, not for keys; len <= 256 */
bool os_boot_id(char *ret, size_t size); /* a text that differs after each boot of the machine; false: unknown */
bool os_huge_pages(char *ret, size_t size); /* "always", "madvise" or "never"; false: unknown */
extern const char os_power_supplies[]; /* the folder that stage_spin_on_battery() reads; "": none */
bool os_cpu_has_aes(void);        /* in hardware */

#endif
