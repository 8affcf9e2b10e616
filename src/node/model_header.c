/* SPDX-License-Identifier: MIT
 * See model_header.h. */
#include "node/model_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/answer.h"
#include "io/work.h"
#include "model/gguf.h"

enum { READERS = 4, MAX_ANSWER = 1 << 28 };

struct model_header {
    struct model_header_parts parts;
    struct io_works *works;
};

struct model_header *model_header_create(const struct model_header_parts *parts) {
    struct model_header *h = MEM_NEW(struct model_header);
    *h = (struct model_header){.parts = *parts, .works = io_works_open(parts->loop, READERS)};
    return h;
}

void model_header_free(struct model_header *h) {
    if (!h) return;
    io_works_close(h->works);
    free(h);
}

/* A header that is being read. */
struct reading {
    struct http_exchange *x; /* NULL: its client has gone */
    char *path;
    struct model_gguf *gguf;
    struct err err;
};

static void reading_run(void *job) {
    struct reading *r = job;
    r->err.code = model_gguf_open(r->path, &r->gguf, &r->err);
}

static void put_number(struct buf *out, uint64_t n) {
    for (int i = 0; i < 8; i++) buf_append_byte(out, (uint8_t)(n >> (8 * i)));
}

static void reading_done(void *job) {
    struct reading *r = job;
    struct buf out;
    if (!r->x) return;
    if (r->err.code != ERR_OK) {
        gateway_respond_error(r->x, r->err.code, &r->err);
        return;
    }
    buf_init(&out, MAX_ANSWER);
    for (uint32_t i = 0; i < model_gguf_n_parts(r->gguf); i++) {
        size_t len;
        const uint8_t *header = model_gguf_header(r->gguf, i, &len);
        put_number(&out, model_gguf_file_size(r->gguf, i));
        put_number(&out, len);
        buf_append(&out, header, len);
    }
    http_respond(r->x, out.failed ? 500 : 200, "application/octet-stream", out.data, out.failed ? 0 : out.len);
    buf_done(&out);
}

static void reading_free(void *job) {
    struct reading *r = job;
    model_gguf_free(r->gguf);
    free(r->path);
    free(r);
}

static void reading_gone(void *user) { ((struct reading *)user)->x = NULL; }

/* Says which nodes have the file. */
static err_code elsewhere(const struct model_header *h, const char *name, struct err *e) {
    const struct records *all = h->parts.records;
    for (size_t i = 0; i < all->n_linked; i++)
        for (uint32_t k = 0; k < all->linked[i]->n_cards; k++)
            if (strcmp(all->linked[i]->cards[k].name, name) == 0) {
                err_set(e, ERR_UNAVAILABLE, "the file of model \"%s\" is not on this node but on node %s", name, all->linked[i]->name);
                err_hint(e, "ask that node");
                return ERR_UNAVAILABLE;
            }
    err_set(e, ERR_NOT_FOUND, "there is no file of a model \"%s\" here", name);
    err_hint(e, "`caravan models` lists what there is");
    return ERR_NOT_FOUND;
}

static void on_header(void *user, struct http_exchange *x, const char *asked) {
    static const struct io_work work = {.run = reading_run, .done = reading_done, .free = reading_free};
    struct model_header *h = user;
    struct err e = {0};
    char name[MODEL_NAME_SIZE];
    snprintf(name, sizeof(name), "%s", names_resolve(h->parts.names, asked));
    const struct catalog_entry *file = catalog_find(h->parts.catalog, name);
    if (!file) {
        gateway_respond_error(x, elsewhere(h, name, &e), &e);
        return;
    }
    struct reading *r = MEM_NEW(struct reading);
    *r = (struct reading){.x = x, .path = mem_strdup(file->path)};
    http_exchange_on_gone(x, reading_gone, r);
    if (io_works_start(h->works, &work, r, &e) == ERR_OK) return;
    gateway_respond_error(x, e.code, &e);
    reading_free(r);
}

void model_header_add_route(struct model_header *h, struct endpoint *ep) {
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODEL_HEADER, on_header, h);
}
