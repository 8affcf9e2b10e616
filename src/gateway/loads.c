/* SPDX-License-Identifier: MIT
 * See loads.h. */
#include "gateway/loads.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { MAX_LOADS = 64 };

/* Before a load has ended here: a start of two seconds, and the speed of a disk. */
#define START_US   2000000u
#define BYTES_A_US 200.0
#define KEEP       0.75 /* of the older measurements, at each new one */

struct load {
    struct loads *loads;
    struct load *next;
    char *model;
    uint64_t bytes;
    clock_us since;
    struct backend_call *call;
};

struct loads {
    struct io_loop *loop;
    const struct backend *backend;
    double bytes, us; /* of loads that have ended; sums that fade */
    struct load *first;
    size_t n;
};

static void load_free(struct load *load) {
    free(load->model);
    free(load);
}

static void on_loaded(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct load *load = user, **at = &load->loads->first;
    struct loads *l = load->loads;
    (void)text;
    if (code == ERR_OK && load->bytes > 0) {
        l->bytes = l->bytes * KEEP + (double)load->bytes;
        l->us = l->us * KEEP + (double)(io_loop_now(l->loop) - load->since);
    }
    if (code != ERR_OK) log_warn("gateway", "the model \"%s\" can't be loaded: %s", load->model, e->text);
    while (*at != load) at = &(*at)->next;
    *at = load->next;
    l->n--;
    load_free(load);
}

bool loads_begin(struct loads *l, const char *model, uint64_t bytes) {
    if (l == NULL || l->backend->await == NULL) return false;
    for (const struct load *load = l->first; load != NULL; load = load->next)
        if (strcmp(load->model, model) == 0) return true;
    if (l->n == MAX_LOADS) return false;
    struct load *load = MEM_NEW(struct load);
    *load = (struct load){.loads = l, .model = mem_strdup(model), .bytes = bytes, .since = io_loop_now(l->loop)};
    if (l->backend->await(l->backend->self, model, on_loaded, load, &load->call, NULL) != ERR_OK) {
        load_free(load);
        return false;
    }
    load->next = l->first;
    l->first = load;
    l->n++;
    return true;
}

uint32_t loads_left_s(const struct loads *l, const char *model) {
    const struct load *load = l != NULL ? l->first : NULL;
    while (load != NULL && strcmp(load->model, model) != 0) load = load->next;
    if (load == NULL || load->bytes == 0) return 0;
    double whole = l->bytes > 0 ? (double)load->bytes * l->us / l->bytes : START_US + (double)load->bytes / BYTES_A_US;
    double left = whole - (double)(io_loop_now(l->loop) - load->since);
    return left > 1e6 ? (uint32_t)(left / 1e6 + 0.5) : 1;
}

struct loads *loads_create(struct io_loop *loop, const struct backend *backend) {
    struct loads *l = MEM_NEW(struct loads);
    l->loop = loop;
    l->backend = backend;
    return l;
}

void loads_free(struct loads *l) {
    if (l == NULL) return;
    while (l->first != NULL) {
        struct load *load = l->first;
        l->first = load->next;
        l->backend->cancel(l->backend->self, load->call);
        load_free(load);
    }
    free(l);
}
