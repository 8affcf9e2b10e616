/* SPDX-License-Identifier: MIT
 * File "N.hash": 48 bytes (magic "CRVNHSH1", then u64 size, time in nanoseconds, inode, device, 0 of the hashed file), then 32 bytes for
 * each chunk, zeros where the hash is not known. Little-endian. */
#include "weights/hashes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/hash.h"
#include "os/os.h"

enum { HEAD = 48 };
static const char MAGIC[8] = "CRVNHSH1";

struct hashes_part {
    uint8_t *map; /* of the whole file; NULL until it is needed */
    size_t len;
};

struct weights_hashes {
    char *path; /* NULL: in memory only */
    pthread_mutex_t lock; /* guards the maps */
    uint32_t n_parts;
    struct hashes_part parts[];
};

struct weights_hashes *weights_hashes_create(const char *folder, const char *id, uint32_t n_parts) {
    struct weights_hashes *h = mem_zalloc(sizeof(*h) + n_parts * sizeof(h->parts[0]));
    h->n_parts = n_parts;
    if (folder) h->path = mem_printf("%s/%s/", folder, id);
    if (h->path && file_make_folders(h->path, NULL) != ERR_OK) {
        free(h->path);
        h->path = NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void weights_hashes_free(struct weights_hashes *h) {
    if (!h) return;
    for (uint32_t i = 0; i < h->n_parts; i++)
        if (h->parts[i].map) munmap(h->parts[i].map, h->parts[i].len);
    pthread_mutex_destroy(&h->lock);
    free(h->path);
    free(h);
}

static void head_of(const struct stat *st, uint8_t ret[HEAD]) {
    memset(ret, 0, HEAD);
    memcpy(ret, MAGIC, sizeof(MAGIC));
    bytes_put_u64(ret + 8, (uint64_t)st->st_size);
    bytes_put_u64(ret + 16, (uint64_t)os_file_changed_ns(st));
    bytes_put_u64(ret + 24, (uint64_t)st->st_ino);
    bytes_put_u64(ret + 32, (uint64_t)st->st_dev);
}

/* Maps the kept file, or private memory if no file can be kept. */
static void *map_file(const struct weights_hashes *h, uint32_t part, size_t len) {
    char *path = h->path ? mem_printf("%s%u.hash", h->path, part) : NULL;
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    free(path);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)len) == 0) map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    return map == MAP_FAILED ? os_memory_map(len) : map;
}

/* Maps the part's hashes; they are empty if they belong to another file. With the lock held. */
static err_code part_map(struct weights_hashes *h, uint32_t part, const struct stat *st, struct err *e) {
    struct hashes_part *p = &h->parts[part];
    size_t len = HEAD + (size_t)weights_n_chunks((uint64_t)st->st_size) * WEIGHTS_HASH;
    if (p->map && p->len != len) {
        munmap(p->map, p->len);
        p->map = NULL;
    }
    if (!p->map) p->map = map_file(h, part, len);
    p->len = len;
    if (!p->map) return err_set(e, ERR_MEMORY, "no memory for %zu bytes of hashes", len);
    uint8_t head[HEAD];
    head_of(st, head);
    if (memcmp(p->map, head, HEAD) == 0) return ERR_OK;
    memset(p->map, 0, len);
    memcpy(p->map, head, HEAD);
    return ERR_OK;
}

static err_code hash_chunk(int fd, uint64_t chunk, uint64_t size, uint8_t *room, uint8_t ret[WEIGHTS_HASH], struct err *e) {
    uint64_t at = chunk * WEIGHTS_CHUNK;
    size_t len = size - at < WEIGHTS_CHUNK ? (size_t)(size - at) : WEIGHTS_CHUNK;
    ssize_t n = pread(fd, room, len, (off_t)at);
    if (n != (ssize_t)len) return err_set_errno(e, ERR_IO, n < 0 ? errno : ENODATA, "cannot read weights to hash them");
    model_hash(room, len, ret);
    return ERR_OK;
}

err_code weights_hashes_get(struct weights_hashes *h, uint32_t part, int fd, const struct weights_run *run, struct buf *out,
                            struct err *e) {
    static const uint8_t unknown[WEIGHTS_HASH];
    struct stat st;
    if (fstat(fd, &st) != 0) return err_set_errno(e, ERR_IO, errno, "cannot read weights");
    if (run->first + run->n > weights_n_chunks((uint64_t)st.st_size)) return err_set(e, ERR_IO, "the model's file has become shorter");
    uint8_t *room = mem_alloc(WEIGHTS_CHUNK);
    err_code code = ERR_OK;
    for (uint64_t k = run->first; k < run->first + run->n && code == ERR_OK; k++) {
        uint8_t hash[WEIGHTS_HASH];
        pthread_mutex_lock(&h->lock);
        code = part_map(h, part, &st, e);
        if (code == ERR_OK) memcpy(hash, h->parts[part].map + HEAD + k * WEIGHTS_HASH, WEIGHTS_HASH);
        pthread_mutex_unlock(&h->lock);
        if (code == ERR_OK && memcmp(hash, unknown, WEIGHTS_HASH) == 0) {
            code = hash_chunk(fd, k, (uint64_t)st.st_size, room, hash, e);
            pthread_mutex_lock(&h->lock);
            if (code == ERR_OK) code = part_map(h, part, &st, e);
            if (code == ERR_OK) memcpy(h->parts[part].map + HEAD + k * WEIGHTS_HASH, hash, WEIGHTS_HASH);
            pthread_mutex_unlock(&h->lock);
        }
        if (code == ERR_OK) buf_append(out, hash, WEIGHTS_HASH);
    }
    free(room);
    return code;
}
