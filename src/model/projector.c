/* SPDX-License-Identifier: MIT
 * See projector.h. Keys: tools/mtmd of llama.cpp, "clip.*". */
#include "model/projector.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

enum { ROWS_LEAST = 512 /* of projectors whose pictures must be computed at once, whatever their header says */ };

bool model_projector_is(const struct model_gguf *g) { return strcmp(model_gguf_arch(g), "clip") == 0; }

static uint64_t number(const struct model_gguf *g, const char *key) {
    uint64_t v = 0;
    model_kv_uint(model_gguf_find(g, key), 0, &v);
    return v;
}

static bool flag(const struct model_gguf *g, const char *key) {
    bool v = false;
    model_kv_bool(model_gguf_find(g, key), &v);
    return v;
}

static bool has_type(const struct model_gguf *g, const char *type) {
    static const char *const keys[] = {"clip.projector_type", "clip.vision.projector_type"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *s = "";
        size_t len = 0;
        if (model_kv_str(model_gguf_find(g, keys[i]), &s, &len) && len >= strlen(type) && memcmp(s, type, strlen(type)) == 0) return true;
    }
    return false;
}

/* Older files say of what width another model's rows were; the last layer's bias tells the truth. */
static uint32_t width_of(const struct model_gguf *g) {
    const struct model_tensor *bias = model_gguf_find_tensor(g, "mm.2.bias");
    if (bias != NULL) return (uint32_t)bias->ne[0];
    uint64_t vision = number(g, "clip.vision.projection_dim");
    return (uint32_t)(vision > 0 ? vision : number(g, "clip.audio.projection_dim"));
}

/* libmtmd computes the rows of these types without a mask. */
static uint32_t rows_together(const struct model_gguf *g) {
    static const char *const types[] = {"gemma3", "gemma4v", "gemma4uv"};
    uint64_t side = number(g, "clip.vision.image_size"), patch = number(g, "clip.vision.patch_size"),
             merged = number(g, "clip.vision.projector.scale_factor");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!has_type(g, types[i]) || has_type(g, "gemma3n")) continue;
        uint64_t across = patch > 0 ? side / patch / (merged > 0 ? merged : 4) : 0;
        return across * across > ROWS_LEAST && across < 256 ? (uint32_t)(across * across) : ROWS_LEAST;
    }
    return 0;
}

err_code model_projector_read(const char *path, struct model_projector *ret, struct err *e) {
    struct model_gguf *g = NULL;
    if (strlen(path) >= MODEL_PROJECTOR_PATH) return err_set(e, ERR_INVALID, "the projector's path is too long");
    err_code code = model_gguf_open(path, &g, e);
    if (code != ERR_OK) return code;
    if (!model_projector_is(g)) {
        code = err_set(e, ERR_UNSUPPORTED, "\"%s\" is no projector: its architecture is \"%s\"", path, model_gguf_arch(g));
        err_hint(e, "a projector's file is mostly called mmproj-NAME.gguf");
    } else {
        *ret = (struct model_projector){.bytes = model_gguf_total_size(g) + MODEL_PROJECTOR_WORK,
                                        .width = width_of(g),
                                        .sees = flag(g, "clip.has_vision_encoder"),
                                        .hears = flag(g, "clip.has_audio_encoder"),
                                        .together = rows_together(g)};
        snprintf(ret->path, sizeof(ret->path), "%s", path);
    }
    model_gguf_free(g);
    return code;
}

/* Tensors of the encoders, before the rows are made. */
static bool encodes(const char *name) {
    static const char *const beginnings[] = {"v.blk.", "v.patch_embd", "v.position_embd", "a.blk.", "a.conv", "a.position_embd"};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return false;
}

/* Rows come out of a matrix, so one of its sides is as long as they are, whatever the header says. */
static bool may_make_rows(const struct model_gguf *g, uint32_t n_embd) {
    if (width_of(g) == n_embd) return true;
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        if (encodes(t->name)) continue;
        for (uint32_t k = 0; k < t->n_dims; k++)
            if (t->ne[k] == n_embd) return true;
    }
    return false;
}

