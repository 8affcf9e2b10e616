/* SPDX-License-Identifier: MIT
 * The files that come with the program, and how it is started again. Any thread. */
#ifndef CARAVAN_OS_RUNTIME_H
#define CARAVAN_OS_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

extern const char os_backends_dir[]; /* the folder of ggml's backend modules, for os_runtime_path(); "": ggml knows its own */
extern const char os_ca_bundle[];    /* certificates of authorities, for a system that has none; for os_runtime_path() */

/* An absolute path stays as it is; another one counts from the folder of the running loader, for a bundle may lie anywhere. False:
 * unknown, or longer than `size`. */
bool os_runtime_path(const char *path, char *ret, size_t size);
/* The path that starts the running program again: its file, or the launcher of a bundle (packaging/launcher.c). False: unknown. */
bool os_program_path(char *ret, size_t size);
/* The path of the file that this function was loaded from: the program or a library. False: unknown. */
bool os_code_path(void (*function)(void), char *ret, size_t size);

#endif
