/* SPDX-License-Identifier: MIT
 * A model's folder in the cache; room.c keeps the whole cache within its bounds. */
#include "weights/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/hash.h"
#include "os/os.h"

struct weights_cache {
    char *path; /* of the model's folder */
    struct weights_shape shape;
    int lock, fds[MODEL_MAX_PARTS];
    uint8_t *maps[MODEL_MAX_PARTS]; /* a byte for each chunk, shared with other processes */
    bool writes;
};

/* ---- opening ---- */

static err_code cache_read_shape(struct weights_cache *c, struct err *e) {
    char *path = mem_printf("%s/parts.json", c->path), text[65536];
    FILE *in = fopen(path, "re");
    size_t n = in ? fread(text, 1, sizeof(text), in) : 0;
    err_code code = in ? weights_shape_decode((const uint8_t *)text, n, &c->shape, e) : err_set(e, ERR_NOT_FOUND, "nothing of it is here");
    if (in) fclose(in);
    free(path);
    return code;
}

static bool same_shape(const struct weights_shape *a, const struct weights_shape *b) {
    return a->n_parts == b->n_parts && memcmp(a->parts, b->parts, a->n_parts * sizeof(a->parts[0])) == 0;
}

static err_code cache_open_part(struct weights_cache *c, uint32_t i, struct err *e) {
    char *path = mem_printf("%s/%u.gguf", c->path, i), *have = mem_printf("%s/%u.have", c->path, i);
    size_t n = (size_t)weights_n_chunks(c->shape.parts[i].size);
    int flags = c->writes ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, fd = open(have, flags, 0600);
    struct stat st = {0};
    c->fds[i] = open(path, flags, 0600);
    bool good = c->fds[i] >= 0 && fd >= 0;
    if (good && c->writes) good = ftruncate(c->fds[i], (off_t)c->shape.parts[i].size) == 0 && ftruncate(fd, (off_t)n) == 0;
    if (good && !c->writes) good = fstat(fd, &st) == 0 && (size_t)st.st_size >= n;
    void *map = good ? mmap(NULL, n, c->writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    err_code code = ERR_OK;
    if (map == MAP_FAILED) code = err_set_errno(e, ERR_IO, errno, "cannot open \"%s\"", path);
    else c->maps[i] = map;
    if (fd >= 0) close(fd);
    free(path);
    free(have);
    return code;
}

/* Corrects the maps after a restart of the machine, or after a fetching process was killed. `alone`: no other process uses the folder. */
static void cache_settle(struct weights_cache *c, bool doubt, bool alone) {
    for (uint32_t i = 0; i < c->shape.n_parts; i++)
        for (uint64_t k = 0; k < weights_n_chunks(c->shape.parts[i].size); k++) {
            enum weights_mark mark = weights_cache_get(c, i, k);
            if (mark > WEIGHTS_UNSURE || (alone && (mark == WEIGHTS_WANTED || mark == WEIGHTS_COMING)))
                weights_cache_set(c, i, k, WEIGHTS_NONE);
            else if (doubt && mark == WEIGHTS_HERE) weights_cache_set(c, i, k, WEIGHTS_UNSURE);
        }
}

void weights_cache_doubt(struct weights_cache *c) { cache_settle(c, true, false); }

static err_code cache_check_boot(struct weights_cache *c, bool alone, struct err *e) {
    char *path = mem_printf("%s/boot", c->path), now[64], then[64] = "";
    if (!os_boot_id(now, sizeof(now))) now[0] = '\0'; /* unknown: treat all data as written before a restart */
    FILE *in = fopen(path, "re");
    if (in && !fgets(then, sizeof(then), in)) then[0] = '\0';
    if (in) fclose(in);
    bool same = now[0] && strcmp(now, then) == 0;
    cache_settle(c, !same, alone);
    err_code code = same ? ERR_OK : file_write(path, now, strlen(now), e);
    free(path);
    return code;
}

static err_code cache_open_files(struct weights_cache *c, const struct weights_shape *shape, struct err *e) {
    char *lock = mem_printf("%s/lock", c->path);
    err_code code = ERR_OK;
    c->lock = open(lock, (c->writes ? O_CREAT : 0) | O_RDWR | O_CLOEXEC, 0600);
    if (c->lock < 0) code = err_set_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open \"%s\"", lock);
    bool alone = code == ERR_OK && c->writes && flock(c->lock, LOCK_EX | LOCK_NB) == 0;
    if (code == ERR_OK && !alone && flock(c->lock, LOCK_SH) != 0) code = err_set_errno(e, ERR_IO, errno, "cannot lock \"%s\"", lock);
    if (code == ERR_OK && c->writes) futimens(c->lock, NULL);
    free(lock);
    if (code != ERR_OK) return code;
    struct weights_shape *s = &c->shape;
    code = cache_read_shape(c, c->writes ? NULL : e);
    if (c->writes && (code != ERR_OK || !same_shape(s, shape))) {
        *s = *shape;
        code = ERR_OK;
    }
    for (uint32_t i = 0; i < s->n_parts && code == ERR_OK; i++) code = cache_open_part(c, i, e);
    if (code == ERR_OK && c->writes) code = cache_check_boot(c, alone, e);
    if (alone) flock(c->lock, LOCK_SH);
    return code;
}

