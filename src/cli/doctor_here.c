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
#include "cli/doctor.h"
#include "members/key.h"
#include "os/machine.h"
#include "os/os.h"
#include "plan/profile.h"
#include "engine/runtime.h"
#include "io/loop.h"

enum { MAX_DEVICES = 16 };

/* The folder, or the nearest one above it that is there: it would be made. */
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

static void look_devices(struct doctor_here *f) {
    struct engine_device *all = mem_calloc(MAX_DEVICES, sizeof(*all));
    struct buf b;
    char size[STR_SHORT];
    buf_init(&b, 4096);
    f->devices_trouble.code = engine_runtime_start(CARAVAN_BACKENDS_DIR, &f->devices_trouble);
    size_t n = f->devices_trouble.code == ERR_OK ? engine_devices(all, MAX_DEVICES) : 0;
    for (size_t i = 0; i < n && i < MAX_DEVICES; i++) {
        buf_printf(&b, "%s%s (%s", i ? ", " : "", all[i].name, all[i].description);
        if (strcmp(all[i].type, "cpu") != 0) buf_printf(&b, ", %s free", str_size(all[i].memory_free, size));
        buf_append_str(&b, ")");
    }
    snprintf(f->devices, sizeof(f->devices), "%s", buf_cstr(&b));
    buf_done(&b);
    free(all);
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
    look_devices(ret);
    os_huge_pages(ret->huge_pages, sizeof(ret->huge_pages));
    ret->fd_limit = io_raise_fd_limit();
    free(state);
    free(cache);
    free(models);
}

/* ---- what the running node says ---- */

yyjson_doc *doctor_ask_status(const struct options *o, struct doctor_here *f) {
    yyjson_doc *doc = NULL;
    yyjson_val *node, *stage;
    size_t i, max, k, n;
    if (!f->node_runs) return NULL;
    f->api.code = cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, &doc, &f->api);
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
