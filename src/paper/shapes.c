/* SPDX-License-Identifier: MIT
 * See shapes.h: names. */
#include "paper/shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "paper/near.h"
#include "paper/shapes_priv.h"

enum { MAX_READ = 1 << 28 };
#define PAPER_FILE ((uint64_t)1 << 60) /* the size of a file whose header alone is used */

static const struct shape shapes[] = {
#define SHAPE(title, architecture, ...) {.name = title, .arch = architecture, __VA_ARGS__},
#define SAME(title, other)
#include "../../tables/shapes.def"
#undef SHAPE
#undef SAME
};
/* Models that have the numbers of another one. */
static const struct same {
    const char *name, *other;
} same[] = {
#define SHAPE(title, architecture, ...)
#define SAME(title, other) {title, other},
#include "../../tables/shapes.def"
#undef SHAPE
#undef SAME
};

static const struct shape *shape_find(const char *name, size_t len) {
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        if (strlen(same[i].name) == len && strncasecmp(same[i].name, name, len) == 0)
            return shape_find(same[i].other, strlen(same[i].other));
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        if (strlen(shapes[i].name) == len && strncasecmp(shapes[i].name, name, len) == 0) return &shapes[i];
    return NULL;
}

/* The shape that a name means, and where the name's quantisation begins (*ret_quant; NULL: it has none). */
static const struct shape *shape_resolve(const char *name, const char **ret_quant) {
    size_t len = strcspn(name, ":");
    const struct shape *s = shape_find(name, len);
    *ret_quant = name[len] ? name + len + 1 : NULL;
    if (s || !name[len]) return s;
    char dashed[96]; /* NAME:SIZE, as Ollama writes it */
    size_t size = strcspn(name + len + 1, ":"), all = len + 1 + size;
    if (all >= sizeof(dashed)) return NULL;
    memcpy(dashed, name, all);
    dashed[len] = '-';
    *ret_quant = name[all] ? name + all + 1 : NULL;
    return shape_find(dashed, all);
}

bool shapes_known(const char *name) {
    const char *quant;
    return shape_resolve(name, &quant) != NULL;
}

void shapes_base(const char *name, char *ret, size_t size) {
    const char *quant;
    const struct shape *s = shape_resolve(name, &quant);
    snprintf(ret, size, "%s", s ? s->name : name);
}

static const char *quant_of(const struct shape *s, const char *quant) { return quant ? quant : s->own ? s->own : "q4_k_m"; }

const char *shapes_quant(const char *name) {
    const char *quant;
    const struct shape *s = shape_resolve(name, &quant);
    return s ? quant_of(s, quant) : "";
}

size_t shapes_count(void) { return ARRAY_LEN(shapes); }
size_t shapes_same_count(void) { return ARRAY_LEN(same); }
const char *shapes_same_name(size_t i) { return same[i].name; }

const char *shapes_name(size_t i, const char **ret_own) {
    *ret_own = shapes[i].own ? shapes[i].own : "";
    return shapes[i].name;
}

static err_code unknown_shape(const char *name, struct err *e) {
    const char *names[ARRAY_LEN(shapes) + ARRAY_LEN(same)], *near[NEAR_MOST];
    struct buf b;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) names[i] = shapes[i].name;
    for (size_t i = 0; i < ARRAY_LEN(same); i++) names[ARRAY_LEN(shapes) + i] = same[i].name;
    size_t n = near_names(name, names, ARRAY_LEN(names), near);
    err_set(e, ERR_NOT_FOUND, "there is no file \"%s\" and no model of that name is known", name);
    buf_init(&b, 1 << 10);
    near_put(&b, near, n);
    if (n > 0) err_hint(e, "did you mean %s? --list names all", buf_cstr(&b));
    else err_hint(e, "give a GGUF (its header is enough), or a name such as llama-70b:q4_k_m; --list names all");
    buf_done(&b);
    return ERR_NOT_FOUND;
}

err_code shapes_open(const char *name, struct model_gguf **ret, struct err *e) {
    const char *quant;
    const struct shape *s = shape_resolve(name, &quant);
    if (!s) return unknown_shape(name, e);
    quant = quant_of(s, quant);
    return shapes_write(s, quant, name, ret, e);
}

err_code shapes_open_header(const char *path, struct model_gguf **ret, struct err *e) {
    int fd;
    err_code code = file_open(path, "model", &fd, e);
    FILE *f = code == ERR_OK ? fdopen(fd, "r") : NULL;
    if (!f) return code;
    code = ERR_FORMAT;
    uint8_t *data = NULL;
    size_t have = 0, want = 1 << 20;
    for (; want <= MAX_READ; want *= 4) { /* the header's length is unknown: read more until it parses or the file ends */
        data = mem_realloc(data, want, 1);
        have += fread(data + have, 1, want - have, f);
        struct model_part part = {.header = data, .header_len = have, .file_size = PAPER_FILE};
        code = model_gguf_from_parts(path, &part, 1, ret, e);
        if (code == ERR_OK || have < want) break;
    }
    fclose(f);
    free(data);
    return code;
}
