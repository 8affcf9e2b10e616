/* SPDX-License-Identifier: MIT
 * make-f32 --model FILE --out FILE: the same model with all its weights as f32, for tests. Products with quantised weights round what they
 * are multiplied with, in a way that depends on the processor and on the number of tokens; with f32 weights hardly anything does. */
#include <ggml.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"

enum { ALIGNMENT = 32, MAX_HEADER = 1 << 28 };

static uint64_t n_values(const struct model_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

static uint64_t padded(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void put_header(const struct model_gguf *g, struct buf *out) {
    struct model_writer w;
    uint64_t offset = 0;
    model_write_start(&w, out);
    for (size_t i = 0; i < model_gguf_n_kv(g); i++) {
        const struct model_kv *kv = model_gguf_kv(g, i);
        if (strcmp(kv->key, "general.file_type") != 0) model_write_kv(&w, kv, 0, kv->n);
    }
    model_write_u32(&w, "general.file_type", 0); /* all f32 */
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        model_write_tensor(&w, t->name, MODEL_TYPE_F32, t->n_dims, t->ne, offset);
        offset += padded(4 * n_values(t));
    }
    model_write_end(&w, ALIGNMENT);
}

static bool put_tensor(const struct model_tensor *t, FILE *in, FILE *out) {
    static const char zeros[ALIGNMENT];
    uint64_t n = n_values(t);
    void *raw = mem_alloc(t->bytes);
    float *values = mem_alloc(4 * n);
    bool ok = fseek(in, (long)t->offset, SEEK_SET) == 0 && fread(raw, 1, t->bytes, in) == t->bytes;
    if (t->type == MODEL_TYPE_F32) memcpy(values, raw, 4 * n);
    else ggml_get_type_traits((enum ggml_type)t->type)->to_float(raw, values, (int64_t)n);
    ok = ok && fwrite(values, 4, n, out) == n && fwrite(zeros, 1, padded(4 * n) - 4 * n, out) == padded(4 * n) - 4 * n;
    free(values);
    free(raw);
    return ok;
}

/* Files of one part, whose weights are numbers that ggml can make floats of. */
static bool make(const char *model, const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    struct buf header;
    if (model_gguf_open(model, &g, e) != ERR_OK) return false;
    buf_init(&header, MAX_HEADER);
    put_header(g, &header);
    FILE *in = fopen(model, "rb"), *out = fopen(path, "wb");
    bool ok = in != NULL && out != NULL && !header.failed && fwrite(header.data, 1, header.len, out) == header.len;
    for (size_t i = 0; ok && i < model_gguf_n_tensors(g); i++) ok = put_tensor(model_gguf_tensor(g, i), in, out);
    if (in != NULL) fclose(in);
    if (out != NULL) ok = fclose(out) == 0 && ok;
    if (!ok) err_set(e, ERR_IO, "cannot read \"%s\" or write \"%s\"", model, path);
    buf_done(&header);
    model_gguf_free(g);
    return ok;
}

int main(int argc, char **argv) {
    const char *model = NULL, *out = NULL;
    struct err e = {0};
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--model") == 0) model = argv[i + 1];
        else if (strcmp(argv[i], "--out") == 0) out = argv[i + 1];
    if (model == NULL || out == NULL) {
        fprintf(stderr, "usage: make-f32 --model FILE --out FILE\n");
        return 1;
    }
    if (make(model, out, &e)) return 0;
    fprintf(stderr, "make-f32: %s\n", e.text);
    return 1;
}
