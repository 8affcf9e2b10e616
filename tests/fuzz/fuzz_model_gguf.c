/* SPDX-License-Identifier: MIT
 * Fuzzes all code that reads a model file: header, layer table, estimate, cuts, and slices read through as files. Any bytes give a model
 * or an error with a text; a slice is itself a readable model file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/estimate.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "support/original.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_slice(const struct model_slice *s, struct original *o) {
    static uint8_t part[65536];
    struct err e = {0};
    FILE *f = NULL;
    uint64_t total = 0;
    if (model_slice_open(s, read_original, o, &f, &e)) abort();
    for (size_t n; total < 4 * sizeof(part) && (n = fread(part, 1, sizeof(part), f)) > 0;) total += n;
    if (ferror(f)) abort();
    fclose(f);
}

static void cut(const struct model_gguf *g, const struct model_layout *l, struct original *o, uint32_t first, uint32_t end) {
    struct model_slice *s = NULL;
    struct err e = {0};
    err_code code = model_slice_create_forced(g, l, first, end, &s, &e);
    if (code) {
        if (s || e.text[0] == '\0') abort();
        return;
    }
    for (uint32_t i = 0; i < model_slice_n_ranges(s); i++) {
        const struct model_range *r = model_slice_range(s, i);
        if (r->offset > o->size || r->len > o->size - r->offset) abort();
    }
    read_slice(s, o);
    model_slice_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model_part part = {data, size, size};
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct original o = {data, size};
    struct err e = {0};
    if (model_gguf_from_parts("fuzz.gguf", &part, 1, &g, &e)) {
        if (g || e.text[0] == '\0') abort();
        return 0;
    }
    if (model_layout_create(g, &l, &e)) {
        if (l || e.text[0] == '\0') abort();
    } else {
        uint32_t cuts[64], n = model_quirks_cuts(l, cuts, 64), half = l->n_layer / 2;
        struct model_load_shape shape = {.n_ctx = 4096, .n_seq = 4};
        if (n < 2 || cuts[0] != 0 || cuts[n - 1] != l->n_layer) abort();
        for (uint32_t i = 1; i < n && n < 64; i++)
            if (model_quirks_check(l, cuts[i - 1], cuts[i], &e)) abort();
        if (model_estimate_slice(l, 0, l->n_layer, &shape).total == 0) abort();
        cut(g, l, &o, 0, l->n_layer);
        if (half) {
            cut(g, l, &o, 0, half);
            cut(g, l, &o, half, l->n_layer);
            cut(g, l, &o, half / 2, half);
        }
        model_layout_keep_mtp(l, 1);
        shape.mtp = true;
        if (model_estimate_slice(l, half, l->n_layer, &shape).total == 0) abort();
        cut(g, l, &o, half, l->n_layer);
    }
    model_layout_free(l);
    model_gguf_free(g);
    return 0;
}
