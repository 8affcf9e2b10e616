/* SPDX-License-Identifier: MIT
 * See media.h. */
#include "api/media.h"

#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/str.h"
#include "model/hash.h"

static err_code wrong(struct err *e, const char *at, const char *what) { return err_set_field(e, ERR_INVALID, at, "%s", what); }

/* "[media:...]": blanks, quotes and angle brackets are left out, since templates trim and escape them. */
static void make_mark(const char *data, size_t len, char ret[REQUEST_MARK_SIZE]) {
    enum { BYTES = 16 };
    uint8_t hash[MODEL_HASH_SIZE];
    char hex[2 * BYTES + 1];
    model_hash(data, len, hash);
    str_hex(hash, BYTES, hex);
    snprintf(ret, REQUEST_MARK_SIZE, "[media:%s]", hex);
}

static bool is_known(const struct api_request *r, const char *mark) {
    for (uint32_t i = 0; i < r->n_media; i++)
        if (strcmp(r->media[i].mark, mark) == 0) return true;
    return false;
}

static err_code keep(struct api_request *r, const char *data, size_t len, const char *mark, const char *at, struct err *e) {
    size_t bytes = len;
    if (r->n_media == REQUEST_MAX_MEDIA)
        return err_set_field(e, ERR_INVALID, at, "a request has at most %d pictures and sounds", REQUEST_MAX_MEDIA);
    for (uint32_t i = 0; i < r->n_media; i++) bytes += strlen(r->media[i].data);
    if (bytes > API_MAX_MEDIA_BYTES) {
        err_set_field(e, ERR_INVALID, at, "the pictures and sounds of a request have at most %d MB together",
                      API_MAX_MEDIA_BYTES / 4 * 3 >> 20);
        err_hint(e, "make them smaller: models see no more than one or two million pixels");
        return ERR_INVALID;
    }
    if (r->media == NULL) r->media = arena_alloc(r->arena, REQUEST_MAX_MEDIA * sizeof(*r->media));
    struct request_media *m = &r->media[r->n_media++];
    memcpy(m->mark, mark, sizeof(m->mark));
    m->data = arena_strndup(r->arena, data, len);
    return ERR_OK;
}

static err_code add(struct api_request *r, const char *data, size_t len, const char *at, struct buf *out, struct err *e) {
    char mark[REQUEST_MARK_SIZE] = "";
    if (len == 0) return wrong(e, at, "the file is empty");
    if (!base64_valid(data, len)) return wrong(e, at, "expected the bytes of a file as base64");
    make_mark(data, len, mark);
    err_code code = is_known(r, mark) ? ERR_OK : keep(r, data, len, mark, at, e);
    if (code == ERR_OK) buf_append_str(out, mark);
    return code;
}

bool api_media_is_data(const char *url) { return strncasecmp(url, "data:", 5) == 0; }

err_code api_media_add(struct api_request *r, yyjson_val *base64, const char *at, struct buf *out, struct err *e) {
    if (!yyjson_is_str(base64)) return wrong(e, at, "expected the bytes of a file as base64");
    const char *text = yyjson_get_str(base64);
    if (api_media_is_data(text)) return api_media_url(r, base64, at, out, e);
    return add(r, text, yyjson_get_len(base64), at, out, e);
}

/* A picture at an address. */
static err_code add_fetched(struct api_request *r, const char *url, const char *at, struct buf *out, struct err *e) {
    struct buf file, text;
    struct err why = {0};
    if (r->fetch == NULL) {
        r->wants_fetch = r->may_fetch;
        err_set_field(e, ERR_UNSUPPORTED, at, "pictures are not fetched from addresses here");
        err_hint(e, "send the picture itself: \"data:image/png;base64,...\"; or start the node with --fetch-images public");
        return ERR_UNSUPPORTED;
    }
    buf_init(&file, API_MAX_MEDIA_BYTES / 4 * 3);
    buf_init(&text, API_MAX_MEDIA_BYTES + 4);
    err_code code = r->fetch->get(r->fetch->user, url, &file, &why);
    r->has_fetched = true;
    if (code == ERR_OK) {
        base64_encode(file.data, file.len, &text);
        code = add(r, buf_cstr(&text), text.len, at, out, e);
    } else err_set_field(e, code, at, "the picture was not fetched: %s", why.text);
    buf_done(&file);
    buf_done(&text);
    return code;
}

static bool is_web(const char *url) { return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0; }

/* The bytes of a data address: what stands behind its head, which ends with ";base64" and the first comma outside of quotes (RFC 2397).
 * NULL: they are not base64. */
static const char *bytes_of(const char *url, size_t len) {
    static const char form[] = ";base64";
    enum { HEAD_MOST = 256, FORM = sizeof(form) - 1 };
    bool quoted = false;
    size_t i = 0, most = len < HEAD_MOST ? len : HEAD_MOST;
    for (; i < most && (quoted || url[i] != ','); i++)
        if (url[i] == '"') quoted = !quoted;
    return i < most && i >= FORM && strncasecmp(url + i - FORM, form, FORM) == 0 ? url + i + 1 : NULL;
}

err_code api_media_url(struct api_request *r, yyjson_val *url, const char *at, struct buf *out, struct err *e) {
    const char *text = yyjson_get_str(url);
    size_t len = yyjson_get_len(url);
    if (text == NULL) return wrong(e, at, "expected an address");
    if (is_web(text)) return add_fetched(r, text, at, out, e);
    if (!api_media_is_data(text))
        return wrong(e, at,
                     "expected \"data:TYPE;base64,\" and the bytes of the file as base64, or an address that begins with \"https://\"");
    const char *data = bytes_of(text, len);
    if (data == NULL) return wrong(e, at, "expected \"data:TYPE;base64,\" and the bytes of the file as base64");
    return add(r, data, len - (size_t)(data - text), at, out, e);
}
