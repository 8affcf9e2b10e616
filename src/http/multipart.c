/* SPDX-License-Identifier: MIT
 * See multipart.h. A delimiter is CRLF, two hyphens and the boundary, then blanks and CRLF, or two hyphens behind the last part. Other
 * bytes behind the boundary mean that the delimiter is a part of the contents. */
#include "http/multipart.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MAX_BOUNDARY = 70, MAX_BLANKS = 64, MAX_PIECE = 1 << 16 };

/* In this order; after ENDED (the last delimiter has come) everything is read over. */
enum multipart_state { MULTIPART_PREAMBLE, MULTIPART_HEADERS, MULTIPART_DATA, MULTIPART_ENDED };

struct multipart {
    enum multipart_state state;
    const struct multipart_events *events;
    void *user;
    char delimiter[MAX_BOUNDARY + 5]; /* "\r\n--BOUNDARY" */
    size_t delimiter_len;
    struct buf in;      /* bytes that are not understood yet */
    size_t n_parts;
    size_t preamble;    /* bytes before the first delimiter */
    struct err err;     /* code ERR_OK: none */
};

/* ---- parameters of headers: name=value; name="quoted" ---- */

/* Copies a value and returns where it ends; NULL: it is too long, or its quote isn't closed. */
static const char *take_value(const char *at, char *ret, size_t size) {
    size_t n = 0;
    bool quoted = *at == '"';
    for (at += quoted; *at != '\0'; at++) {
        if (quoted ? *at == '"' : strchr("; \t", *at) != NULL) break;
        if (quoted && at[0] == '\\' && (at[1] == '"' || at[1] == '\\')) at++;
        if (n + 1 == size) return NULL;
        ret[n++] = *at;
    }
    ret[n] = '\0';
    if (!quoted) return at;
    return *at == '"' ? at + 1 : NULL;
}

/* The parameter of this name, of those behind the first ';'. false: it is not there, or malformed. */
static bool find_parameter(const char *header, const char *name, char *ret, size_t size) {
    size_t len = strlen(name);
    char other[MULTIPART_MAX_HEADERS];
    const char *at = header + strcspn(header, ";");
    while (at != NULL && *at == ';') {
        at++;
        at += strspn(at, " \t");
        size_t n = strcspn(at, "=; \t");
        bool mine = n == len && strncasecmp(at, name, len) == 0;
        if (at[n] != '=') at += n;
        else if (mine) return take_value(at + n + 1, ret, size) != NULL;
        else at = take_value(at + n + 1, other, sizeof(other));
        if (at != NULL) at += strspn(at, " \t");
    }
    return false;
}

/* RFC 2046 section 5.1.1: bchars. */
static bool is_boundary(const char *text) {
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ";
    size_t len = strlen(text);
    return len > 0 && strspn(text, allowed) == len && text[len - 1] != ' ';
}

err_code multipart_create(const char *content_type, const struct multipart_events *events, void *user, struct multipart **ret,
                          struct err *e) {
    static const char type[] = "multipart/form-data";
    char boundary[MAX_BOUNDARY + 1];
    if (content_type == NULL || strncasecmp(content_type, type, sizeof(type) - 1) != 0)
        return err_set(e, ERR_INVALID, "header Content-Type: expected \"%s\", got \"%.80s\"", type,
                       content_type != NULL ? content_type : "");
    if (!find_parameter(content_type, "boundary", boundary, sizeof(boundary)) || !is_boundary(boundary))
        return err_set(e, ERR_INVALID, "header Content-Type: expected a boundary of 1 to %d letters, got \"%.120s\"", MAX_BOUNDARY,
                       content_type);
    struct multipart *m = *ret = MEM_NEW(struct multipart);
    m->events = events;
    m->user = user;
    m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    buf_init(&m->in, 2 * (size_t)MAX_PIECE + MULTIPART_MAX_HEADERS);
    buf_append_str(&m->in, "\r\n"); /* the first delimiter may stand at the beginning */
    return ERR_OK;
}

void multipart_free(struct multipart *m) {
    if (m == NULL) return;
    buf_done(&m->in);
    free(m);
}

/* ---- the parts ---- */

static bool fail(struct multipart *m, err_code code, const char *why) {
    err_set(&m->err, code, "the form is malformed: %s", why);
    return false;
}

/* What stands behind a delimiter. */
enum behind { BEHIND_UNKNOWN, BEHIND_DATA, BEHIND_PART, BEHIND_END };

