/* SPDX-License-Identifier: MIT
 * Field tables as little-endian bytes, and as a Markdown table. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/field_priv.h"
#include "base/mem.h"

static bool is_part(const struct field *f) { return f->type >= FIELD_ARRAY; }

/* Bytes of one field of the head: its size in the struct, but 1 for a flag or a word. */
static size_t size_of(const struct field *f) {
    if (f->type == FIELD_BOOL || f->type == FIELD_WORD) return 1;
    return f->type == FIELD_OBJECT ? f->of()->wire_size : f->size;
}

static void put_number(uint8_t *out, uint64_t v, size_t size) {
    switch (size) {
    case 1: *out = (uint8_t)v; break;
    case 2: bytes_put_u16(out, (uint16_t)v); break;
    case 4: bytes_put_u32(out, (uint32_t)v); break;
    default: assert(size == 8); bytes_put_u64(out, v);
    }
}

static uint64_t get_number(const uint8_t *in, size_t size) {
    switch (size) {
    case 1: return *in;
    case 2: return bytes_get_u16(in);
    case 4: return bytes_get_u32(in);
    default: assert(size == 8); return bytes_get_u64(in);
    }
}

static bool in_range(const struct field *f, uint64_t v) {
    switch (f->type) {
    case FIELD_BOOL: return v <= 1;
    case FIELD_WORD: return v < f->max;
    case FIELD_UINT: return v <= f->max && (f->min <= 0 || v >= (uint64_t)f->min);
    case FIELD_INT: {
        int64_t number = f->size == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
        return number >= f->min && number <= (int64_t)f->max;
    }
    default: return true;
    }
}

void field_put(const struct field_set *set, const void *value, uint8_t *out) {
    for (size_t i = 0; i < set->n_fields; i++) {
        const struct field *f = &set->fields[i];
        const char *p = (const char *)value + f->at;
        size_t size = size_of(f);
        switch (f->type) {
        case FIELD_BOOL: *out = *(const bool *)p; break;
        case FIELD_UINT:
        case FIELD_INT:
        case FIELD_REAL: /* its bits, as an unsigned number */
        case FIELD_ID:
        case FIELD_WORD:
            assert(in_range(f, field_get_uint(value, f)));
            put_number(out, field_get_uint(value, f), size);
            break;
        case FIELD_HEX: memcpy(out, p, size); break;
        case FIELD_ZERO: memset(out, 0, size); break;
        case FIELD_OBJECT: field_put(f->of(), p, out); break;
        default: assert(is_part(f)); return; /* parts are the last rows */
        }
        out += size;
    }
}

static bool get_one(const struct field *f, const uint8_t *in, size_t size, void *value) {
    char *p = (char *)value + f->at;
    if (f->type == FIELD_HEX) {
        memcpy(p, in, size);
        return true;
    }
    if (f->type == FIELD_ZERO) {
        for (size_t i = 0; i < size; i++)
            if (in[i] != 0) return false;
        return true;
    }
    uint64_t v = get_number(in, size);
    if (!in_range(f, v)) return false;
    if (f->type == FIELD_BOOL) *(bool *)p = v != 0;
    else field_set_uint(value, f, v);
    return true;
}

static err_code out_of_range(const struct field_set *set, const struct field *f, struct err *e) {
    err_set_field(e, ERR_PROTOCOL, f->name, "its value is out of range");
    err_prefix(e, "%s", set->name);
    return ERR_PROTOCOL;
}

static err_code cut_short(const struct field_set *set, struct err *e) { return err_set(e, ERR_PROTOCOL, "%s: cut short", set->name); }

static err_code get_head(const struct field_set *set, struct bytes_reader *r, void *ret, struct err *e) {
    for (size_t i = 0; i < set->n_fields; i++) {
        const struct field *f = &set->fields[i];
        if (f->type >= FIELD_OBJECT) {
            if (is_part(f)) break; /* parts are the last rows */
            err_code code = get_head(f->of(), r, (char *)ret + f->at, e);
            if (code != ERR_OK) return code;
            continue;
        }
        size_t size = size_of(f);
        const uint8_t *in = bytes_take(r, size);
        if (in == NULL) return cut_short(set, e);
        if (get_one(f, in, size, ret)) continue;
        if (f->type == FIELD_ZERO) return err_set(e, ERR_PROTOCOL, "%s: reserved bytes are not 0", set->name);
        return out_of_range(set, f, e);
    }
    return ERR_OK;
}

err_code field_peek(const struct field_set *set, const uint8_t *data, size_t len, void *ret, struct err *e) {
    struct bytes_reader r;
    bytes_reader_init(&r, data, len);
    return get_head(set, &r, ret, e);
}

/* ---- parts ---- */

static size_t count_of(const struct field *f, const void *value) {
    return (size_t)field_get_uint(value, &(struct field){.at = f->count_at, .size = f->count_size});
}

