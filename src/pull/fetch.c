/* SPDX-License-Identifier: MIT
 * See fetch.h. */
#include "pull/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/gguf.h"

enum { MAX_LISTING = 32 << 20, MAX_PAGES = 100, HEADER_FIRST = 12 << 20, HEADER_NEXT = 1 << 20, HEADER_MOST = 256 << 20 };
#define UNKNOWN_SIZE ((uint64_t)1 << 50) /* of a file, where the hub doesn't say it */

/* A fetch that runs. */
struct fetching {
    const struct fetch_job *f;
    struct hub_ref ref;
    char base[HUB_MAX_ADDRESS];
    struct web_token token;
    struct hub_files files;
    size_t n_fetched; /* files that came over the network this time */
};

/* ---- the hub ---- */

static void find_base(struct fetching *p) {
    const char *given = p->ref.kind == HUB_OLLAMA ? p->f->ollama_registry : p->f->hf_endpoint;
    const char *hf = getenv("HF_ENDPOINT");
    if (p->ref.kind != HUB_OLLAMA && !given[0]) given = hf && hf[0] ? hf : "https://huggingface.co";
    size_t len = strlen(given);
    while (len > 0 && given[len - 1] == '/') len--;
    snprintf(p->base, sizeof(p->base), "%.*s", (int)(len < 1024 ? len : 1024), given);
}

static void find_token(struct fetching *p) {
    const char *token = getenv("HF_TOKEN");
    if (!token || !token[0]) token = getenv("HUGGING_FACE_HUB_TOKEN");
    if (p->ref.kind != HUB_OLLAMA) p->token = (struct web_token){.text = token, .hub = p->base};
}

static err_code list_hf(struct fetching *p, const char *first, struct err *e) {
    char url[WEB_MAX_URL], next[WEB_MAX_URL];
    struct hub_listing *l = hub_listing_create();
    struct buf body;
    err_code code = ERR_OK;
    buf_init(&body, MAX_LISTING);
    snprintf(url, sizeof(url), "%s", first);
    for (int page = 0; code == ERR_OK && url[0] && page < MAX_PAGES; page++) {
        struct web_request r = {.url = url,
                                .token = p->token,
                                .accept = hub_list_accept(&p->ref),
                                .stop = p->f->stop,
                                .on_waiting = p->f->events->waits,
                                .user = p->f->user};
        code = web_get(&r, &body, next, e);
        if (code == ERR_OK) code = hub_listing_add(l, (const char *)body.data, body.len, e);
        memcpy(url, next, sizeof(url));
    }
    if (code == ERR_OK) code = hub_listing_pick(l, &p->ref, p->base, &p->files, e);
    buf_done(&body);
    hub_listing_free(l);
    return code;
}

static err_code list_ollama(struct fetching *p, const char *url, struct err *e) {
    struct buf body;
    buf_init(&body, MAX_LISTING);
    struct web_request r = {
        .url = url, .accept = hub_list_accept(&p->ref), .stop = p->f->stop, .on_waiting = p->f->events->waits, .user = p->f->user};
    err_code code = web_get(&r, &body, NULL, e);
    if (code == ERR_OK) code = hub_manifest_read(&p->ref, p->base, (const char *)body.data, body.len, &p->files, e);
    buf_done(&body);
    return code;
}

static err_code list_files(struct fetching *p, struct err *e) {
    char url[HUB_MAX_ADDRESS];
    if (p->ref.kind == HUB_URL) return hub_url_files(&p->ref, &p->files, e);
    hub_list_url(&p->ref, p->base, url);
    return p->ref.kind == HUB_HF ? list_hf(p, url, e) : list_ollama(p, url, e);
}

/* Adds a hint in the hub's own terms. */
static void add_hint(const struct fetching *p, struct err *e) {
    if (e->hint[0]) return;
    if (e->code == ERR_AUTH && p->ref.kind == HUB_HF)
        err_hint(e,
                 p->token.text && p->token.text[0]
                     ? "$HF_TOKEN doesn't open it: accept its conditions on %.100s/%.80s with that account"
                     : "it is private, gated, or not there: accept its conditions on %.100s/%.80s, then set HF_TOKEN to a token of yours",
                 p->base, p->ref.repo);
    else if (e->code == ERR_NOT_FOUND && p->ref.kind != HUB_URL)
        err_hint(e, "look at how the name and, if you gave one, %s are spelled there", p->ref.kind == HUB_HF ? "the revision" : "the tag");
    else if (e->code == ERR_NETWORK && p->files.n == 0)
        err_hint(e, p->ref.kind == HUB_HF
                        ? "is this machine online? --hf-endpoint names a mirror; a GGUF copied into the models folder will do too"
                        : "is this machine online? a GGUF copied into the models folder will do too");
    else if (e->code == ERR_CANCELLED || e->code == ERR_NETWORK || e->code == ERR_TIMEOUT || e->code == ERR_BUSY || e->code == ERR_PROTOCOL)
        err_hint(e, "the same command goes on where it was");
}

/* ---- the files ---- */

/* Is the file here already? ERR_INVALID: another file has its name. */
static err_code look_there(const struct hub_file *f, const char *path, bool *ret_there, struct err *e) {
    struct stat st;
    *ret_there = stat(path, &st) == 0;
    if (!*ret_there || f->size == 0 || (uint64_t)st.st_size == f->size) return ERR_OK;
    err_set(e, ERR_INVALID, "\"%s\" is there, but of another size than what is published", path);
    err_hint(e, "move it away or remove it; or keep this one elsewhere: --models-dir DIR");
    return ERR_INVALID;
}