/* len: bytes from `at` on. *ret_len: of the blanks and the end of line, or of the hyphens. */
static enum behind look_behind(const char *at, size_t len, size_t *ret_len) {
    size_t n = 0;
    if (len >= 2 && at[0] == '-' && at[1] == '-') {
        *ret_len = 2;
        return BEHIND_END;
    }
    if (len == 1 && at[0] == '-') return BEHIND_UNKNOWN;
    while (n < len && n < MAX_BLANKS && (at[n] == ' ' || at[n] == '\t')) n++;
    if (n == len || (n + 1 == len && at[n] == '\r')) return BEHIND_UNKNOWN;
    if (at[n] != '\r' || at[n + 1] != '\n') return BEHIND_DATA;
    *ret_len = n + 2;
    return BEHIND_PART;
}

static void give(struct multipart *m, size_t len) {
    if (m->state == MULTIPART_DATA && len > 0) m->events->data(m->user, m->in.data, len);
    if (m->state == MULTIPART_PREAMBLE) m->preamble += len;
    buf_consume(&m->in, len);
}

/* Contents up to the next delimiter. false: more bytes are needed, or it failed. */
static bool step_data(struct multipart *m) {
    const char *in = (const char *)m->in.data, *found = mem_find(in, m->in.len, m->delimiter, m->delimiter_len);
    size_t behind_len = 0;
    if (m->preamble > MULTIPART_MAX_PREAMBLE) return fail(m, ERR_FORMAT, "its boundary doesn't come");
    if (found == NULL) { /* the end of what is here may be the beginning of a delimiter */
        if (m->in.len >= m->delimiter_len) give(m, m->in.len - (m->delimiter_len - 1));
        return false;
    }
    size_t before = (size_t)(found - in), behind_at = before + m->delimiter_len;
    switch (look_behind(in + behind_at, m->in.len - behind_at, &behind_len)) {
    case BEHIND_UNKNOWN: give(m, before); return false;
    case BEHIND_DATA: give(m, behind_at); return true;
    case BEHIND_END:
        give(m, before);
        m->state = MULTIPART_ENDED;
        return false;
    case BEHIND_PART: break;
    }
    give(m, before);
    buf_consume(&m->in, m->delimiter_len + behind_len);
    m->state = MULTIPART_HEADERS;
    return ++m->n_parts <= MULTIPART_MAX_PARTS || fail(m, ERR_LIMIT, "it has too many parts");
}

/* A part's headers, NUL-terminated: begins it. */
static bool begin_part(struct multipart *m, char *headers) {
    static const char disposition[] = "content-disposition:";
    char name[256], filename[1024];
    for (char *line = headers, *end; *line != '\0'; line = end) {
        end = strstr(line, "\r\n");
        *end = '\0';
        end += 2;
        if (strncasecmp(line, disposition, sizeof(disposition) - 1) != 0) continue;
        if (!find_parameter(line, "name", name, sizeof(name))) break;
        bool has = find_parameter(line, "filename", filename, sizeof(filename));
        m->events->part(m->user, &(struct multipart_part){.name = name, .filename = has ? filename : NULL});
        return true;
    }
    return fail(m, ERR_FORMAT, "a part has no name");
}

static bool step_headers(struct multipart *m) {
    const char *in = (const char *)m->in.data;
    const char *end = mem_find(in, m->in.len, "\r\n\r\n", 4);
    bool none = m->in.len >= 2 && memcmp(in, "\r\n", 2) == 0;
    size_t len = none ? 0 : end != NULL ? (size_t)(end - in) + 2 : 0;
    if (len > MULTIPART_MAX_HEADERS || (end == NULL && m->in.len > MULTIPART_MAX_HEADERS))
        return fail(m, ERR_LIMIT, "the headers of a part are too long");
    if (end == NULL && !none) return false;
    if (len > 0 && memchr(in, '\0', len) != NULL) return fail(m, ERR_FORMAT, "the headers of a part have a NUL byte");
    char *headers = mem_strndup(in, len);
    bool ok = begin_part(m, headers);
    free(headers);
    buf_consume(&m->in, len + 2);
    m->state = MULTIPART_DATA;
    return ok;
}

void multipart_push(struct multipart *m, const void *data, size_t len) {
    for (const char *at = data; len > 0;) {
        size_t n = len < MAX_PIECE ? len : MAX_PIECE;
        if (m->err.code != ERR_OK || m->state == MULTIPART_ENDED) return;
        buf_append(&m->in, at, n);
        assert(!m->in.failed);
        at += n;
        len -= n;
        while (m->err.code == ERR_OK && m->state != MULTIPART_ENDED && (m->state == MULTIPART_HEADERS ? step_headers(m) : step_data(m))) {
        }
    }
}

err_code multipart_finish(struct multipart *m, struct err *e) {
    if (m->err.code == ERR_OK && m->state != MULTIPART_ENDED) fail(m, ERR_FORMAT, "it is cut: its last boundary is missing");
    if (m->err.code != ERR_OK && e != NULL) *e = m->err;
    return m->err.code;
}
