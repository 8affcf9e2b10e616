/* SPDX-License-Identifier: MIT
 * What the plan says that a slice needs, compared with the memory that its stage has (the process's proportional set size), once it has
 * answered.  memory_error --program CARAVAN [--ctx N] [--parallel N] [--cache-type TYPE] FILE...: whole and, where the model may be cut, in
 * halves; a line each: need over memory, and the pure estimate over memory. Halves run beside each other and share the libraries' pages:
 * those count as in the stage of the whole model, since on a machine of its own a stage shares them with nobody but its node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json_file.h"
#include "base/mem.h"
#include "model/quirks.h"
#include "model/types.h"
#include "node/private_ring.h"
#include "os/runtime.h"
#include "plan/model.h"
#include "support/children_memory.h"

enum { PROMPT = 80, SHORT = 8, ANSWER = 8, MAX_STAGES = 2 };

struct bench {
    const char *program;
    struct engine_load load;
    const struct model_gguf *gguf;
    const struct model_layout *layout;
    struct plan_source *estimate, *measured;
    uint64_t files; /* bytes of programs and libraries in the stage of the whole model */
};

/* ---- a ring ---- */

/* As many requests at once as the slices have sequences, one of them with a prompt of more than one step. */
static err_code answer(const struct bench *b, struct private_ring *ring, struct err *e) {
    struct request *requests = mem_calloc(b->load.n_seq, sizeof(*requests));
    uint32_t n_vocab = private_ring_info(ring, 0)->n_vocab;
    for (uint32_t i = 0; i < b->load.n_seq; i++) {
        struct request *r = &requests[i];
        request_init(r);
        r->n_tokens = i == 0 ? PROMPT : SHORT;
        r->tokens = mem_calloc(r->n_tokens, sizeof(*r->tokens));
        for (uint32_t k = 0; k < r->n_tokens; k++) r->tokens[k] = (int32_t)((i + 1) * (k + 1) % n_vocab);
        r->max_tokens = ANSWER;
        r->ignore_eos = true;
    }
    err_code code = private_ring_run(ring, requests, b->load.n_seq, NULL, NULL, e);
    for (uint32_t i = 0; i < b->load.n_seq; i++) request_done(&requests[i]);
    free(requests);
    return code;
}

/* Of the processes of a ring with these slices, once they have answered. false: it failed. */
static bool memory_of(const struct bench *b, const uint32_t *bounds, uint32_t n_stage, struct process_memory *ret) {
    struct private_ring_config c = {.program = b->program,
                                    .path = model_gguf_path(b->gguf, 0),
                                    .model_id = model_gguf_id(b->gguf),
                                    .bounds = bounds,
                                    .n_stage = n_stage,
                                    .load = b->load};
    struct private_ring *ring;
    struct err e = {0};
    err_code code = private_ring_start(&c, &ring, &e);
    if (code == ERR_OK) {
        code = answer(b, ring, &e);
        if (code == ERR_OK && children_memory(ret, n_stage) != n_stage)
            code = err_set(&e, ERR_IO, "the system does not say what they have");
        private_ring_stop(ring);
    }
    if (code != ERR_OK) fprintf(stderr, "memory_error: %s in %u slices: %s\n", c.path, n_stage, e.text);
    return code == ERR_OK;
}

/* ---- a model ---- */

static void compare(struct bench *b, const char *name, const uint32_t *bounds, uint32_t n_stage) {
    const struct plan_model *measured = plan_source_model(b->measured), *estimate = plan_source_model(b->estimate);
    struct process_memory has[MAX_STAGES];
    if (!memory_of(b, bounds, n_stage, has)) return;
    if (n_stage == 1) b->files = has[0].files;
    for (uint32_t i = 0; i < n_stage; i++) {
        uint32_t first = bounds[i], end = bounds[i + 1];
        uint64_t took = has[i].share - has[i].files + b->files;
        printf("%-28s %3u-%-3u ctx %u x %u %s %9.1f MB  need %.4f  estimate %.4f\n", name, first, end - 1, b->load.n_ctx, b->load.n_seq,
               b->load.cache_type_k, (double)took / 1048576, (double)measured->need(measured->user, first, end) / (double)took,
               (double)estimate->need(estimate->user, first, end) / (double)took);
    }
    fflush(stdout);
}

/* Asks as a node does. */
static bool ask_need(const struct bench *b, const char *path, struct needs *ret) {
    char file[] = "memory_error.XXXXXX";
    struct buf load;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    int status = 1, fd = mkstemp(file);
    buf_init(&load, 1 << 16);
    field_encode(engine_load_fields(), &b->load, &load);
    pid_t pid = fd >= 0 ? fork() : -1;
    if (pid == 0) {
        execl(b->program, b->program, "need", path, file, buf_cstr(&load), (char *)NULL);
        _exit(127);
    }
    bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && json_file_load(file, "needs", 1 << 16, &doc, &e) == ERR_OK &&
              needs_get(yyjson_doc_get_root(doc), ret, &e) == ERR_OK;
    if (!ok) fprintf(stderr, "memory_error: %s: its needs are not known: %s\n", path, e.text);
    yyjson_doc_free(doc);
    buf_done(&load);
    if (fd >= 0) close(fd);
    unlink(file);
    return ok;
}

static void model(struct bench *b, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    struct model_load_shape shape = {.n_ctx = b->load.n_ctx, .n_seq = b->load.n_seq, .n_ubatch = engine_load_ubatch(&b->load)};
    struct needs needs = {0};
    uint32_t n = b->layout->n_layer, half = n / 2;
    model_type_parse(b->load.cache_type_k, &shape.type_k);
    model_type_parse(b->load.cache_type_v, &shape.type_v);
    b->estimate = plan_source_create(b->layout, &shape, name);
    b->measured = plan_source_create(b->layout, &shape, name);
    if (ask_need(b, path, &needs)) plan_source_measured(b->measured, &needs);
    compare(b, name, (const uint32_t[]){0, n}, 1);
    if (half > 0 && model_quirks_check(b->layout, 0, half, NULL) == ERR_OK && model_quirks_check(b->layout, half, n, NULL) == ERR_OK)
        compare(b, name, (const uint32_t[]){0, half, n}, 2);
    plan_source_free(b->estimate);
    plan_source_free(b->measured);
}

static void open_model(struct bench *b, const char *path) {
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct err e = {0};
    if (model_gguf_open(path, &g, &e) == ERR_OK && model_layout_create(g, &l, &e) == ERR_OK) {
        b->gguf = g;
        b->layout = l;
        model(b, path);
    } else {
        fprintf(stderr, "memory_error: %s: %s\n", path, e.text);
    }
    model_layout_free(l);
    model_gguf_free(g);
}

int main(int argc, char **argv) {
    struct bench b = {.program = "caravan"};
    engine_load_init(&b.load);
    b.load.n_ctx = 4096;
    b.load.n_seq = 4;
    b.load.n_threads = 1;
    snprintf(b.load.backends, sizeof(b.load.backends), "%s", os_backends_dir);
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--program") == 0 && more) b.program = argv[++i];
        else if (strcmp(argv[i], "--ctx") == 0 && more) b.load.n_ctx = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--parallel") == 0 && more) b.load.n_seq = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--cache-type") == 0 && more) {
            snprintf(b.load.cache_type_k, sizeof(b.load.cache_type_k), "%s", argv[++i]);
            snprintf(b.load.cache_type_v, sizeof(b.load.cache_type_v), "%s", argv[i]);
        } else {
            open_model(&b, argv[i]);
        }
    }
    return 0;
}