err_code model_projector_check(const char *path, uint32_t n_embd, struct err *e) {
    struct model_projector p;
    struct model_gguf *g = NULL;
    err_code code = model_projector_read(path, &p, e);
    if (code == ERR_OK) code = model_gguf_open(path, &g, e);
    if (code == ERR_OK && !may_make_rows(g, n_embd)) {
        code = err_set(e, ERR_INVALID, "\"%s\" is the projector of another model: its rows have %u numbers, this model's have %u", path,
                       p.width, n_embd);
        err_hint(e, "take the one that was published with the model; `caravan pull` fetches it");
    }
    model_gguf_free(g);
    return code;
}

/* ---- the one beside a model ---- */

static bool is_gguf(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcasecmp(name + len - 5, ".gguf") == 0;
}

static bool may_be_one(const char *name) { return is_gguf(name) && str_find_nocase(name, "mmproj") != NULL; }

/* How many letters of the model's name, from its beginning, stand in the projector's, but not in its "mmproj". 0: fewer than LEAST, which
 * are there by chance. */
static size_t in_common(const char *name, const char *model) {
    enum { LEAST = 3 };
    static const char word[] = "mmproj";
    const char *own = str_find_nocase(name, word);
    size_t best = 0;
    for (const char *at = name; *at != '\0'; at++) {
        if (own != NULL && at >= own && at < own + strlen(word)) continue;
        size_t n = 0;
        while (at[n] != '\0' && strncasecmp(at, model, n + 1) == 0) n++;
        if (n > best) best = n;
    }
    return best >= LEAST ? best : 0;
}

/* Letters of a model's name before what is mostly its quantisation: "Qwen3-8B" of "Qwen3-8B-Q4_K_M.gguf". */
static size_t base_of(const char *name) {
    size_t stem = strlen(name) - 5, n = stem;
    while (n > 0 && name[n - 1] != '-' && name[n - 1] != '.') n--;
    return n > 1 ? n - 1 : stem;
}

/* May the names be those of one model, quantised twice? */
static bool are_alike(const char *a, const char *b) {
    if (!is_gguf(a)) return false;
    size_t n = base_of(a), m = base_of(b);
    return strncasecmp(a, b, n < m ? n : m) == 0;
}

/* Is the file a model whose rows have so many numbers? */
static bool has_width(const char *path, uint32_t n_embd) {
    struct model_gguf *g = NULL;
    uint64_t width = 0;
    if (model_gguf_open(path, &g, NULL) == ERR_OK) {
        char *key = mem_printf("%s.embedding_length", model_gguf_arch(g));
        width = number(g, key);
        free(key);
    }
    model_gguf_free(g);
    return width == n_embd;
}

/* Does the name of another model in the folder have more in common with the projector's, and could it use it? A model for text alone may
 * be as wide as one that sees. */
static bool is_anothers(const char *folder, const char *projector, const char *model, uint32_t n_embd) {
    size_t common = in_common(projector, model);
    bool found = false;
    DIR *d = opendir(folder);
    for (struct dirent *entry; !found && d != NULL && (entry = readdir(d)) != NULL;) {
        if (!is_gguf(entry->d_name) || may_be_one(entry->d_name) || are_alike(model, entry->d_name)) continue;
        if (in_common(projector, entry->d_name) <= common) continue;
        char *path = mem_printf("%s%s", folder, entry->d_name);
        found = has_width(path, n_embd);
        free(path);
    }
    if (d != NULL) closedir(d);
    return found;
}

bool model_projector_find(const char *model_path, uint32_t n_embd, struct model_projector *ret) {
    const char *slash = strrchr(model_path, '/'), *model = slash != NULL ? slash + 1 : model_path;
    char *folder = slash != NULL ? mem_strndup(model_path, (size_t)(slash - model_path) + 1) : mem_strdup("./");
    size_t best = 0;
    bool found = false;
    DIR *d = opendir(folder);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        struct model_projector p = {0};
        if (!may_be_one(entry->d_name)) continue;
        char *path = mem_printf("%s%s", folder, entry->d_name);
        bool fits = model_projector_read(path, &p, NULL) == ERR_OK && (p.width == 0 || p.width == n_embd);
        size_t common = in_common(entry->d_name, model);
        if (fits && is_anothers(folder, entry->d_name, model, n_embd)) fits = false;
        if (fits && (!found || common > best || (common == best && p.bytes > ret->bytes))) {
            *ret = p;
            best = common;
            found = true;
        }
        free(path);
    }
    if (d != NULL) closedir(d);
    free(folder);
    return found;
}
