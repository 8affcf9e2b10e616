/* SPDX-License-Identifier: MIT
 * Loaded before the C library (LD_PRELOAD), this makes one child process run another program: the child number CARAVAN_OTHER_CHILD, as
 * the parent starts them (from 1), runs CARAVAN_OTHER_PROGRAM. So one stage of `caravan verify` runs on another kind of processor. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int started;
static const char *other;

pid_t fork(void) {
    pid_t (*next)(void);
    const char *number = getenv("CARAVAN_OTHER_CHILD");
    *(void **)&next = dlsym(RTLD_NEXT, "fork");
    other = ++started == (number != NULL ? strtol(number, NULL, 10) : 0) ? getenv("CARAVAN_OTHER_PROGRAM") : NULL;
    return next();
}

int execve(const char *path, char *const argv[], char *const env[]) {
    int (*next)(const char *, char *const[], char *const[]);
    *(void **)&next = dlsym(RTLD_NEXT, "execve");
    if (other == NULL) return next(path, argv, env);
    char *rest[256]; /* without LD_PRELOAD: this library is for the parent's kind of processor */
    size_t n = 0;
    for (; *env != NULL && n + 1 < sizeof(rest) / sizeof(rest[0]); env++)
        if (strncmp(*env, "LD_PRELOAD=", strlen("LD_PRELOAD=")) != 0) rest[n++] = *env;
    rest[n] = NULL;
    return next(other, argv, rest);
}
