/* SPDX-License-Identifier: MIT
 * POST /v1/files: a form (http/multipart.h) with the fields purpose, file, and expires_after[seconds]. The file's bytes are written as
 * they come, so a file may be larger than a request's body. See uploads.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/uploads_priv.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "gateway/keys.h"
#include "http/multipart.h"

enum { MAX_FIELD = 1024, FORM_BYTES = 64 * 1024 /* of a form besides its file */, LEAST_TTL_S = 3600, MOST_TTL_S = 2592000 };

struct upload {
    struct uploads *uploads;
    struct http_exchange *x;
    struct multipart *form;
    char id[BATCH_ID_SIZE], owner[GATEWAY_OWNER_SIZE];
    char *path;               /* owned */
    int fd;                   /* -1: closed */
    struct buf *field;        /* of the part that comes; NULL: its bytes are the file's, or nobody's */
    bool in_file, has_file;
    struct buf name, purpose, anchor, seconds;
    uint64_t bytes;
    int64_t created, expires;
    struct err err;           /* code ERR_OK: none */
    struct store_ask *putting;
};

/* keep: the file stays. */
static void upload_free(struct upload *u, bool keep) {
    if (u->fd >= 0) close(u->fd);
    if (!keep && u->path != NULL) unlink(u->path);
    if (u->putting != NULL) store_cancel(u->putting);
    u->uploads->coming -= u->bytes;
    multipart_free(u->form);
    buf_done(&u->name);
    buf_done(&u->purpose);
    buf_done(&u->anchor);
    buf_done(&u->seconds);
    free(u->path);
    free(u);
}

/* ---- the form ---- */

static void on_part(void *user, const struct multipart_part *part) {
    struct upload *u = user;
    const struct {
        const char *name;
        struct buf *field;
    } fields[] = {{"purpose", &u->purpose}, {"expires_after[anchor]", &u->anchor}, {"expires_after[seconds]", &u->seconds}};
    u->in_file = strcmp(part->name, "file") == 0;
    u->field = NULL;
    if (u->in_file) {
        if (u->has_file) err_set_field(&u->err, ERR_INVALID, "file", "it comes twice");
        u->has_file = true;
        buf_append_str(&u->name, part->filename != NULL && part->filename[0] != '\0' ? part->filename : "file.jsonl");
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(fields[i].name, part->name) == 0) u->field = fields[i].field;
}

static void write_bytes(struct upload *u, const char *at, size_t len) {
    u->bytes += len;
    u->uploads->coming += len;
    if (u->uploads->bytes + u->uploads->coming > u->uploads->options.max_bytes) {
        uploads_has_room(u->uploads, 0, &u->err);
        return;
    }
    while (len > 0) {
        ssize_t n = write(u->fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            err_set_errno(&u->err, errno == ENOSPC ? ERR_NO_ROOM : ERR_IO, errno, "cannot write the file");
            return;
        }
        at += n;
        len -= (size_t)n;
    }
}

static void on_data(void *user, const void *data, size_t len) {
    struct upload *u = user;
    if (u->err.code != ERR_OK) return;
    if (u->in_file) write_bytes(u, data, len);
    else if (u->field != NULL) buf_append(u->field, data, len);
}

static void on_piece(void *user, const void *data, size_t len) { multipart_push(((struct upload *)user)->form, data, len); }

static void on_gone(void *user) { upload_free(user, false); }

/* ---- the beginning ---- */

static err_code open_file(struct upload *u, struct err *e) {
    batch_new_id("file-", u->id);
    u->path = uploads_path(u->uploads, u->id);
    err_code code = file_make_folders(u->path, e);
    if (code != ERR_OK) return code;
    u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return u->fd >= 0 ? ERR_OK : err_set_errno(e, ERR_IO, errno, "cannot make a file in \"%s\"", u->uploads->dir);
}

static struct upload *upload_new(struct uploads *f, struct http_exchange *x, const char *owner) {
    struct upload *u = MEM_NEW(struct upload);
    *u = (struct upload){.uploads = f, .x = x, .fd = -1};
    snprintf(u->owner, sizeof(u->owner), "%s", owner);
    buf_init(&u->name, MAX_FIELD);
    buf_init(&u->purpose, MAX_FIELD);
    buf_init(&u->anchor, MAX_FIELD);
    buf_init(&u->seconds, MAX_FIELD);
    return u;
}

