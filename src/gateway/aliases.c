/* SPDX-License-Identifier: MIT
 * See aliases.h. */
#include "gateway/aliases.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/work.h"
#include "os/os.h"

enum { LOOK_MS = 1000 };

/* What tells one version of the file from another without reading it. */
struct stamp {
    int64_t changed_ns;
    uint64_t size, inode;
};

struct aliases {
    struct io_loop *loop;
    char *path;                /* NULL: there is no file */
    struct routing_table *table;
    struct stamp stamp;        /* of the version that was read last, used or not */
    char version[ALIASES_VERSION_SIZE]; /* of the table */
    char fault[sizeof(((struct err *)NULL)->text)];
    struct io_timer *timer;
    struct io_works *works;
    bool looks, writes;        /* a job is under way */
    bool again;                /* the next look reads the file in any case */
    bool needed, missing;      /* it was named; the last look did not find it */
    void (*changed)(void *user);
    void *user;
};

/* A look at the file, or a text that becomes the file, in a thread. */
struct job {
    struct aliases *aliases;
    char *path;
    struct stamp stamp;        /* known before; afterwards that of the file */
    bool any, is_new;          /* read it in any case; it was read */
    struct buf text;
    struct buf found;          /* a write: what the file was */
    char old[ALIASES_VERSION_SIZE]; /* a write: the version that it may replace */
    bool stale;                /* the file was another version, so it stays */
    err_code code;
    struct err err;
    aliases_written_fn fn;     /* a write */
    void *user;
};

/* ---- the file ---- */

static struct stamp stamp_of(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return (struct stamp){0};
    return (struct stamp){.changed_ns = os_file_changed_ns(&st), .size = (uint64_t)st.st_size, .inode = (uint64_t)st.st_ino};
}

static bool same_stamp(const struct stamp *a, const struct stamp *b) {
    return a->changed_ns == b->changed_ns && a->size == b->size && a->inode == b->inode;
}

/* The stamp is taken before the file is read: if it is saved meanwhile, the next look sees another stamp. */
static void job_read(void *job) {
    struct job *j = job;
    struct stamp now = stamp_of(j->path);
    if (!j->any && same_stamp(&now, &j->stamp)) return;
    j->stamp = now;
    j->is_new = true;
    j->code = file_read(j->path, "routes file", &j->text, &j->err);
}

static void version_of(const struct buf *text, char ret[ALIASES_VERSION_SIZE]) {
    uint8_t hash[IO_SHA256_SIZE];
    io_sha256(text->data, text->len, hash);
    str_hex(hash, sizeof(hash), ret);
}

/* Writes the file, which keeps its mode. */
static void write_file(struct job *j) {
    struct stat st;
    bool known = stat(j->path, &st) == 0;
    j->code = file_write(j->path, j->text.data, j->text.len, &j->err);
    if (j->code == ERR_OK && known && chmod(j->path, st.st_mode & 07777) != 0)
        log_warn("gateway", "the routes file \"%s\" has another mode now", j->path);
    if (j->code == ERR_OK) j->stamp = stamp_of(j->path);
}

/* A file that has gone may be written: no edit is lost. */
static void job_write(void *job) {
    struct job *j = job;
    char version[ALIASES_VERSION_SIZE];
    struct stamp now = stamp_of(j->path);
    j->code = file_read(j->path, "routes file", &j->found, &j->err);
    if (j->code == ERR_OK) {
        version_of(&j->found, version);
        j->stale = strcmp(version, j->old) != 0;
        if (j->stale) j->stamp = now;
    } else if (j->code == ERR_NOT_FOUND) j->code = ERR_OK;
    if (j->code == ERR_OK && !j->stale) write_file(j);
}

static void job_free(void *job) {
    struct job *j = job;
    buf_done(&j->text);
    buf_done(&j->found);
    free(j->path);
    free(j);
}

static struct job *job_create(struct aliases *a) {
    struct job *j = MEM_NEW(struct job);
    *j = (struct job){.aliases = a, .path = mem_strdup(a->path), .stamp = a->stamp};
    buf_init(&j->text, ROUTING_MAX_FILE);
    buf_init(&j->found, ROUTING_MAX_FILE);
    return j;
}

/* ---- the table ---- */

static void take_table(struct aliases *a, struct routing_table *table, const struct buf *text) {
    routing_table_drop(a->table);
    a->table = table;
    version_of(text, a->version);
    a->fault[0] = '\0';
    if (a->changed != NULL) a->changed(a->user);
}

static void complain(struct aliases *a, const struct err *why) {
    bool known = strcmp(a->fault, why->text) == 0;
    snprintf(a->fault, sizeof(a->fault), "%s", why->text);
    if (!known) log_warn("gateway", "the routes stay as they were: \"%s\": %s", a->path, why->text);
}

static err_code parse(const struct buf *text, struct routing_table **ret, struct err *e) {
    return routing_table_parse((const char *)text->data, text->len, ret, e);
}

/* A file that need not be there was deleted, and so are its aliases: at the second look, since some editors delete a file to save it. */
static void drop_table(struct aliases *a) {
    a->again = !a->missing;
    a->missing = !a->missing;
    if (a->missing) return;
    log_info("gateway", "the routes file \"%s\" is gone, and so are its aliases", a->path);
    routing_table_drop(a->table);
    a->table = NULL;
    snprintf(a->version, sizeof(a->version), "none");
    a->fault[0] = '\0';
    if (a->changed != NULL) a->changed(a->user);
}

