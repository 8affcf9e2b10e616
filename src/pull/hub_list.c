/* SPDX-License-Identifier: MIT
 * See hub.h: the answers of Hugging Face and Ollama. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "pull/hub_priv.h"

void hub_list_url(const struct hub_ref *r, const char *base, char ret[HUB_MAX_ADDRESS]) {
    if (r->kind == HUB_HF) snprintf(ret, HUB_MAX_ADDRESS, "%.1024s/api/models/%s/tree/%s?recursive=true", base, r->repo, r->revision);
    else snprintf(ret, HUB_MAX_ADDRESS, "%.1024s/v2/%s/manifests/%s", base, r->repo, r->tag);
}

const char *hub_list_accept(const struct hub_ref *r) {
    return r->kind == HUB_OLLAMA ? "application/vnd.docker.distribution.manifest.v2+json" : "application/json";
}

/* ---- Hugging Face ---- */

struct listed {
    char *path;              /* in the repository */
    char name[HUB_MAX_NAME]; /* its last part */
    uint64_t size;
    char sha256[65];
    uint32_t part, n_parts; /* 1 of 1: whole */
};
struct hub_listing {
    struct listed *files; /* GGUFs of models, as listed */
    size_t n, cap;
    struct listed *projectors; /* of models that see or hear */
    size_t n_projectors;
};

struct hub_listing *hub_listing_create(void) { return MEM_NEW(struct hub_listing); }

void hub_listing_free(struct hub_listing *l) {
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) free(l->files[i].path);
    for (size_t i = 0; i < l->n_projectors; i++) free(l->projectors[i].path);
    free(l->projectors);
    free(l->files);
    free(l);
}

static bool is_projector(const char *name) { return str_find_nocase(name, "mmproj") != NULL; }

/* Other files beside the model: importance matrices, adapters. */
static bool is_beside(const char *name) {
    return str_find_nocase(name, "imatrix") || str_find_nocase(name, "adapter") || strncasecmp(name, "lora", 4) == 0;
}

static void listing_add(struct hub_listing *l, yyjson_val *entry) {
    const char *type = yyjson_get_str(yyjson_obj_get(entry, "type")), *path = yyjson_get_str(yyjson_obj_get(entry, "path"));
    yyjson_val *lfs = yyjson_obj_get(entry, "lfs");
    const char *oid = yyjson_get_str(yyjson_obj_get(lfs, "oid"));
    struct listed f = {.part = 1, .n_parts = 1, .size = yyjson_get_uint(yyjson_obj_get(entry, "size"))};
    size_t stem;
    if (!type || strcmp(type, "file") != 0 || !path || strlen(path) > HUB_MAX_ADDRESS / 2) return;
    if (!hub_file_name(path, strlen(path), f.name) || is_beside(f.name)) return;
    if (yyjson_is_uint(yyjson_obj_get(lfs, "size"))) f.size = yyjson_get_uint(yyjson_obj_get(lfs, "size"));
    if (hub_is_sha256(oid)) memcpy(f.sha256, oid, sizeof(f.sha256));
    f.path = mem_strdup(path);
    if (is_projector(f.name)) {
        l->projectors = mem_realloc(l->projectors, l->n_projectors + 1, sizeof(*l->projectors));
        l->projectors[l->n_projectors++] = f;
        return;
    }
    hub_part_of(f.name, &f.part, &f.n_parts, &stem);
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->files = mem_realloc(l->files, l->cap, sizeof(*l->files));
    }
    l->files[l->n++] = f;
}

err_code hub_listing_add(struct hub_listing *l, const char *json, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse(json, len, &doc, e);
    if (code != ERR_OK) {
        err_prefix(e, "the hub's list of files");
        return code;
    }
    yyjson_val *root = yyjson_doc_get_root(doc), *entry;
    size_t i, max;
    if (!yyjson_is_arr(root)) code = err_set(e, ERR_FORMAT, "the hub's list of files is none");
    else if (l->n + yyjson_arr_size(root) > HUB_MAX_FILES) code = err_set(e, ERR_LIMIT, "the repository has over %d files", HUB_MAX_FILES);
    else yyjson_arr_foreach(root, i, max, entry) listing_add(l, entry);
    yyjson_doc_free(doc);
    return code;
}

/* Whether the tag is a word of its own in the path: "q4_k_m" is one in "Model-Q4_K_M.gguf", but not in "Model-IQ4_K_M.gguf". */
static bool names_tag(const char *path, const char *tag) {
    size_t len = strlen(tag);
    for (const char *p = path; (p = str_find_nocase(p, tag)) != NULL; p++) {
        bool before = p == path || !(isalnum((unsigned char)p[-1]) || p[-1] == '_');
        bool after = !(isalnum((unsigned char)p[len]) || p[len] == '_');
        if (before && after) return true;
    }
    return false;
}

