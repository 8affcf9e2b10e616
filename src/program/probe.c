/* SPDX-License-Identifier: MIT
 * `caravan probe MODEL FILE`: finds out how a model whose architecture has no row in tables/quirks.def can be cut in slices, for the node
 * that started it; the row is kept in FILE. The graph of the first layers proposes a row, and a model of these layers alone is computed
 * whole and in slices. Both in processes of their own, since libllama may abort. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cli.h"
#include "engine/probe.h"
#include "engine/trial.h"
#include "model/quirks.h"
#include "os/machine.h"
#include "os/runtime.h"

enum { LAYERS = 8 /* that are looked at: enough for any pattern known */, ROW_MAX = 4096 };

/* What a process of its own has found out. */
struct finding {
    struct err err;
    char row[MODEL_MAX_ROW];
};
struct probing {
    const struct model_gguf *gguf;
    struct model_layout *layout;
    struct engine_load load;
    char row[MODEL_MAX_ROW];
};
typedef err_code (*probing_fn)(struct probing *p, struct err *e);

static err_code look(struct probing *p, struct err *e) {
    struct model_slice *slice = NULL;
    struct model_graph graph = {0};
    err_code code = model_slice_create_forced(p->gguf, p->layout, 0, p->layout->n_layer, &slice, e);
    if (code == ERR_OK) code = engine_probe(slice, &p->load, &graph, e);
    if (code == ERR_OK) code = model_graph_propose(&graph, p->layout->arch, p->layout->n_embd, p->row, sizeof(p->row), e);
    free(graph.node);
    model_slice_free(slice);
    return code;
}

static err_code try_row(struct probing *p, struct err *e) {
    err_code code = model_quirks_teach(p->row, e);
    return code == ERR_OK ? engine_trial(p->layout, &p->load, e) : code;
}

static bool read_all(int fd, void *to, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t n = read(fd, (char *)to + at, size - at);
        if (n == 0 || (n < 0 && errno != EINTR)) return false;
        if (n > 0) at += (size_t)n;
    }
    return true;
}

/* In a process that is about to end. */
static void tell(int fd, struct probing *p, probing_fn fn) {
    struct finding f = {0};
    f.err.code = fn(p, &f.err);
    memcpy(f.row, p->row, sizeof(f.row));
    _exit(write(fd, &f, sizeof(f)) == (ssize_t)sizeof(f) ? 0 : 1); /* smaller than a pipe's buffer: it is written at once */
}

/* Calls fn in a process of its own. ERR_WHOLE_ONLY if that ends without a word. */
static err_code apart(struct probing *p, probing_fn fn, const char *what, struct err *e) {
    int fds[2];
    struct finding f;
    if (pipe(fds) != 0) return err_set(e, ERR_IO, "no descriptors are left for a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        tell(fds[1], p, fn);
    }
    close(fds[1]);
    bool told = pid > 0 && read_all(fds[0], &f, sizeof(f));
    close(fds[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0) return err_set(e, ERR_IO, "no process can be started");
    if (!told) return err_set(e, ERR_WHOLE_ONLY, "libllama aborts when %s", what);
    memcpy(p->row, f.row, sizeof(p->row));
    if (e != NULL) *e = f.err;
    return f.err.code;
}

/* The first layers are loaded as a small model, twice, one after the other. */
static err_code check_memory(const struct model_layout *l, struct err *e) {
    uint64_t need = l->bytes_embd + l->bytes_output + l->bytes_shared, there = machine_memory_available();
    char takes[STR_SHORT], free_[STR_SHORT];
    for (uint32_t i = 0; i < l->n_layer; i++) need += l->layers[i].bytes;
    if (need <= there - there / 4) return ERR_OK;
    err_set(e, ERR_NO_ROOM, "its first %u layers take %s, and %s are free here", l->n_layer, str_size(need, takes), str_size(there, free_));
    return ERR_NO_ROOM;
}

/* Finds the row: that of the graph if it holds, or one that says why not. Errors are those that may be gone next time. */
static err_code find_row(struct probing *p, char *ret, size_t size, struct err *e) {
    struct err why = {0};
    model_layout_shorten(p->layout, model_quirks_sample(p->layout, LAYERS));
    err_code code = check_memory(p->layout, e);
    if (code != ERR_OK) return code;
    code = apart(p, look, "it computes its first layers", &why);
    if (code == ERR_OK) code = apart(p, try_row, "it computes slices", &why);
    const char *rest = strchr(p->row, ' ');
    if (code == ERR_OK) snprintf(ret, size, "%s kinds=%s%s", p->layout->arch, p->layout->kinds, rest != NULL ? rest : "");
    else snprintf(ret, size, "%s kinds=%s whole=%.150s", p->layout->arch, p->layout->kinds, why.text);
    bool verdict = code == ERR_OK || code == ERR_WHOLE_ONLY || code == ERR_ENGINE || code == ERR_UNSUPPORTED || code == ERR_INVALID;
    if (!verdict && e != NULL) *e = why;
    return verdict ? ERR_OK : code;
}

static err_code keep(const char *path, const char *row, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    struct buf b;
    buf_init(&b, ROW_MAX);
    yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "row", row);
    json_write(&b, doc);
    err_code code = file_write(path, b.data, b.len, e);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return code;
}

err_code cli_probe(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct model_gguf *g = NULL;
    struct probing p = {0};
    char row[MODEL_MAX_ROW + MODEL_KINDS_SIZE];
    engine_load_init(&p.load);
    snprintf(p.load.backends, sizeof(p.load.backends), "%s", os_backends_dir);
    err_code code = model_gguf_open(option_argument(o, 0), &g, e);
    if (code == ERR_OK) code = model_layout_create(g, &p.layout, e);
    p.gguf = g;
    if (code == ERR_OK) code = find_row(&p, row, sizeof(row), e);
    if (code == ERR_OK) code = keep(option_argument(o, 1), row, e);
    model_layout_free(p.layout);
    model_gguf_free(g);
    return code;
}