static size_t *length_of(const struct field *f, const void *value) { return (size_t *)(uintptr_t)((const char *)value + f->count_at); }

static void append_list(const struct field *f, const char *list, size_t n, struct buf *out) {
    for (size_t i = 0; i < n; i++) field_append_bytes(f->of(), list + i * f->size, out);
}

static void append_i32s(const int32_t *numbers, size_t n, struct buf *out) {
    if (!buf_reserve(out, 4 * n)) return;
    for (size_t i = 0; i < n; i++) bytes_put_u32(out->data + out->len + 4 * i, (uint32_t)numbers[i]);
    out->len += 4 * n;
}

static void append_part(const struct field *f, const void *value, struct buf *out) {
    const char *p = (const char *)value + f->at;
    size_t n = f->type == FIELD_REST ? *length_of(f, value) : count_of(f, value);
    switch (f->type) {
    case FIELD_ARRAY: append_list(f, p, n, out); break;
    case FIELD_HEAP: append_list(f, *(const char *const *)(const void *)p, n, out); break;
    case FIELD_I32S: append_i32s(*(const int32_t *const *)(const void *)p, n, out); break;
    case FIELD_PIECE: buf_append(out, p, n); break;
    default: buf_append(out, *(const void *const *)(const void *)p, n * f->size); break;
    }
}

static void append_parts(const struct field_set *set, const void *value, struct buf *out) {
    for (size_t i = 0; i < set->n_fields && set->n_parts > 0; i++) {
        const struct field *f = &set->fields[i];
        if (f->type == FIELD_OBJECT) append_parts(f->of(), (const char *)value + f->at, out);
        else if (is_part(f)) append_part(f, value, out);
    }
}

void field_append_bytes(const struct field_set *set, const void *value, struct buf *out) {
    if (!buf_reserve(out, set->wire_size)) return;
    field_put(set, value, out->data + out->len);
    out->len += set->wire_size;
    append_parts(set, value, out);
}

static err_code get_list(const struct field *f, char *list, size_t n, struct bytes_reader *r, struct err *e) {
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++) code = field_get(f->of(), r, list + i * f->size, e);
    return code;
}

/* Nothing is allocated for more elements than the bytes that are left can hold. */
static err_code get_heap(const struct field_set *set, const struct field *f, size_t n, struct bytes_reader *r, char *p, struct err *e) {
    size_t each = f->type == FIELD_HEAP ? f->of()->wire_size : 4;
    if (n > bytes_left(r) / each) return cut_short(set, e);
    void *list = n > 0 ? mem_calloc(n, f->size) : NULL;
    *(void **)(void *)p = list;
    if (f->type == FIELD_HEAP) return get_list(f, list, n, r, e);
    for (size_t i = 0; i < n; i++) ((int32_t *)list)[i] = (int32_t)bytes_read_u32(r);
    return ERR_OK;
}

/* Copies n bytes into the struct (PIECE), or makes its pointer point at them (VIEW, REST). */
static err_code get_bytes(const struct field_set *set, const struct field *f, size_t n, struct bytes_reader *r, char *p, struct err *e) {
    if (n > bytes_left(r) / f->size) return cut_short(set, e);
    const uint8_t *in = bytes_take(r, n * f->size); /* NULL: no bytes, of a payload without a buffer */
    if (f->type != FIELD_PIECE) *(const uint8_t **)(void *)p = in;
    else if (n > 0) memcpy(p, in, n);
    return ERR_OK;
}

static err_code get_part(const struct field_set *set, const struct field *f, struct bytes_reader *r, void *ret, struct err *e) {
    char *p = (char *)ret + f->at;
    if (f->type == FIELD_REST) *length_of(f, ret) = bytes_left(r);
    size_t n = f->type == FIELD_REST ? bytes_left(r) : count_of(f, ret);
    if (f->max > 0 && n > f->max) return out_of_range(set, f, e);
    if (f->type == FIELD_ARRAY) return get_list(f, p, n, r, e);
    return f->type == FIELD_HEAP || f->type == FIELD_I32S ? get_heap(set, f, n, r, p, e) : get_bytes(set, f, n, r, p, e);
}

static err_code get_parts(const struct field_set *set, struct bytes_reader *r, void *ret, struct err *e) {
    err_code code = ERR_OK;
    for (size_t i = 0; i < set->n_fields && set->n_parts > 0 && code == ERR_OK; i++) {
        const struct field *f = &set->fields[i];
        if (f->type == FIELD_OBJECT) code = get_parts(f->of(), r, (char *)ret + f->at, e);
        else if (is_part(f)) code = get_part(set, f, r, ret, e);
    }
    return code;
}

err_code field_get(const struct field_set *set, struct bytes_reader *r, void *ret, struct err *e) {
    err_code code = get_head(set, r, ret, e);
    return code == ERR_OK ? get_parts(set, r, ret, e) : code;
}