err_code weights_cache_open(const char *folder, const char *id, const struct weights_shape *shape, struct weights_cache **ret,
                            struct err *e) {
    if (!model_id_ok(id)) return err_set(e, ERR_INVALID, "not a model id: \"%.80s\"", id);
    struct weights_cache *c = MEM_NEW(struct weights_cache);
    c->path = mem_printf("%s/%s", folder, id);
    c->lock = -1;
    c->writes = shape != NULL;
    for (uint32_t i = 0; i < MODEL_MAX_PARTS; i++) c->fds[i] = -1;
    char *slash = mem_printf("%s/", c->path);
    err_code code = shape ? file_make_folders(slash, e) : ERR_OK;
    free(slash);
    if (code == ERR_OK) code = cache_open_files(c, shape, e);
    if (code != ERR_OK) {
        weights_cache_close(c);
        return code;
    }
    *ret = c;
    return ERR_OK;
}

err_code weights_cache_complete(struct weights_cache *c, struct err *e) {
    char *path = mem_printf("%s/parts.json", c->path);
    struct buf b;
    buf_init(&b, 1 << 16);
    weights_shape_encode(&c->shape, &b);
    err_code code = file_write(path, b.data, b.len, e);
    buf_done(&b);
    free(path);
    return code;
}

void weights_cache_close(struct weights_cache *c) {
    if (!c) return;
    for (uint32_t i = 0; i < MODEL_MAX_PARTS; i++) {
        if (c->fds[i] >= 0) close(c->fds[i]);
        if (c->maps[i]) munmap(c->maps[i], (size_t)weights_n_chunks(c->shape.parts[i].size));
    }
    if (c->lock >= 0) close(c->lock);
    free(c->path);
    free(c);
}

/* ---- use ---- */

const struct weights_shape *weights_cache_shape(const struct weights_cache *c) { return &c->shape; }

enum weights_mark weights_cache_get(const struct weights_cache *c, uint32_t part, uint64_t chunk) {
    return __atomic_load_n(&c->maps[part][chunk], __ATOMIC_ACQUIRE);
}

void weights_cache_set(struct weights_cache *c, uint32_t part, uint64_t chunk, enum weights_mark mark) {
    __atomic_store_n(&c->maps[part][chunk], (uint8_t)mark, __ATOMIC_RELEASE);
}

bool weights_cache_read(const struct weights_cache *c, uint32_t part, uint64_t offset, void *data, size_t len) {
    return part < c->shape.n_parts && pread(c->fds[part], data, len, (off_t)offset) == (ssize_t)len;
}

err_code weights_cache_write(struct weights_cache *c, uint32_t part, uint64_t offset, const void *data, size_t len, struct err *e) {
    if (pwrite(c->fds[part], data, len, (off_t)offset) == (ssize_t)len) return ERR_OK;
    return err_set_errno(e, errno == ENOSPC ? ERR_NO_ROOM : ERR_IO, errno, "cannot write weights to \"%s\"", c->path);
}
