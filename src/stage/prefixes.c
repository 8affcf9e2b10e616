/* SPDX-License-Identifier: MIT
 * The files are those of stage/prefix_file.c. Their names are the beginning of the slice's id and the key, so a stage knows its own. */
#include "stage/prefixes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/os.h"
#include "stage/prefix_file.h"

enum { MAX_FILES = 65536, NAME_SIZE = 48, PATH_SIZE = 1100 };
static const char KEPT[] = ".kv", BEGUN[] = ".part"; /* how names end */
static const uint64_t WAITING_MOST = (uint64_t)1 << 30; /* bytes that wait to be written; what comes then is not kept */

/* What waits to be written. */
struct job {
    struct job *next;
    struct prefix_file file;
    bool erased;
};

struct noted {
    uint64_t key;
    int32_t *tokens;
    uint32_t n, n_prompt;
};

struct prefixes {
    char folder[1024];
    uint64_t limit;
    uint8_t id[MODEL_HASH_SIZE];
    struct engine_store store;
    struct noted *noted;  /* [n_noted] */
    size_t n_noted;
    uint32_t ignored;
    bool complained;      /* of a disk that is full */
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    struct job *first, *last; /* the first one is being written */
    uint64_t waiting;     /* bytes */
    bool ends;
};

static void path_of(const struct prefixes *p, uint64_t key, const char *end, char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "%s/%016llx-%016llx%s", p->folder, (unsigned long long)bytes_get_u64(p->id), (unsigned long long)key, end);
}

/* ---- the folder ---- */

struct found {
    char name[NAME_SIZE];
    uint64_t size;
    int64_t used;
};

static bool ends(const char *name, const char *end) { return strlen(name) == 33 + strlen(end) && strcmp(name + 33, end) == 0; }
static bool is_kept(const char *name) { return ends(name, KEPT) && name[16] == '-'; }

/* What a process that was killed had begun to write. */
static bool is_left_over(const char *name, const struct stat *st) {
    enum { LONG_S = 600 };
    return ends(name, BEGUN) && name[16] == '-' && time(NULL) - st->st_mtime > LONG_S;
}

static int by_use(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

/* All files of all stages, the least recently used first. The caller frees the list. */
static struct found *look(const char *folder, size_t *ret_n) {
    struct found *all = NULL;
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *entry; d != NULL && n < MAX_FILES && (entry = readdir(d)) != NULL;) {
        struct stat st;
        if (strlen(entry->d_name) < 33 || fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
        if (is_left_over(entry->d_name, &st)) unlinkat(dirfd(d), entry->d_name, 0);
        if (!is_kept(entry->d_name)) continue;
        all = mem_realloc(all, n + 1, sizeof(*all));
        snprintf(all[n].name, sizeof(all[n].name), "%s", entry->d_name);
        all[n].size = (uint64_t)st.st_size;
        all[n++].used = os_file_changed_ns(&st);
    }
    if (d != NULL) closedir(d);
    if (n > 0) qsort(all, n, sizeof(*all), by_use);
    *ret_n = n;
    return all;
}

uint64_t prefixes_bytes(const struct prefixes *p) {
    size_t n;
    uint64_t sum = 0;
    struct found *all = look(p->folder, &n);
    for (size_t i = 0; i < n; i++) sum += all[i].size;
    free(all);
    return sum;
}

/* Removes files until `size` more bytes are within the limit. Returns how many bytes are gone. */
static uint64_t make_room(const char *folder, uint64_t limit, uint64_t size) {
    size_t n;
    uint64_t sum = size, gone = 0;
    char path[PATH_SIZE];
    struct found *all = look(folder, &n);
    for (size_t i = 0; i < n; i++) sum += all[i].size;
    for (size_t i = 0; i < n && sum - gone > limit; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, all[i].name);
        if (unlink(path) == 0) gone += all[i].size;
    }
    free(all);
    return gone;
}

uint64_t prefixes_trim(const char *folder, uint64_t limit) { return make_room(folder, limit, 0); }

/* ---- writing ---- */