err_code field_read_bytes(const struct field_set *set, const uint8_t *data, size_t len, void *value, struct err *e) {
    struct bytes_reader r;
    bytes_reader_init(&r, data, len);
    err_code code = field_get(set, &r, value, e);
    return code != ERR_OK || bytes_left(&r) == 0 ? code : err_set(e, ERR_PROTOCOL, "%s: %zu bytes left over", set->name, bytes_left(&r));
}

/* ---- for people ---- */

static void print_words(const struct field *f, struct buf *out) {
    for (uint64_t i = 0; i < f->max; i++) buf_printf(out, "%s`%s`", i > 0 ? ", " : "", f->words[i]);
}

static void print_range(const struct field *f, struct buf *out) {
    if (f->max >= UINT32_MAX && f->min == 0) return; /* the type's full range, or nearly */
    buf_printf(out, ", %" PRId64 " to %" PRIu64, f->min, f->max);
}

static void print_type(const struct field *f, bool bytes, struct buf *out) {
    switch (f->type) {
    case FIELD_BOOL: buf_append_str(out, bytes ? "u8, 0 or 1" : "flag"); break;
    case FIELD_UINT:
        buf_printf(out, "%s%zu", bytes ? "u" : "number, u", 8 * f->size);
        if (f->max < (f->size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * f->size) - 1) || f->min > 0) print_range(f, out);
        break;
    case FIELD_INT:
        buf_printf(out, "%s%zu", bytes ? "i" : "number, i", 8 * f->size);
        if (f->min > INT32_MIN || f->max < INT32_MAX) print_range(f, out);
        break;
    case FIELD_REAL: buf_printf(out, "%s", bytes ? (f->size == 4 ? "f32" : "f64") : "real number"); break;
    case FIELD_ID: buf_append_str(out, bytes ? "u64" : "16 hexadecimal digits"); break;
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_LINE:
        buf_printf(out, "%s, %zu bytes at most", f->type == FIELD_TEXT ? "text" : f->type == FIELD_PATH ? "path" : "line", f->size - 1);
        break;
    case FIELD_CHOICE: print_words(f, out); break;
    case FIELD_WORD:
        if (bytes) buf_append_str(out, "u8, by its place: ");
        print_words(f, out);
        break;
    case FIELD_HEX: buf_printf(out, bytes ? "%zu bytes" : "%zu hexadecimal digits", (bytes ? 1 : 2) * f->size); break;
    case FIELD_CODE: buf_append_str(out, "a name of `tables/errors.def`"); break;
    case FIELD_STRING:
    case FIELD_BLOB:
        buf_append_str(out, "text");
        if (f->max < SIZE_MAX) buf_printf(out, ", %" PRIu64 " bytes at most", f->max);
        break;
    case FIELD_TOKENS: buf_append_str(out, "token ids"); break;
    case FIELD_OBJECT: buf_printf(out, "%s", f->of()->name); break;
    case FIELD_LIST:
    case FIELD_OWNED: buf_printf(out, "at most %" PRIu64 " x %s", f->max, f->of()->name); break;
    case FIELD_REALS: buf_printf(out, "at most %" PRIu64 " real numbers", f->max); break;
    case FIELD_CUSTOM: buf_append_str(out, "object"); break;
    case FIELD_ZERO: buf_printf(out, "%zu x 0", f->size); break;
    case FIELD_ARRAY:
    case FIELD_HEAP: buf_printf(out, "%s x %s", f->count, f->of()->name); break;
    case FIELD_I32S: buf_printf(out, "%s x i32", f->count); break;
    case FIELD_PIECE: buf_printf(out, "%s bytes", f->count); break;
    case FIELD_VIEW: buf_printf(out, "%s %s%s", f->count, f->size > 1 ? "x " : "", f->unit); break;
    case FIELD_REST: buf_append_str(out, "all bytes that are left"); break;
    }
}

static void print_place(const struct field *f, size_t place, struct buf *out) {
    if (is_part(f)) buf_append_str(out, "then | ");
    else buf_printf(out, "%zu | ", place);
}

void field_markdown(const struct field_set *set, struct buf *out) {
    buf_printf(out, "\n#### %s%s%s\n\n%s\n\n", set->name, set->frame[0] ? ": " : "", set->frame, set->what);
    buf_append_str(out, set->bytes ? "| at " : "");
    buf_append_str(out, "| field | type | what it is |\n|---|---|---|");
    buf_append_str(out, set->bytes ? "---|\n" : "\n");
    size_t place = 0;
    for (size_t i = 0; i < set->n_fields; i++) {
        const struct field *f = &set->fields[i];
        buf_append_str(out, "| ");
        if (set->bytes) print_place(f, place, out);
        buf_printf(out, "%s%s | ", f->name, f->needed && !set->bytes ? " *" : "");
        print_type(f, set->bytes, out);
        buf_printf(out, " | %s |\n", f->what);
        if (set->bytes && !is_part(f)) place += size_of(f);
    }
}