static err_code fetch_file(struct fetching *p, const struct hub_file *file, const char *path, struct err *e) {
    const struct fetch_events *events = p->f->events;
    bool there;
    struct http_download_result got;
    err_code code = look_there(file, path, &there, e);
    if (code != ERR_OK) return code;
    if (there) {
        if (events->is_there) events->is_there(p->f->user, path);
        return ERR_OK;
    }
    if (events->begins) events->begins(p->f->user, file);
    struct http_download d = {.url = file->url,
                              .token = p->token,
                              .path = path,
                              .size = file->size,
                              .sha256 = file->sha256,
                              .connections = p->f->connections,
                              .stop = p->f->stop,
                              .on_progress = events->progress,
                              .on_waiting = events->waits,
                              .user = p->f->user};
    code = http_download(&d, &got, e);
    if (code == ERR_OK && events->came) events->came(p->f->user, path, &got);
    if (code == ERR_OK) p->n_fetched++;
    return code;
}

/* Reads the header: the published file may not be a model. */
static err_code look_at_model(struct fetching *p, const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_gguf_open(path, &g, e);
    for (size_t i = 0; i < p->files.n && code != ERR_OK && p->n_fetched > 0; i++) {
        char *file = mem_printf("%s/%s", p->f->dir, p->files.files[i].name);
        unlink(file);
        free(file);
    }
    if (code != ERR_OK && p->n_fetched > 0) err_hint(e, "what came from there is no model that can be used; it is removed again");
    model_gguf_free(g);
    return code;
}

err_code fetch_model(const struct fetch_job *f, char **ret_path, struct err *e) {
    struct fetching p = {.f = f};
    char *first = NULL;
    err_code code = hub_ref_parse(f->name, &p.ref, e);
    if (code == ERR_OK) {
        find_base(&p);
        find_token(&p);
        code = list_files(&p, e);
    }
    for (size_t i = 0; i < p.files.n && code == ERR_OK; i++) {
        char *path = mem_printf("%s/%s", f->dir, p.files.files[i].name);
        code = fetch_file(&p, &p.files.files[i], path, e);
        if (i == 0) first = path;
        else free(path);
    }
    if (code == ERR_OK) code = look_at_model(&p, first, e);
    else add_hint(&p, e);
    hub_files_done(&p.files);
    if (code == ERR_OK) *ret_path = first;
    else free(first);
    return code;
}

/* ---- only the header ---- */

/* The first bytes of each file: of the first one most, since it has the vocabulary. *ret_more: there is more of one of them. */
static err_code fetch_beginnings(struct fetching *p, struct buf *heads, uint64_t scale, bool *ret_more, struct err *e) {
    err_code code = ERR_OK;
    *ret_more = false;
    for (size_t i = 0; i < p->files.n && code == ERR_OK; i++) {
        struct web_request r = {.url = p->files.files[i].url,
                                .token = p->token,
                                .stop = p->f->stop,
                                .on_waiting = p->f->events->waits,
                                .user = p->f->user,
                                .first = (i == 0 ? HEADER_FIRST : HEADER_NEXT) * scale};
        if (heads[i].len > 0 && heads[i].len < r.first / 4) continue; /* it is all here */
        code = web_get(&r, &heads[i], NULL, e);
        *ret_more = *ret_more || heads[i].len == r.first;
    }
    return code;
}

static err_code read_header(struct fetching *p, struct buf *heads, struct model_gguf **ret, struct err *e) {
    struct model_part *parts = mem_calloc(p->files.n, sizeof(*parts));
    for (size_t i = 0; i < p->files.n; i++) {
        uint64_t size = p->files.files[i].size;
        parts[i] = (struct model_part){.header = heads[i].data, .header_len = heads[i].len, .file_size = size > 0 ? size : UNKNOWN_SIZE};
    }
    err_code code = model_gguf_from_parts(p->f->name, parts, (uint32_t)p->files.n, ret, e);
    free(parts);
    return code;
}

static err_code fetch_heads(struct fetching *p, struct model_gguf **ret, struct err *e) {
    struct buf *heads = mem_calloc(p->files.n + 1, sizeof(*heads));
    bool more = true;
    err_code code = p->files.n > MODEL_MAX_PARTS ? err_set(e, ERR_LIMIT, "the model is in more than %d files", MODEL_MAX_PARTS) : ERR_OK;
    for (size_t i = 0; i < p->files.n; i++) buf_init(&heads[i], HEADER_MOST + 1);
    for (uint64_t scale = 1; code == ERR_OK && more && *ret == NULL && scale * HEADER_FIRST <= HEADER_MOST; scale *= 4) {
        struct err why = {0};
        code = fetch_beginnings(p, heads, scale, &more, e);
        if (code == ERR_OK && read_header(p, heads, ret, &why) != ERR_OK && (!more || scale * 4 * HEADER_FIRST > HEADER_MOST)) {
            code = why.code;
            if (e) *e = why;
        }
    }
    for (size_t i = 0; i < p->files.n; i++) buf_done(&heads[i]);
    free(heads);
    return code;
}

err_code fetch_header(const struct fetch_job *f, struct model_gguf **ret, struct err *e) {
    struct fetching p = {.f = f};
    *ret = NULL;
    err_code code = hub_ref_parse(f->name, &p.ref, e);
    if (code == ERR_OK) {
        find_base(&p);
        find_token(&p);
        code = list_files(&p, e);
    }
    if (code == ERR_OK) code = fetch_heads(&p, ret, e);
    if (code != ERR_OK) add_hint(&p, e);
    hub_files_done(&p.files);
    return code;
}
