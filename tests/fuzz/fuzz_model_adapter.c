/* SPDX-License-Identifier: MIT
 * Fuzzes adapters: the length of a model's header (u32), that header, and an adapter's file. Any adapter fits the model or gives an error
 * with a text; a part of one that fits is itself a readable file, and the parts have all of its bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/adapter.h"
#include "support/original.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_part(const struct model_slice *s, struct original *o) {
    struct err e = {0};
    FILE *f = NULL;
    struct model_gguf *g = NULL;
    size_t len = (size_t)model_slice_info(s)->file_size;
    if (len > 1 << 22) return;
    uint8_t *file = malloc(len + 1);
    if (file == NULL || model_slice_open(s, read_original, o, &f, &e) || fread(file, 1, len + 1, f) != len) abort();
    fclose(f);
    struct model_part part = {file, len, len};
    if (model_gguf_from_parts("part.gguf", &part, 1, &g, &e)) abort();
    model_gguf_free(g);
    free(file);
}

/* Bytes of the layers [first, end). */
static uint64_t cut(const struct model_gguf *a, const struct model_layout *l, struct original *o, uint32_t first, uint32_t end) {
    struct model_slice *s = NULL;
    struct err e = {0};
    if (model_adapter_slice(a, l, first, end, &s, &e)) {
        if (s || e.text[0] == '\0') abort();
        return UINT64_MAX;
    }
    uint64_t bytes = model_slice_info(s)->bytes_weights;
    read_part(s, o);
    model_slice_free(s);
    return bytes;
}

static void check(const struct model_gguf *a, const struct model_layout *l, struct original *o) {
    struct err e = {0};
    err_code code = model_adapter_check(a, l, &e);
    if ((code != ERR_OK) != (e.text[0] != '\0')) abort();
    if (code != ERR_OK) return;
    uint64_t *layers = calloc(l->n_layer, sizeof(*layers)), sum = 0;
    model_adapter_bytes(a, l, layers);
    for (uint32_t i = 0; i < l->n_layer; i++) sum += layers[i];
    free(layers);
    uint64_t whole = cut(a, l, o, 0, l->n_layer), half = l->n_layer / 2;
    if (whole != UINT64_MAX && whole != sum) abort();
    if (half == 0) return;
    uint64_t first = cut(a, l, o, 0, (uint32_t)half), second = cut(a, l, o, (uint32_t)half, l->n_layer);
    if (first != UINT64_MAX && second != UINT64_MAX && first + second != sum) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || bytes_get_u32(data) > size - 4) return 0;
    size_t len = bytes_get_u32(data);
    struct model_part model = {data + 4, len, (uint64_t)1 << 40}, adapter = {data + 4 + len, size - 4 - len, size - 4 - len};
    struct original o = {adapter.header, adapter.header_len};
    struct model_gguf *g = NULL, *a = NULL;
    struct model_layout *l = NULL;
    struct err e = {0};
    if (model_gguf_from_parts("model.gguf", &model, 1, &g, &e) == ERR_OK && model_layout_create(g, &l, &e) == ERR_OK &&
        model_gguf_from_parts("adapter.gguf", &adapter, 1, &a, &e) == ERR_OK)
        check(a, l, &o);
    model_layout_free(l);
    model_gguf_free(g);
    model_gguf_free(a);
    return 0;
}