/* The disk is full, and the limit not reached: older files make room. False: there are none. */
static bool give_up_for(const struct prefixes *p, const char *part, uint64_t size) {
    uint64_t held = prefixes_bytes(p);
    unlink(part);
    return make_room(p->folder, held > size ? held - size : 0, 0) > 0;
}

static void write_one(struct prefixes *p, const struct prefix_file *f) {
    char path[PATH_SIZE], part[PATH_SIZE];
    struct err e;
    uint64_t size = prefix_file_size(f);
    if (size > p->limit) return;
    make_room(p->folder, p->limit, size);
    path_of(p, f->key, KEPT, path);
    path_of(p, f->key, BEGUN, part);
    err_code code = prefix_file_write(part, p->id, f, &e);
    if (code == ERR_NO_ROOM && give_up_for(p, part, size)) code = prefix_file_write(part, p->id, f, &e);
    if (code == ERR_OK && rename(part, path) != 0) code = err_set(&e, ERR_IO, "cannot rename \"%s\": %s", part, strerror(errno));
    if (code == ERR_OK) return;
    unlink(part);
    if (!p->complained) log_warn("stage", "a kept prefix is not on disk: %s", e.text);
    p->complained = true;
}

static void job_free(struct job *j) {
    prefix_file_done(&j->file);
    free(j);
}

static void *writes(void *user) {
    struct prefixes *p = user;
    os_thread_name("prefixes");
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->first == NULL && !p->ends) pthread_cond_wait(&p->changed, &p->lock);
        struct job *j = p->first;
        if (j == NULL) break;
        bool erased = j->erased;
        pthread_mutex_unlock(&p->lock);
        if (!erased) write_one(p, &j->file);
        pthread_mutex_lock(&p->lock);
        char path[PATH_SIZE];
        path_of(p, j->file.key, KEPT, path);
        if (j->erased) unlink(path);
        p->waiting -= j->file.size;
        p->first = j->next;
        if (p->first == NULL) p->last = NULL;
        job_free(j);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- the store ---- */

static bool take_note(struct prefixes *p, uint64_t key, struct prefix_file *f) {
    for (size_t i = 0; i < p->n_noted; i++) {
        struct noted *x = &p->noted[i];
        if (x->key != key) continue;
        free(f->tokens);
        f->tokens = x->tokens;
        f->n_tokens = x->n;
        f->n_prompt = x->n_prompt;
        *x = p->noted[--p->n_noted];
        return true;
    }
    return false;
}

