/* SPDX-License-Identifier: MIT
 * `caravan doctor`: this machine: key, node, folders, memory, devices, limits. Changes nothing. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "io/loop.h"
#include "members/key.h"
#include "os/machine.h"
#include "os/os.h"
#include "plan/profile.h"
#include "show/doctor.h"

/* The folder if it exists, else the nearest folder above it, in which it would be made. */
static void look_folder(const char *path, struct doctor_folder *ret) {
    struct statvfs fs;
    char *at = mem_strdup(path);
    snprintf(ret->path, sizeof(ret->path), "%s", path);
    size_t len = strlen(ret->path);
    if (len > 1 && ret->path[len - 1] == '/') ret->path[len - 1] = '\0';
    while (access(at, F_OK) != 0 && errno == ENOENT && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
        char *up = mem_strdup(dirname(at));
        free(at);
        at = up;
    }
    ret->write_errno = access(at, W_OK | X_OK) == 0 ? 0 : errno;
    if (statvfs(at, &fs) == 0) ret->free = (uint64_t)fs.f_bavail * fs.f_frsize;
    free(at);
}

static void look_key(const struct options *o, struct doctor_self *self, struct doctor_here *f) {
    char *path = cli_key_path(o), *identity = cli_state_path(o, "identity");
    struct key_ring ring;
    uint8_t link_key[IO_TLS_KEY_SIZE];
    bool made;
    snprintf(f->key_path, sizeof(f->key_path), "%s", path);
    /* Looked for first: opening would make one. */
    if (access(path, F_OK) != 0) f->key.code = err_set_errno(&f->key, ERR_NOT_FOUND, errno, "there is no key");
    else f->key.code = key_ring_open(path, &ring, &made, &f->key);
    if (f->key.code == ERR_OK) {
        key_cluster_hash(ring.key, f->cluster);
        key_link(ring.key, link_key);
        self->ctx = io_tls_ctx_create(link_key, &f->key);
    }
    if (self->ctx && ring.old_until > clock_wall_s()) {
        key_link(ring.old, link_key);
        self->old_ctx = io_tls_ctx_create(link_key, &f->key);
    }
    if (identity_peek(identity, &self->identity, NULL) != ERR_OK) identity_make(&self->identity);
    free(path);
    free(identity);
}

/* Any address means loopback from here. */
static const char *from_here(const char *host) {
    return !host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ? "127.0.0.1" : host;
}

static void look_node(const struct options *o, const struct doctor_self *self, struct doctor_here *f) {
    struct cli_node n;
    struct io_addr listen = {.port = 7433};
    int fd = -1;
    cli_addr(option_text(o, OPT_LISTEN), "::", 7433, &listen, NULL);
    f->node_runs = cli_node_find(o, &n);
    if (f->node_runs) {
        listen.port = n.listen;
        snprintf(listen.host, sizeof(listen.host), "%s", n.host);
    }
    io_addr_format(&listen, f->listen);
    if (!f->node_runs) {
        f->port.code = io_sock_listen(&listen, 1, &fd, &f->port);
        if (fd >= 0) close(fd);
        return;
    }
    struct doctor_peer *p = MEM_NEW(struct doctor_peer);
    char host[IO_HOST_MAX];
    snprintf(host, sizeof(host), "%s", from_here(listen.host));
    snprintf(listen.host, sizeof(listen.host), "%s", host);
    doctor_look_peers(self, &listen, p, 1);
    if (p->n_addresses > 0) f->node = p->addresses[0];
    free(p);
}

static void look_memory(struct doctor_here *f) {
    f->memory_total = machine_memory();
    f->memory_available = machine_memory_available();
}

void doctor_look_here(const struct options *o, struct doctor_self *self, struct doctor_here *ret) {
    char *state = cli_state_path(o, ""), *cache = cli_state_path(o, "weights"), *models = cli_models_dir(o);
    *ret = (struct doctor_here){0};
    look_key(o, self, ret);
    look_node(o, self, ret);
    look_folder(state, &ret->state);
    look_folder(cache, &ret->cache);
    look_folder(models, &ret->models);
    look_memory(ret);
    doctor_look_devices(o, ret);
    os_huge_pages(ret->huge_pages, sizeof(ret->huge_pages));
    ret->fd_limit = io_raise_fd_limit();
    free(state);
    free(cache);
    free(models);
}

/* ---- what the running node says ---- */

static const char *text_of(yyjson_val *o, const char *key) {
    const char *text = yyjson_get_str(yyjson_obj_get(o, key));
    return text ? text : "";
}

/* Has the model a copy in this state? */
static bool has_copy(yyjson_val *models, const char *name, const char *state) {
    yyjson_val *m;
    size_t i, max;
    yyjson_arr_foreach(models, i, max, m) if (strcmp(text_of(m, "name"), name) == 0 && strcmp(text_of(m, "state"), state) == 0) return true;
    return false;
}

/* Each model counts once, however many copies it has. */
static void look_models(yyjson_val *models, struct doctor_here *f) {
    yyjson_val *m, *before;
    size_t i, max, k, n;
    yyjson_arr_foreach(json_some(models), i, max, m) {
        const char *name = text_of(m, "name");
        bool seen = false;
        yyjson_arr_foreach(models, k, n, before) seen |= k < i && strcmp(text_of(before, "name"), name) == 0;
        if (seen) continue;
        bool ready = has_copy(models, name, "ready"), failed = !ready && has_copy(models, name, "failed");
        f->models_ready += ready;
        if (failed && f->models_failed++ == 0) {
            str_line(name, strlen(name), f->failed, sizeof(f->failed));
            str_line(text_of(m, "message"), strlen(text_of(m, "message")), f->failed_why, sizeof(f->failed_why));
        }
    }
}

yyjson_doc *doctor_ask_status(const struct options *o, struct doctor_here *f) {
    yyjson_doc *doc = NULL;
    yyjson_val *node, *stage;
    size_t i, max, k, n;
    if (!f->node_runs) return NULL;
    f->api.code = cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, &doc, &f->api);
    const char *models = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "models_dir"));
    if (models) look_folder(models, &f->models); /* it may have been given to the node only */
    look_models(yyjson_obj_get(yyjson_doc_get_root(doc), "models"), f);
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "nodes")), i, max, node) {
        if (!yyjson_get_bool(yyjson_obj_get(node, "self"))) continue;
        f->memory_offered = yyjson_get_uint(yyjson_obj_get(node, "memory"));
        yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), k, n, stage) f->memory_used +=
            yyjson_get_uint(yyjson_obj_get(stage, "bytes"));
    }
    return doc;
}

enum doctor_linked doctor_is_linked(yyjson_doc *status, uint64_t id) {
    yyjson_val *node;
    size_t i, max;
    if (!status || id == 0) return DOCTOR_LINK_UNKNOWN;
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(status), "nodes")), i, max, node) {
        uint64_t other = 0;
        const char *state = yyjson_get_str(yyjson_obj_get(node, "state"));
        if (json_get_id(node, "id", &other, NULL) != ERR_OK || other != id || !state) continue;
        if (yyjson_get_bool(yyjson_obj_get(node, "self"))) return DOCTOR_LINK_UNKNOWN;
        return strcmp(state, "linked") == 0 ? DOCTOR_LINKED : DOCTOR_NOT_LINKED;
    }
    return DOCTOR_NOT_LINKED;
}
