/* SPDX-License-Identifier: MIT
 * See media.h. */
#include "stage/media.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"
#include "model/hash.h"

/* A file, and what was made of it. */
struct entry {
    struct list link;
    uint8_t hash[MODEL_HASH_SIZE];
    char mark[REQUEST_MARK_SIZE]; /* by which requests named it last */
    struct engine_pieces pieces;
    size_t bytes;
};

struct media {
    const struct engine *engine;
    const char *model;
    size_t max_bytes, bytes;
    pthread_mutex_t lock;
    struct list entries; /* the one used last comes first */
};

struct media *media_create(const struct engine *engine, const char *model, size_t max_bytes) {
    struct media *m = MEM_NEW(struct media);
    const char *slash = strrchr(model, '/');
    *m = (struct media){.engine = engine, .model = slash != NULL ? slash + 1 : model, .max_bytes = max_bytes};
    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->entries);
    return m;
}

static void entry_free(struct media *m, struct entry *x) {
    m->bytes -= x->bytes;
    engine_pieces_done(&x->pieces);
    list_remove(&x->link);
    free(x);
}

void media_free(struct media *m) {
    if (m == NULL) return;
    for (LIST_EACH_SAFE(link, &m->entries)) entry_free(m, LIST_ENTRY(link, struct entry, link));
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- files ---- */

static struct entry *find(struct media *m, const uint8_t *hash) {
    for (LIST_EACH(link, &m->entries)) {
        struct entry *x = LIST_ENTRY(link, struct entry, link);
        if (memcmp(x->hash, hash, sizeof(x->hash)) != 0) continue;
        list_remove(&x->link);
        list_push_front(&m->entries, &x->link);
        return x;
    }
    return NULL;
}

/* Requests that use them keep the rows of what is given up here. */
static void make_room(struct media *m, const struct entry *keep) {
    while (m->bytes > m->max_bytes && m->entries.prev != &keep->link) entry_free(m, LIST_ENTRY(m->entries.prev, struct entry, link));
}

/* Takes over what was made of a file. */
static struct entry *add(struct media *m, const uint8_t *hash, const struct engine_pieces *pieces) {
    struct entry *x = MEM_NEW(struct entry);
    memcpy(x->hash, hash, sizeof(x->hash));
    x->pieces = *pieces;
    x->bytes = sizeof(*x);
    for (size_t i = 0; i < pieces->n; i++) {
        struct engine_rows *rows = pieces->piece[i].rows;
        if (rows == NULL) continue;
        engine_rows_name(rows);
        x->bytes += (size_t)rows->n * rows->width * sizeof(float);
    }
    list_push_front(&m->entries, &x->link);
    m->bytes += x->bytes;
    make_room(m, x);
    return x;
}

static err_code check_kind(const struct media *m, struct err *e) {
    if (m->engine->info.n_row > 0 && m->engine->ops->media != NULL) return ERR_OK;
    if (m->engine->no_media[0] != '\0') {
        err_set(e, ERR_UNSUPPORTED, "pictures and sounds need a projector, and that of \"%s\" is not used: %s", m->model,
                m->engine->no_media);
        err_hint(e, "put the one that was published with the model in its place, or name it with --mmproj FILE, and load the model again");
        return ERR_UNSUPPORTED;
    }
    size_t stem = strlen(m->model);
    if (stem > 5 && strcmp(m->model + stem - 5, ".gguf") == 0) stem -= 5;
    err_set(e, ERR_UNSUPPORTED,
            "pictures and sounds need a projector, and there is none for \"%s\": the file \"mmproj-%.*s.gguf\" is missing", m->model,
            (int)stem, m->model);
    err_hint(e, "put it beside the model on the machine that has the first layers, or name it with --mmproj FILE; "
                "`caravan pull` fetches it");
    return ERR_UNSUPPORTED;
}

/* The pieces of a file, made now or before. */
static err_code take_file(struct media *m, const uint8_t *data, size_t len, struct entry **ret, struct err *e) {
    uint8_t hash[MODEL_HASH_SIZE];
    struct engine_pieces pieces = {0};
    model_hash(data, len, hash);
    struct entry *x = find(m, hash);
    err_code code = x == NULL ? m->engine->ops->media(m->engine->self, data, len, &pieces, e) : ERR_OK;
    if (code == ERR_OK) *ret = x != NULL ? x : add(m, hash, &pieces);
    return code;
}

/* A file whose bytes were left out, since an earlier request had them (calls/sent.h). ERR_STALE: its rows are not here any more. */
static err_code take_known(struct media *m, const char *mark, struct entry **ret, struct err *e) {
    for (LIST_EACH(link, &m->entries)) {
        struct entry *x = LIST_ENTRY(link, struct entry, link);
        if (strcmp(x->mark, mark) != 0) continue;
        *ret = find(m, x->hash);
        return ERR_OK;
    }
    return err_set(e, ERR_STALE, "the picture or sound %s is not kept here any more", mark);
}

static err_code take_media(struct media *m, const struct request_media *from, struct entry **ret, struct err *e) {
    if (from->data[0] == '\0') return take_known(m, from->mark, ret, e);
    size_t len = strlen(from->data);
    uint8_t *data = malloc(base64_most(len));
    if (data == NULL) return err_set(e, ERR_MEMORY, "no memory for a file of %zu bytes", len);
    err_code code = base64_decode(from->data, len, data, &len) ? take_file(m, data, len, ret, e)
                                                               : err_set(e, ERR_INVALID, "a picture or sound that is not base64");
    free(data);
    if (code == ERR_OK) memcpy((*ret)->mark, from->mark, sizeof(from->mark));
    return code;
}

/* ---- the prompt ---- */

struct prompt {
    struct request *r;
    size_t n, room; /* tokens */
};

static void put_tokens(struct prompt *p, const int32_t *tokens, size_t n) {
    if (p->n + n > p->room) {
        p->room = 2 * (p->n + n);
        p->r->tokens = mem_realloc(p->r->tokens, p->room, sizeof(*p->r->tokens));
    }
    if (n > 0) memcpy(p->r->tokens + p->n, tokens, n * sizeof(*tokens));
    p->n += n;
}

static void put_rows(struct prompt *p, struct engine_rows *rows) {
    struct request *r = p->r;
    r->rows = mem_realloc(r->rows, r->n_rows + 1, sizeof(*r->rows));
    r->rows[r->n_rows++] = (struct request_rows){.at = (uint32_t)p->n, .rows = engine_rows_keep(rows)};
    put_tokens(p, rows->ids, rows->n);
}

static err_code put_text(struct media *m, struct prompt *p, const char *text, size_t len, struct err *e) {
    int32_t *tokens = NULL;
    size_t n = 0;
    bool first = p->n == 0;
    if (len == 0 && !first) return ERR_OK;
    err_code code = m->engine->ops->tokenize(m->engine->self, text, len, first && p->r->add_bos, p->r->parse_special, &tokens, &n, e);
    if (code == ERR_OK) put_tokens(p, tokens, n);
    free(tokens);
    return code;
}

static void put_pieces(struct prompt *p, const struct engine_pieces *pieces) {
    for (size_t i = 0; i < pieces->n; i++)
        if (pieces->piece[i].rows != NULL) put_rows(p, pieces->piece[i].rows);
        else put_tokens(p, pieces->piece[i].tokens, pieces->piece[i].n);
}

/* The first mark of a picture in the text; NULL: none is left. */
static const char *next_mark(const struct request *r, const char *text, size_t len, const struct request_media **ret) {
    const char *first = NULL;
    for (uint32_t i = 0; i < r->n_media; i++) {
        const char *at = mem_find(text, first != NULL ? (size_t)(first - text) : len, r->media[i].mark, strlen(r->media[i].mark));
        if (at == NULL) continue;
        first = at;
        *ret = &r->media[i];
    }
    return first;
}

static err_code check_length(const struct prompt *p, uint32_t limit, struct err *e) {
    if (p->n <= limit) return ERR_OK;
    err_set(e, ERR_LIMIT, "the prompt has more than %zu tokens with its pictures: the context of %u has no room for an answer", p->n - 1,
            limit);
    err_hint(e, "send fewer or smaller pictures, or load the model with a larger context (--ctx)");
    return ERR_LIMIT;
}

static err_code read_parts(struct media *m, struct prompt *p, uint32_t limit, struct err *e) {
    const struct request *r = p->r;
    const char *at = r->text, *end = r->text + r->text_len, *mark;
    const struct request_media *media = NULL;
    bool any = false;
    err_code code = ERR_OK;
    while (code == ERR_OK && (mark = next_mark(r, at, (size_t)(end - at), &media)) != NULL) {
        struct entry *x = NULL;
        code = put_text(m, p, at, (size_t)(mark - at), e);
        if (code == ERR_OK && (code = take_media(m, media, &x, e)) != ERR_OK && r->n_media > 1)
            err_prefix(e, "picture or sound %u of %u", (uint32_t)(media - r->media) + 1, r->n_media);
        if (code == ERR_OK) put_pieces(p, &x->pieces);
        if (code == ERR_OK) code = check_length(p, limit, e);
        at = mark + strlen(media->mark);
        any = true;
    }
    if (code == ERR_OK && !any) return err_set(e, ERR_INVALID, "the model's chat template leaves the pictures out");
    if (code == ERR_OK) code = put_text(m, p, at, (size_t)(end - at), e);
    return code == ERR_OK ? check_length(p, limit, e) : code;
}

static void drop_media(struct request *r) {
    for (uint32_t i = 0; i < r->n_media; i++) free(r->media[i].data);
    free(r->media);
    r->media = NULL;
    r->n_media = 0;
}

err_code media_read(struct media *m, struct request *r, uint32_t limit, struct err *e) {
    struct prompt p = {.r = r};
    err_code code = check_kind(m, e);
    if (code != ERR_OK) return code;
    pthread_mutex_lock(&m->lock);
    code = read_parts(m, &p, limit, e);
    pthread_mutex_unlock(&m->lock);
    r->n_tokens = p.n;
    drop_media(r);
    return code;
}