static void put(void *user, struct engine_kept *k) {
    struct prefixes *p = user;
    struct job *j = MEM_NEW(struct job);
    j->file = (struct prefix_file){.key = k->key,
                                   .n = k->n,
                                   .mark = k->mark,
                                   .tokens = k->tokens,
                                   .n_tokens = k->tokens != NULL ? k->n : 0,
                                   .positions = k->positions,
                                   .n_positions = k->positions != NULL ? k->n + 1 : 0,
                                   .data = k->data,
                                   .size = k->size};
    take_note(p, k->key, &j->file);
    pthread_mutex_lock(&p->lock);
    bool fits = p->waiting + j->file.size <= WAITING_MOST;
    if (fits) {
        if (p->last != NULL) p->last->next = j;
        else p->first = j;
        p->last = j;
        p->waiting += j->file.size;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    if (!fits) job_free(j);
}

static bool get_waiting(struct prefixes *p, uint64_t key, struct prefix_file *ret) {
    bool found = false;
    pthread_mutex_lock(&p->lock);
    for (const struct job *j = p->first; j != NULL && !found; j = j->next) {
        if (j->file.key != key || j->erased) continue;
        prefix_file_copy(&j->file, ret);
        found = true;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static bool get_file(struct prefixes *p, uint64_t key, struct prefix_file *ret) {
    char path[PATH_SIZE];
    struct err e;
    path_of(p, key, KEPT, path);
    err_code code = prefix_file_read(path, p->id, true, ret, &e);
    if (code == ERR_OK && ret->key != key) code = err_set(&e, ERR_INVALID, "\"%s\" has another key", path);
    if (code == ERR_OK) {
        utimensat(AT_FDCWD, path, NULL, 0); /* it is used now */
        return true;
    }
    if (code != ERR_NOT_FOUND) {
        log_warn("stage", "a kept prefix is ignored: %s", e.text);
        p->ignored++;
        unlink(path);
    }
    return false;
}

static bool get(void *user, uint64_t key, struct engine_kept *ret) {
    struct prefixes *p = user;
    struct prefix_file f = {0};
    if (!get_waiting(p, key, &f) && !get_file(p, key, &f)) {
        prefix_file_done(&f);
        return false;
    }
    *ret = (struct engine_kept){.key = key, .n = f.n, .mark = f.mark, .positions = f.positions, .data = f.data, .size = f.size};
    if (f.n_tokens == f.n) ret->tokens = f.tokens;
    else free(f.tokens);
    return true;
}

static void erase(void *user, uint64_t key) {
    struct prefixes *p = user;
    char path[PATH_SIZE];
    path_of(p, key, KEPT, path);
    pthread_mutex_lock(&p->lock);
    for (struct job *j = p->first; j != NULL; j = j->next)
        if (j->file.key == key) j->erased = true;
    pthread_mutex_unlock(&p->lock);
    unlink(path);
}

const struct engine_store *prefixes_store(struct prefixes *p) { return &p->store; }

void prefixes_note(struct prefixes *p, uint64_t key, const int32_t *tokens, uint32_t n, uint32_t n_prompt) {
    p->noted = mem_realloc(p->noted, p->n_noted + 1, sizeof(*p->noted));
    struct noted *x = &p->noted[p->n_noted++];
    *x = (struct noted){.key = key, .tokens = mem_calloc(n, sizeof(*tokens)), .n = n, .n_prompt = n_prompt};
    memcpy(x->tokens, tokens, n * sizeof(*tokens));
}

void prefixes_list(struct prefixes *p, prefixes_fn fn, void *user) {
    size_t n;
    char own[20], path[PATH_SIZE];
    struct found *all = look(p->folder, &n);
    snprintf(own, sizeof(own), "%016llx-", (unsigned long long)bytes_get_u64(p->id));
    for (size_t i = 0; i < n; i++) {
        struct prefix_file f = {0};
        struct err e;
        if (strncmp(all[i].name, own, 17) != 0) continue;
        snprintf(path, sizeof(path), "%s/%s", p->folder, all[i].name);
        err_code code = prefix_file_read(path, p->id, false, &f, &e);
        if (code == ERR_OK && f.n_tokens == f.n) fn(user, f.key, f.tokens, f.n, f.n_prompt, f.mark);
        if (code != ERR_OK) {
            log_warn("stage", "a kept prefix is ignored: %s", e.text);
            p->ignored++;
        }
        prefix_file_done(&f);
    }
    free(all);
}

uint32_t prefixes_ignored(const struct prefixes *p) { return p->ignored; }

/* ---- life ---- */

err_code prefixes_open(const char *folder, uint64_t limit, const uint8_t id[MODEL_HASH_SIZE], struct prefixes **ret, struct err *e) {
    struct prefixes *p = MEM_NEW(struct prefixes);
    char inside[PATH_SIZE];
    snprintf(p->folder, sizeof(p->folder), "%s", folder);
    snprintf(inside, sizeof(inside), "%s/", p->folder);
    p->limit = limit;
    memcpy(p->id, id, sizeof(p->id));
    p->store = (struct engine_store){.put = put, .get = get, .erase = erase, .user = p};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    err_code code = file_make_folders(inside, e);
    if (code == ERR_OK && pthread_create(&p->thread, NULL, writes, p) != 0) code = err_set(e, ERR_IO, "cannot start a thread");
    if (code != ERR_OK) {
        free(p);
        return code;
    }
    *ret = p;
    return ERR_OK;
}

void prefixes_close(struct prefixes *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    for (size_t i = 0; i < p->n_noted; i++) free(p->noted[i].tokens);
    free(p->noted);
    free(p);
}
