/* SPDX-License-Identifier: MIT
 * The whole cache (cache.h): its contents, and keeping it within its bounds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "weights/cache.h"
#include "model/hash.h"

enum { MAX_CACHED = 1024 };

/* Calls one(path, user) for every entry of a folder. */
static void each_entry(const char *folder, void (*one)(const char *path, const char *name, void *user), void *user) {
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *d; (d = readdir(dir));) {
        if (d->d_name[0] == '.') continue;
        char *path = mem_printf("%s/%s", folder, d->d_name);
        one(path, d->d_name, user);
        free(path);
    }
    closedir(dir);
}

static void add_bytes(const char *path, const char *name, void *user) {
    struct stat st;
    (void)name;
    if (stat(path, &st) == 0) *(uint64_t *)user += (uint64_t)st.st_blocks * 512;
}

struct listing {
    struct weights_cached *list;
    size_t n, max;
};

static void add_model(const char *path, const char *name, void *user) {
    struct listing *l = user;
    struct stat st;
    char *lock = mem_printf("%s/lock", path);
    if (model_id_ok(name) && l->n < l->max && stat(lock, &st) == 0) {
        struct weights_cached *c = &l->list[l->n++];
        *c = (struct weights_cached){.used = st.st_mtime};
        memcpy(c->id, name, sizeof(c->id));
        each_entry(path, add_bytes, &c->bytes);
    }
    free(lock);
}

size_t weights_cache_list(const char *folder, struct weights_cached *ret, size_t max) {
    struct listing l = {.list = ret, .max = max};
    each_entry(folder, add_model, &l);
    return l.n;
}

static void remove_file(const char *path, const char *name, void *user) {
    (void)user;
    if (strcmp(name, "lock") != 0) unlink(path);
}

err_code weights_cache_remove(const char *folder, const char *id, struct err *e) {
    if (!model_id_ok(id)) return err_set(e, ERR_INVALID, "not a model id: \"%.80s\"", id);
    char *path = mem_printf("%s/%s", folder, id), *lock = mem_printf("%s/lock", path);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    err_code code = ERR_OK;
    if (fd < 0) code = err_set_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open \"%s\"", lock);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0) code = err_set(e, ERR_BUSY, "the weights of model %.12s are in use", id);
    if (code == ERR_OK) {
        each_entry(path, remove_file, NULL);
        unlink(lock);
        if (rmdir(path) != 0) code = err_set_errno(e, ERR_IO, errno, "cannot remove \"%s\"", path);
    }
    if (fd >= 0) close(fd);
    free(path);
    free(lock);
    return code;
}

static int by_use(const void *a, const void *b) {
    const struct weights_cached *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

static uint64_t disk_free(const char *folder) {
    struct statvfs v;
    return statvfs(folder, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
}

/* The disk of the folder, or, until it is made, of the one where it will be. */
static uint64_t disk_of(const char *folder) {
    char *path = mem_strdup(folder), *slash;
    uint64_t room = disk_free(path);
    while (room == UINT64_MAX && (slash = strrchr(path, '/')) != NULL && slash > path) {
        *slash = '\0';
        room = disk_free(path);
    }
    free(path);
    return room;
}

uint64_t weights_cache_room(const char *folder, uint64_t limit) {
    struct weights_cached *list = mem_calloc(MAX_CACHED, sizeof(*list));
    size_t n = weights_cache_list(folder, list, MAX_CACHED);
    uint64_t room = disk_of(folder);
    for (size_t i = 0; i < n && room != UINT64_MAX; i++) room += list[i].bytes;
    free(list);
    return limit > 0 && limit < room ? limit : room;
}

static err_code no_room(const char *folder, uint64_t need, uint64_t room, bool limited, struct err *e) {
    char a[STR_SHORT], b[STR_SHORT];
    err_set(e, ERR_NO_ROOM, "cannot fetch %s of weights into \"%s\": there is room for %s", str_size(need, a), folder, str_size(room, b));
    err_hint(e, limited ? "a larger --cache-limit allows more" : "free space on this disk, or put the folder elsewhere with --state-dir");
    return ERR_NO_ROOM;
}

err_code weights_cache_make_room(const char *folder, const char *keep, uint64_t need, uint64_t limit, struct err *e) {
    struct weights_cached *list = mem_calloc(MAX_CACHED, sizeof(*list));
    size_t n = weights_cache_list(folder, list, MAX_CACHED), at = 0;
    uint64_t used = 0, room;
    bool limited;
    qsort(list, n, sizeof(*list), by_use);
    for (size_t i = 0; i < n; i++) used += list[i].bytes;
    for (;;) {
        uint64_t disk = disk_free(folder), bound = limit == 0 ? UINT64_MAX : limit > used ? limit - used : 0;
        limited = bound < disk;
        room = limited ? bound : disk;
        if (need <= room) break;
        while (at < n && (strcmp(list[at].id, keep) == 0 || weights_cache_remove(folder, list[at].id, NULL) != ERR_OK)) at++;
        if (at == n) break;
        char size[STR_SHORT];
        log_info("weights", "removed %s of model %.12s from the cache, to make room", str_size(list[at].bytes, size), list[at].id);
        used -= list[at++].bytes;
    }
    free(list);
    return need <= room ? ERR_OK : no_room(folder, need, room, limited, e);
}
