/* SPDX-License-Identifier: MIT
 * Every field of every message of tables/messages.def is carried, alone and with all others; docs/PROTOCOL.md shows the same fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "program/messages.h"
#include "support/field_vary.h"

enum { MOST = 1 << 20 };
static struct buf kept;

static void carry_json(const struct field_set *set, const void *value, void *back) {
    struct buf b;
    struct err e = {0};
    buf_init(&b, MOST);
    field_encode(set, value, &b);
    assert_false(b.failed);
    if (field_decode(set, b.data, b.len, back, &e) != ERR_OK) fail_msg("%s: %s in %s", set->name, e.text, buf_cstr(&b));
    buf_done(&b);
}

/* Every cut is refused, but a cut in a rest. Bytes after the message are left alone. */
static void carry_bytes(const struct field_set *set, const void *value, void *back) {
    struct err e = {0};
    struct bytes_reader r;
    struct buf b;
    const struct field *last = &set->fields[set->n_fields - 1];
    bool open = last->type == FIELD_REST;
    buf_init(&b, MOST);
    field_encode(set, value, &b);
    size_t size = b.len, rest = open ? *(const size_t *)(const void *)((const char *)value + last->count_at) : 0;
    assert_false(b.failed);
    assert_true(set->n_parts > 0 ? size > set->wire_size : size == set->wire_size);
    for (size_t len = 0; len < size - rest; len++) {
        bytes_reader_init(&r, b.data, len);
        field_init(set, back);
        assert_int_equal(field_get(set, &r, back, &e), ERR_PROTOCOL);
        field_done(set, back);
    }
    if (!open) buf_append(&b, "after", 5);
    bytes_reader_init(&r, b.data, b.len);
    if (field_get(set, &r, back, &e) != ERR_OK || bytes_left(&r) != b.len - size) fail_msg("%s: %s", set->name, e.text);
    kept = b; /* the value points into the bytes until it has been compared */
}

/* An array in the struct has room for as many elements as its count may say; parts are the last rows, and a rest the very last. */
static void parts_have_room(const struct field_set *set) {
    for (size_t i = 0; i < set->n_fields; i++) {
        const struct field *f = &set->fields[i], *count = NULL;
        if (f->type < FIELD_ARRAY) continue;
        assert_true(i + 1 == set->n_fields || (set->fields[i + 1].type >= FIELD_ARRAY && f->type != FIELD_REST));
        for (size_t k = 0; k < i; k++)
            if (set->fields[k].at == f->count_at && set->fields[k].type == FIELD_UINT) count = &set->fields[k];
        if (f->type != FIELD_REST && count == NULL) fail_msg("%s: no row counts \"%s\"", set->name, f->name);
        if ((f->type == FIELD_ARRAY || f->type == FIELD_PIECE) && count->max > f->max)
            fail_msg("%s: no room in \"%s\"", set->name, f->name);
    }
}

/* The constant is the sum of the rows. */
static size_t sum_of_sizes(const struct field_set *set) {
    size_t n = 0;
    for (size_t i = 0; i < set->n_fields; i++) {
        const struct field *f = &set->fields[i];
        bool one = f->type == FIELD_BOOL || f->type == FIELD_WORD;
        if (f->type < FIELD_ARRAY) n += one ? 1 : f->type == FIELD_OBJECT ? sum_of_sizes(f->of()) : f->size;
    }
    return n;
}

static void carry(const struct field_set *set, const void *value, const char *what) {
    void *back = mem_zalloc(set->size);
    if (set->bytes) carry_bytes(set, value, back);
    else carry_json(set, value, back);
    if (!same_set(set, value, back)) fail_msg("%s: \"%s\" is not carried", set->name, what);
    field_done(set, back);
    buf_done(&kept);
    free(back);
}

/* Gives every required field a valid value. */
static void fill_needed(const struct field_set *set, void *value) {
    for (size_t i = 0; i < set->n_fields; i++)
        if (set->bytes || set->fields[i].needed) vary_one(&set->fields[i], value, i + 1);
}

static void every_field_is_carried(void **state) {
    (void)state;
    size_t n;
    const messages_set_fn *sets = messages_sets(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        const struct field_set *set = sets[i]();
        if (set->bytes) assert_int_equal(set->wire_size, sum_of_sizes(set));
        parts_have_room(set);
        void *value = mem_alloc(set->size), *plain = mem_alloc(set->size);
        field_init(set, plain);
        fill_needed(set, plain);
        for (size_t k = 0; k < set->n_fields; k++) {
            const struct field *f = &set->fields[k];
            if (f->type == FIELD_ZERO) continue;
            field_init(set, value);
            fill_needed(set, value);
            if (!set->bytes && !f->needed) vary_one(f, value, 77 * k + i);
            if (!set->bytes && !f->needed && same_one(f, value, plain)) fail_msg("%s: the test does not vary \"%s\"", set->name, f->name);
            carry(set, value, f->name);
            field_done(set, value);
        }
        field_init(set, value);
        vary_set(set, value, 1000 * i + 7);
        carry(set, value, "all of it");
        field_done(set, value);
        field_done(set, plain);
        free(value);
        free(plain);
    }
}

/* A message without a field that it needs is refused by name. */
static void what_is_needed_is_asked_for(void **state) {
    (void)state;
    size_t n;
    const messages_set_fn *sets = messages_sets(&n);
    for (size_t i = 0; i < n; i++) {
        const struct field_set *set = sets[i]();
        struct err e = {0};
        void *value = mem_alloc(set->size);
        bool needs = false;
        for (size_t k = 0; k < set->n_fields; k++) needs = needs || (!set->bytes && set->fields[k].needed);
        if (needs && field_decode(set, (const uint8_t *)"{}", 2, value, &e) != ERR_INVALID) fail_msg("%s takes {}", set->name);
        free(value);
    }
}

/* docs/PROTOCOL.md has, at its end, the tables as the program prints them. */
static void the_document_has_the_same_tables(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    char path[4096];
    struct buf want, got;
    struct err e = {0};
    snprintf(path, sizeof(path), "%s/docs/PROTOCOL.md", source != NULL ? source : ".");
    buf_init(&want, MOST);
    buf_init(&got, MOST);
    messages_markdown(&want);
    if (file_read(path, "PROTOCOL.md", &got, &e) != ERR_OK) fail_msg("%s", e.text);
    const char *mine = buf_cstr(&want), *text = buf_cstr(&got), *at = text + (got.len > want.len ? got.len - want.len : 0);
    if (strcmp(at, mine) != 0) fail_msg("docs/PROTOCOL.md does not end with the tables that ./caravan help messages --markdown prints");
    buf_done(&want);
    buf_done(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_field_is_carried), cmocka_unit_test(what_is_needed_is_asked_for),
                                       cmocka_unit_test(the_document_has_the_same_tables)};
    return cmocka_run_group_tests_name("messages", tests, NULL, NULL);
}