/* The first file (part 1 of a split one) that fits the tag. */
static const struct listed *find_first(const struct hub_listing *l, const char *tag) {
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].part == 1 && (!tag || names_tag(l->files[i].path, tag))) return &l->files[i];
    return NULL;
}

static uint64_t size_of_all(const struct hub_listing *l, const struct listed *first) {
    uint64_t sum = 0;
    size_t stem = strlen(first->path) - strlen("-00001-of-00003.gguf");
    if (first->n_parts == 1) return first->size;
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].n_parts == first->n_parts && strncmp(l->files[i].path, first->path, stem) == 0) sum += l->files[i].size;
    return sum;
}

static err_code nothing_fits(const struct hub_listing *l, const struct hub_ref *r, struct err *e) {
    struct buf names;
    char size[STR_SHORT];
    buf_init(&names, sizeof(e->hint) - 32);
    for (size_t i = 0; i < l->n && !names.failed; i++) {
        const struct listed *f = &l->files[i];
        if (f->part == 1) buf_printf(&names, "%s%s (%s)", names.len ? ", " : "", f->name, str_size(size_of_all(l, f), size));
    }
    if (l->n == 0) err_set(e, ERR_NOT_FOUND, "\"%s\" has no GGUF model", r->repo);
    else err_set(e, ERR_NOT_FOUND, "\"%s\" has no \"%s\"", r->repo, r->tag);
    if (l->n == 0) err_hint(e, "look for a repository whose name ends in -GGUF");
    else err_hint(e, "it has %s%s", buf_cstr(&names), names.failed ? ", ..." : "");
    buf_done(&names);
    return ERR_NOT_FOUND;
}

/* Percent-encodes the bytes that a path in an address must not have. */
static void put_path(struct buf *b, const char *path) {
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        if (isalnum(*p) || strchr("-._~/", *p)) buf_append_byte(b, *p);
        else buf_printf(b, "%%%02X", *p);
}

static err_code take(struct hub_file *f, const struct listed *from, const struct hub_ref *r, const char *base, struct err *e) {
    struct buf url;
    buf_init(&url, HUB_MAX_ADDRESS - 1);
    buf_printf(&url, "%s/%s/resolve/%s/", base, r->repo, r->revision);
    put_path(&url, from->path);
    memcpy(f->name, from->name, sizeof(f->name));
    snprintf(f->url, sizeof(f->url), "%s", buf_cstr(&url));
    f->size = from->size;
    memcpy(f->sha256, from->sha256, sizeof(f->sha256));
    bool failed = url.failed;
    buf_done(&url);
    return failed ? err_set(e, ERR_LIMIT, "the address of \"%.200s\" is too long", from->path) : ERR_OK;
}

/* The name under which a model's projector is kept beside it: "mmproj-Model-Q4_K_M.gguf", whatever the hub calls it. */
static void projector_name(const char *model, char ret[HUB_MAX_NAME]) {
    uint32_t part, n_parts;
    size_t stem = strlen(model) - strlen(".gguf");
    hub_part_of(model, &part, &n_parts, &stem);
    snprintf(ret, HUB_MAX_NAME, "mmproj-%.*s.gguf", (int)(stem < HUB_MAX_NAME - 16 ? stem : HUB_MAX_NAME - 16), model);
}

/* The projector comes after the parts of the model, in 16 bits if there is one. */
static err_code add_projector(const struct hub_listing *l, const struct hub_ref *r, const char *base, struct hub_files *files,
                              struct err *e) {
    static const char *const usual[] = {"F16", "BF16", "Q8_0"};
    const struct listed *best = NULL;
    for (size_t k = 0; k < ARRAY_LEN(usual) && best == NULL; k++)
        for (size_t i = 0; i < l->n_projectors && best == NULL; i++)
            if (names_tag(l->projectors[i].name, usual[k])) best = &l->projectors[i];
    if (best == NULL && l->n_projectors > 0) best = &l->projectors[0];
    if (best == NULL) return ERR_OK;
    files->files = mem_realloc(files->files, files->n + 1, sizeof(*files->files));
    struct hub_file *f = &files->files[files->n++];
    memset(f, 0, sizeof(*f));
    err_code code = take(f, best, r, base, e);
    projector_name(files->files[0].name, f->name);
    return code;
}