bool uploads_begin(struct uploads *f, struct http_exchange *x, const char *owner) {
    static const struct multipart_events events = {.part = on_part, .data = on_data};
    const char *length = http_request_header(http_request(x), "content-length");
    struct err e = {0};
    uint64_t bytes = 0;
    if (length != NULL) str_take_u64(&length, &bytes);
    err_code code = uploads_has_room(f, bytes > FORM_BYTES ? bytes - FORM_BYTES : 0, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return false;
    }
    struct upload *u = upload_new(f, x, owner);
    code = multipart_create(http_request_header(http_request(x), "content-type"), &events, u, &u->form, &e);
    if (code == ERR_OK) code = open_file(u, &e);
    if (code != ERR_OK) {
        upload_free(u, false);
        gateway_respond_error(x, code, &e);
        return false;
    }
    http_request_take_pieces(x, f->options.max_bytes + FORM_BYTES, on_piece, u);
    http_exchange_on_gone(x, on_gone, u);
    return true;
}

/* ---- the end ---- */

static err_code check_expiry(struct upload *u, struct err *e) {
    int64_t seconds = 0;
    u->created = clock_wall_s();
    u->expires = uploads_expiry(u->uploads, u->created);
    if (u->seconds.len == 0 && u->anchor.len == 0) return ERR_OK;
    if (strcmp(buf_cstr(&u->anchor), "created_at") != 0)
        return err_set_field(e, ERR_INVALID, "expires_after[anchor]", "expected \"created_at\", got \"%.40s\"", buf_cstr(&u->anchor));
    if (!str_parse_i64(buf_cstr(&u->seconds), &seconds) || seconds < LEAST_TTL_S || seconds > MOST_TTL_S)
        return err_set_field(e, ERR_INVALID, "expires_after[seconds]", "expected a number from %d to %d, got \"%.40s\"", LEAST_TTL_S,
                             MOST_TTL_S, buf_cstr(&u->seconds));
    u->expires = u->created + seconds;
    return ERR_OK;
}

static err_code check(struct upload *u, struct err *e) {
    err_code code = multipart_finish(u->form, e);
    if (code != ERR_OK) return code;
    if (u->err.code != ERR_OK) {
        *e = u->err;
        return e->code;
    }
    const char *purpose = buf_cstr(&u->purpose);
    if (!u->has_file) return err_set_field(e, ERR_INVALID, "file", "it is missing");
    if (u->bytes == 0) return err_set_field(e, ERR_INVALID, "file", "it is empty");
    if (strcmp(purpose, "batch") != 0)
        return err_set_field(e, ERR_INVALID, "purpose", "expected \"batch\", got \"%.40s\": files are kept for batches only", purpose);
    if (!str_utf8_valid(buf_cstr(&u->name), u->name.len)) return err_set_field(e, ERR_INVALID, "file", "its name is not UTF-8");
    return check_expiry(u, e);
}

static struct store_file describe(struct upload *u) {
    return (struct store_file){.id = u->id,
                               .owner = u->owner,
                               .purpose = "batch",
                               .name = buf_cstr(&u->name),
                               .batch = "",
                               .bytes = (int64_t)u->bytes,
                               .created = u->created,
                               .expires = u->expires};
}

static void answer(struct upload *u) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *kept = yyjson_mut_doc_get_root(doc);
    const struct store_file file = describe(u);
    yyjson_mut_obj_add_str(doc, kept, "id", file.id);
    yyjson_mut_obj_add_int(doc, kept, "bytes", file.bytes);
    yyjson_mut_obj_add_int(doc, kept, "created", file.created);
    yyjson_mut_obj_add_str(doc, kept, "name", file.name);
    yyjson_mut_obj_add_str(doc, kept, "purpose", file.purpose);
    yyjson_mut_obj_add_int(doc, kept, "expires", file.expires);
    yyjson_doc *row = yyjson_mut_doc_imut_copy(doc, NULL);
    yyjson_mut_doc_set_root(doc, batch_file_object(doc, yyjson_doc_get_root(row)));
    gateway_respond_json(u->x, 200, doc);
    yyjson_doc_free(row);
    yyjson_mut_doc_free(doc);
}

static void on_put(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct upload *u = user;
    (void)text;
    (void)len;
    u->putting = NULL;
    if (code == ERR_OK) answer(u);
    else gateway_respond_error(u->x, code, e);
    u->uploads->bytes += code == ERR_OK ? u->bytes : 0;
    upload_free(u, code == ERR_OK);
}

void uploads_end(struct uploads *f, struct http_exchange *x) {
    struct upload *u = http_request_taker(x);
    struct err e = {0};
    err_code code = check(u, &e);
    if (code == ERR_OK && close(u->fd) != 0) code = err_set_errno(&e, ERR_IO, errno, "cannot write the file");
    u->fd = -1;
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        upload_free(u, false);
        return;
    }
    const struct store_file file = describe(u);
    u->putting = store_file_put(f->gateway->store, &file, on_put, u);
}