static void on_read(void *job) {
    struct job *j = job;
    struct aliases *a = j->aliases;
    struct routing_table *table = NULL;
    a->looks = false;
    if (!j->is_new || a->writes) return;
    a->stamp = j->stamp;
    if (j->code == ERR_OK) j->code = parse(&j->text, &table, &j->err);
    if (j->code == ERR_NOT_FOUND && a->table == NULL) return;
    if (j->code == ERR_NOT_FOUND && !a->needed) {
        drop_table(a);
        return;
    }
    a->missing = false;
    if (j->code != ERR_OK) {
        complain(a, &j->err);
        return;
    }
    log_info("gateway", "the routes are those of \"%s\" now", a->path);
    take_table(a, table, &j->text);
}

static void on_look(void *user) {
    static const struct io_work work = {.run = job_read, .done = on_read, .free = job_free};
    struct aliases *a = user;
    if (a->looks || a->writes) return;
    struct job *j = job_create(a);
    j->any = a->again;
    a->looks = io_works_start(a->works, &work, j, NULL) == ERR_OK;
    if (a->looks) a->again = false;
    else job_free(j); /* the next look will do */
}

void aliases_reload(struct aliases *a) {
    if (a->path == NULL) return;
    a->again = true;
    on_look(a);
}

static void on_written(void *job) {
    struct job *j = job;
    struct aliases *a = j->aliases;
    struct routing_table *table = NULL;
    const struct buf *text = j->stale ? &j->found : &j->text;
    a->writes = false;
    if (j->code == ERR_OK) a->stamp = j->stamp;
    if (j->code == ERR_OK) j->code = parse(text, &table, &j->err);
    if (j->code == ERR_OK) take_table(a, table, text);
    else if (j->stale) complain(a, &j->err);
    if (j->stale && j->code != ERR_OK) err_prefix(&j->err, "the routes file stays as it is, for it has a fault: \"%s\"", a->path);
    else if (j->stale)
        j->code = err_set(&j->err, ERR_BUSY, "the routes file \"%s\" has been changed meanwhile; nothing was written", a->path);
    j->fn(j->user, j->code, &j->err);
}

err_code aliases_write(struct aliases *a, const char *old, const char *text, size_t len, aliases_written_fn fn, void *user, struct err *e) {
    static const struct io_work work = {.run = job_write, .done = on_written, .free = job_free};
    struct routing_table *table = NULL;
    if (a->path == NULL) return err_set(e, ERR_USAGE, "this node has no routes file");
    if (a->writes) return err_set(e, ERR_BUSY, "other routes are being written");
    err_code code = routing_table_parse(text, len, &table, e);
    routing_table_drop(table);
    if (code != ERR_OK) return code;
    struct job *j = job_create(a);
    buf_append(&j->text, text, len);
    snprintf(j->old, sizeof(j->old), "%s", *old != '\0' ? old : a->version);
    j->fn = fn;
    j->user = user;
    code = io_works_start(a->works, &work, j, e);
    a->writes = code == ERR_OK;
    if (code != ERR_OK) job_free(j);
    return code;
}

/* ---- life ---- */

static err_code read_first(struct aliases *a, bool needed, struct err *e) {
    struct job *j = job_create(a);
    j->any = true;
    job_read(j);
    a->stamp = j->stamp;
    err_code code = j->code == ERR_OK ? parse(&j->text, &a->table, &j->err) : j->code;
    if (code == ERR_OK) version_of(&j->text, a->version);
    if (code == ERR_NOT_FOUND && !needed) code = ERR_OK;
    if (code != ERR_OK) {
        *e = j->err;
        if (j->code == ERR_OK) err_prefix(e, "the routes file \"%s\"", a->path);
        if (e->hint[0] == '\0')
            err_hint(e, j->code == ERR_OK ? "`caravan routes check FILE` checks it" : "--routes FILE names a file that can be read");
    }
    job_free(j);
    return code;
}

/* The path is shown to people who look at it from elsewhere. The caller frees it; NULL: there is none. */
static char *absolute(const char *path) {
    char here[PATH_MAX];
    if (path == NULL || path[0] == '/' || getcwd(here, sizeof(here)) == NULL) return mem_strdup(path);
    return mem_printf("%s/%s", here, strncmp(path, "./", 2) == 0 ? path + 2 : path);
}

err_code aliases_open(struct io_loop *loop, const char *path, bool needed, void (*changed)(void *user), void *user, struct aliases **ret,
                      struct err *e) {
    struct aliases *a = MEM_NEW(struct aliases);
    *a = (struct aliases){.loop = loop, .path = absolute(path), .needed = needed, .version = "none", .changed = changed, .user = user};
    err_code code = path != NULL ? read_first(a, needed, e) : ERR_OK;
    if (code != ERR_OK) {
        aliases_close(a);
        return code;
    }
    if (path != NULL) {
        a->works = io_works_open(loop, 2);
        a->timer = io_timer_open(loop, on_look, a);
        io_timer_start(a->timer, LOOK_MS, LOOK_MS);
    }
    *ret = a;
    return ERR_OK;
}

void aliases_close(struct aliases *a) {
    if (a == NULL) return;
    io_timer_close(a->timer);
    io_works_close(a->works);
    routing_table_drop(a->table);
    free(a->path);
    free(a);
}

struct routing_table *aliases_table(const struct aliases *a) { return a != NULL ? a->table : NULL; }
const char *aliases_path(const struct aliases *a) { return a != NULL && a->path != NULL ? a->path : ""; }
const char *aliases_version(const struct aliases *a) { return a != NULL ? a->version : "none"; }
const char *aliases_fault(const struct aliases *a) { return a != NULL ? a->fault : ""; }