err_code hub_listing_pick(const struct hub_listing *l, const struct hub_ref *r, const char *base, struct hub_files *ret, struct err *e) {
    static const char *const usual[] = {"Q4_K_M", "Q4_K_S", "Q4_0", "MXFP4", "Q5_K_M", "Q8_0"};
    const struct listed *first = r->tag[0] ? find_first(l, r->tag) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(usual) && !first && !r->tag[0]; i++) first = find_first(l, usual[i]);
    if (!first && !r->tag[0]) first = find_first(l, NULL);
    if (!first) return nothing_fits(l, r, e);
    struct hub_files files = {.files = mem_calloc(first->n_parts, sizeof(*files.files)), .n = first->n_parts};
    size_t stem = strlen(first->path) - strlen("-00001-of-00003.gguf"), found = 0;
    err_code code = ERR_OK;
    for (size_t i = 0; i < l->n && code == ERR_OK; i++) {
        const struct listed *f = &l->files[i];
        bool belongs = first->n_parts == 1 ? f == first : f->n_parts == first->n_parts && strncmp(f->path, first->path, stem) == 0;
        if (!belongs || files.files[f->part - 1].name[0]) continue;
        code = take(&files.files[f->part - 1], f, r, base, e);
        found++;
    }
    if (code == ERR_OK && found < files.n)
        code = err_set(e, ERR_NOT_FOUND, "\"%s\" lacks %zu of the %zu parts of \"%s\"", r->repo, files.n - found, files.n, first->name);
    if (code == ERR_OK) code = add_projector(l, r, base, &files, e);
    if (code == ERR_OK) *ret = files;
    else hub_files_done(&files);
    return code;
}

/* ---- Ollama ---- */

/* "library/llama3.2" with tag "3b": "llama3.2-3b.gguf" */
static void ollama_name(const struct hub_ref *r, char ret[HUB_MAX_NAME]) {
    const char *name = strncmp(r->repo, "library/", 8) == 0 ? r->repo + 8 : r->repo;
    if (strcmp(r->tag, "latest") == 0) snprintf(ret, HUB_MAX_NAME, "%.180s.gguf", name);
    else snprintf(ret, HUB_MAX_NAME, "%.120s-%.60s.gguf", name, r->tag);
    for (char *p = ret; *p; p++)
        if (*p == '/') *p = '-';
}

static void take_layer(yyjson_val *layer, const char *digest, const struct hub_ref *r, const char *base, struct hub_file *ret) {
    memcpy(ret->sha256, digest + 7, sizeof(ret->sha256));
    ret->size = yyjson_get_uint(yyjson_obj_get(layer, "size"));
    snprintf(ret->url, sizeof(ret->url), "%.1024s/v2/%s/blobs/%s", base, r->repo, digest);
}

err_code hub_manifest_read(const struct hub_ref *r, const char *base, const char *json, size_t len, struct hub_files *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse(json, len, &doc, e);
    if (code != ERR_OK) {
        err_prefix(e, "the hub's manifest");
        return code;
    }
    yyjson_val *layers = yyjson_obj_get(yyjson_doc_get_root(doc), "layers"), *layer;
    size_t i, max, n = 0;
    struct hub_file f = {0}, projector = {0};
    yyjson_arr_foreach(json_some(layers), i, max, layer) {
        const char *type = yyjson_get_str(yyjson_obj_get(layer, "mediaType")), *digest = yyjson_get_str(yyjson_obj_get(layer, "digest"));
        if (type && strcmp(type, "application/vnd.ollama.image.adapter") == 0)
            code = err_set(e, ERR_UNSUPPORTED, "\"%s:%s\" is an adapter on top of another model", r->repo, r->tag);
        bool sees = type && strcmp(type, "application/vnd.ollama.image.projector") == 0;
        if (!type || (!sees && strcmp(type, "application/vnd.ollama.image.model") != 0)) continue;
        n += !sees;
        if (!digest || strncmp(digest, "sha256:", 7) != 0 || !hub_is_sha256(digest + 7)) continue;
        take_layer(layer, digest, r, base, sees ? &projector : &f);
    }
    yyjson_doc_free(doc);
    if (code != ERR_OK) return code;
    if (n != 1 || f.url[0] == '\0') return err_set(e, ERR_UNSUPPORTED, "\"%s:%s\" has no single GGUF file on the hub", r->repo, r->tag);
    ollama_name(r, f.name);
    ret->files = mem_calloc(2, sizeof(*ret->files));
    ret->files[0] = f;
    ret->n = 1;
    if (projector.url[0] == '\0') return ERR_OK;
    projector_name(f.name, projector.name);
    ret->files[ret->n++] = projector;
    return ERR_OK;
}
