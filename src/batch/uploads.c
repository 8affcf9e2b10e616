/* SPDX-License-Identifier: MIT
 * See uploads.h. */
#include "batch/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/uploads_priv.h"
#include "gateway/gateway.h"

enum { SWEEP_MS = 60 * 1000, READERS = 16 };

struct store *uploads_store(const struct uploads *f) { return f->gateway->store; }

char *uploads_path(const struct uploads *f, const char *id) { return mem_printf("%s/%s", f->dir, id); }

int64_t uploads_expiry(const struct uploads *f, int64_t now) { return f->options.ttl_s > 0 ? now + f->options.ttl_s : 0; }

err_code uploads_has_room(const struct uploads *f, uint64_t bytes, struct err *e) {
    char used[STR_SHORT], most[STR_SHORT];
    if (f == NULL || f->dir == NULL) return err_set(e, ERR_UNSUPPORTED, "this node keeps no files: it has no state folder");
    if (f->bytes + f->coming + bytes <= f->options.max_bytes) return ERR_OK;
    err_set(e, ERR_NO_ROOM, "the files here have %s of at most %s: there is no room for this one", str_size(f->bytes + f->coming, used),
            str_size(f->options.max_bytes, most));
    err_hint(e, "delete files that are not needed any more, or start the node with a larger --files-size");
    return ERR_NO_ROOM;
}

/* ---- how many bytes there are ---- */

static void on_size(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct uploads *f = user;
    int64_t bytes;
    (void)len;
    (void)e;
    f->sizing = NULL;
    if (code == ERR_OK && str_parse_i64(text, &bytes)) f->bytes = (uint64_t)bytes;
}

void uploads_count(struct uploads *f) {
    if (f->sizing != NULL) store_cancel(f->sizing);
    f->sizing = store_files_size(f->gateway->store, on_size, f);
}

/* ---- files go ---- */

struct store_ask *uploads_drop(struct uploads *f, const char *owner, const char *id, store_fn fn, void *user) {
    char *path = uploads_path(f, id);
    struct store_ask *ask = store_file_drop(f->gateway->store, owner, id, fn, user);
    if (strchr(id, '/') == NULL) unlink(path); /* results of batches have no file */
    free(path);
    uploads_count(f);
    return ask;
}

static void on_expired(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct uploads *f = user;
    yyjson_doc *doc = code == ERR_OK ? json_read(text, len) : NULL;
    yyjson_val *row;
    size_t i, n;
    (void)e;
    f->sweeping = NULL;
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(doc)), i, n, row)
        uploads_drop(f, yyjson_get_str(yyjson_arr_get(row, 1)), yyjson_get_str(yyjson_arr_get(row, 0)), NULL, NULL);
    yyjson_doc_free(doc);
}

static void on_sweep(void *user) {
    struct uploads *f = user;
    if (f->sweeping == NULL) f->sweeping = store_files_expired(f->gateway->store, clock_wall_s(), on_expired, f);
    uploads_count(f); /* results of batches have come */
}

/* ---- the start: an upload that a crash has cut leaves a file that no row knows ---- */

static void on_uploaded(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    yyjson_doc **ret = user;
    (void)e;
    *ret = code == ERR_OK ? json_read(text, len) : NULL;
}

static bool is_known(yyjson_val *ids, const char *name) {
    yyjson_val *id;
    size_t i, n;
    yyjson_arr_foreach(json_some(ids), i, n, id) if (yyjson_equals_str(id, name)) return true;
    return false;
}

static void remove_strays(struct uploads *f) {
    yyjson_doc *ids = NULL;
    DIR *dir = opendir(f->dir);
    if (dir == NULL) return; /* nothing was ever uploaded */
    store_files_uploaded(f->gateway->store, on_uploaded, &ids);
    store_finish(f->gateway->store);
    for (struct dirent *entry; ids != NULL && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, "file-", 5) != 0 || is_known(yyjson_doc_get_root(ids), entry->d_name)) continue;
        char *path = uploads_path(f, entry->d_name);
        if (unlink(path) == 0) log_info("files", "removed \"%s\": its upload never came to its end", path);
        free(path);
    }
    yyjson_doc_free(ids);
    closedir(dir);
}

err_code uploads_open(struct gateway *g, const struct uploads_options *o, struct uploads **ret, struct err *e) {
    struct uploads *f = MEM_NEW(struct uploads);
    (void)e;
    *f = (struct uploads){.gateway = g, .options = *o, .dir = mem_strdup(o->dir)};
    f->readers = io_works_open(g->loop, READERS);
    if (f->dir != NULL) {
        remove_strays(f);
        uploads_count(f);
        f->timer = io_timer_open(g->loop, on_sweep, f);
        io_timer_start(f->timer, SWEEP_MS / 10, SWEEP_MS);
    }
    *ret = f;
    return ERR_OK;
}

void uploads_close(struct uploads *f) {
    if (f == NULL) return;
    if (f->sizing != NULL) store_cancel(f->sizing);
    if (f->sweeping != NULL) store_cancel(f->sweeping);
    io_timer_close(f->timer);
    io_works_close(f->readers);
    free(f->dir);
    free(f);
}
