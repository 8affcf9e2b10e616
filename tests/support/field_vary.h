/* SPDX-License-Identifier: MIT
 * Fills a message with values that its table allows and that are not its defaults, and compares two of them: for the tests of
 * tables/messages.def. */
#ifndef CARAVAN_TESTS_SUPPORT_FIELD_VARY_H
#define CARAVAN_TESTS_SUPPORT_FIELD_VARY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/field_priv.h"
#include "base/mem.h"
#include "engine/params.h"
#include "members/orphans.h"
#include "members/wish.h"
#include "plan/profile.h"

static void vary_set(const struct field_set *set, void *value, uint64_t salt);
static bool same_set(const struct field_set *set, const void *a, const void *b);

/* A number of the range, other than the default. */
static uint64_t vary_number(const struct field *f, uint64_t salt) {
    uint64_t span = f->max - (uint64_t)f->min, v = (uint64_t)f->min + (span == UINT64_MAX ? salt : salt % (span + 1));
    if (v == (uint64_t)f->preset) v = v == f->max ? (uint64_t)f->min : v + 1;
    return v;
}

static void vary_custom(const struct field *f, void *p, uint64_t salt) {
    if (f->custom == &engine_sampling_custom) {
        ((struct engine_sampling *)p)->seed = salt;
        ((struct engine_sampling *)p)->top_k = 7;
    } else if (f->custom == &load_wish_custom) {
        wish_set(p, WISH_KEEP_S, (uint32_t)(salt & 0xFFFF));
    } else if (f->custom == &unloads_custom) {
        unloads_add(p, "gone", (uint32_t)salt | 1);
    } else {
        *(struct profile *)p =
            (struct profile){.n_devices = 1, .devices = {{.name = "CPU", .memory_free = salt}}, .disk = 5, .quiet = true};
    }
}

static bool same_custom(const struct field *f, const void *a, const void *b) {
    if (f->custom == &engine_sampling_custom) {
        const struct engine_sampling *x = a, *y = b;
        return x->seed == y->seed && x->top_k == y->top_k;
    }
    if (f->custom == &load_wish_custom) return wish_same(a, b);
    if (f->custom == &unloads_custom) return unloads_time(a, "gone") == unloads_time(b, "gone");
    const struct profile *x = a, *y = b;
    return x->n_devices == y->n_devices && x->devices[0].memory_free == y->devices[0].memory_free && x->disk == y->disk &&
           x->quiet == y->quiet && strcmp(x->devices[0].name, y->devices[0].name) == 0;
}

static void vary_list(const struct field *f, void *value, uint64_t salt) {
    uint32_t n = f->max < 2 ? 1 : 2;
    *(uint32_t *)(void *)((char *)value + f->count_at) = n;
    char *p = (char *)value + f->at;
    if (f->type == FIELD_OWNED) {
        char **list = (char **)(void *)p;
        p = *list = mem_calloc(n, f->size);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (f->type == FIELD_REALS) {
            ((double *)(void *)p)[i] = (double)(salt + i) / 4;
            continue;
        }
        field_init(f->of(), p + i * f->size);
        vary_set(f->of(), p + i * f->size, salt + i);
    }
}

/* Two elements of a part, whose count stands before it. */
static void vary_part(const struct field *f, void *value, uint64_t salt) {
    static const uint8_t borrowed[] = "borrowed bytes \0 of any kind, which the value points into";
    char *p = (char *)value + f->at;
    struct field count = {.at = f->count_at, .size = f->count_size};
    if (f->type == FIELD_REST) *(size_t *)(void *)((char *)value + f->count_at) = 3 + salt % 5;
    else field_set_uint(value, &count, 2);
    if (f->type == FIELD_HEAP || f->type == FIELD_I32S) *(void **)(void *)p = mem_calloc(2, f->size);
    char *list = f->type == FIELD_HEAP || f->type == FIELD_I32S ? *(char **)(void *)p : p;
    for (uint32_t i = 0; i < 2; i++) {
        switch (f->type) {
        case FIELD_ARRAY:
        case FIELD_HEAP:
            field_init(f->of(), list + i * f->size);
            vary_set(f->of(), list + i * f->size, salt + i);
            break;
        case FIELD_I32S: ((int32_t *)(void *)list)[i] = -(int32_t)(salt % 1000) - (int32_t)i; break;
        case FIELD_PIECE: list[i] = (char)('a' + (salt + i) % 26); break;
        default: *(const uint8_t **)(void *)p = borrowed + salt % 8; break;
        }
    }
}

static void vary_one(const struct field *f, void *value, uint64_t salt) {
    char *p = (char *)value + f->at, text[32];
    size_t *length = (size_t *)(void *)((char *)value + f->count_at);
    switch (f->type) {
    case FIELD_BOOL: *(bool *)p = !f->preset; break;
    case FIELD_UINT:
    case FIELD_INT: field_set_uint(value, f, vary_number(f, salt)); break;
    case FIELD_REAL: field_set_real(value, f, (double)(salt % 1000) + 0.5); break;
    case FIELD_ID: *(uint64_t *)(void *)p = salt | UINT64_C(1) << 63; break;
    case FIELD_PATH: snprintf(p, f->size, "/\xE9\xFF/%llx", (unsigned long long)salt); break;
    case FIELD_TEXT:
    case FIELD_LINE:
        snprintf(text, sizeof(text), "%llx%s", (unsigned long long)salt, f->type == FIELD_TEXT ? "\n\"" : "\"");
        snprintf(p, f->size, "%.*s", (int)f->size - 1, text);
        break;
    case FIELD_CHOICE: snprintf(p, f->size, "%s", f->words[strcmp(f->words[0], f->preset_text) == 0 ? 1 : 0]); break;
    case FIELD_WORD: field_set_uint(value, f, f->preset == 0 ? f->max - 1 : 0); break;
    case FIELD_HEX:
        for (size_t i = 0; i < f->size; i++) p[i] = (char)(salt + i + 1);
        break;
    case FIELD_CODE: *(err_code *)(void *)p = ERR_NO_ROOM; break;
    case FIELD_STRING: *(char **)(void *)p = mem_printf("string %llu", (unsigned long long)salt); break;
    case FIELD_BLOB:
        *(char **)(void *)p = mem_alloc(4);
        memcpy(*(char **)(void *)p, "a\0b", 4);
        *length = 3;
        break;
    case FIELD_TOKENS:
        *(int32_t **)(void *)p = mem_calloc(2, sizeof(int32_t));
        (*(int32_t **)(void *)p)[1] = (int32_t)(salt & INT32_MAX);
        *length = 2;
        break;
    case FIELD_OBJECT: vary_set(f->of(), p, salt); break;
    case FIELD_LIST:
    case FIELD_OWNED:
    case FIELD_REALS: vary_list(f, value, salt); break;
    case FIELD_CUSTOM: vary_custom(f, p, salt); break;
    case FIELD_ZERO: break;
    default: vary_part(f, value, salt); break;
    }
}

/* Parts come last, and set their counts. */
static void vary_set(const struct field_set *set, void *value, uint64_t salt) {
    for (size_t i = 0; i < set->n_fields; i++) vary_one(&set->fields[i], value, salt + 0x0101010101u * (i + 1));
}

static bool same_list(const struct field *f, const void *a, const void *b) {
    uint32_t n = *(const uint32_t *)(const void *)((const char *)a + f->count_at);
    if (n != *(const uint32_t *)(const void *)((const char *)b + f->count_at)) return false;
    const char *x = (const char *)a + f->at, *y = (const char *)b + f->at;
    if (f->type == FIELD_OWNED) x = *(char *const *)(const void *)x;
    if (f->type == FIELD_OWNED) y = *(char *const *)(const void *)y;
    for (uint32_t i = 0; i < n; i++) {
        bool same = f->type == FIELD_REALS ? memcmp(x + i * f->size, y + i * f->size, f->size) == 0
                                           : same_set(f->of(), x + i * f->size, y + i * f->size);
        if (!same) return false;
    }
    return true;
}

static bool same_owned(const struct field *f, const void *a, const void *b) {
    const void *x = *(void *const *)(const void *)((const char *)a + f->at), *y = *(void *const *)(const void *)((const char *)b + f->at);
    if (x == NULL || y == NULL) return x == y;
    if (f->type == FIELD_STRING) return strcmp(x, y) == 0;
    size_t n = *(const size_t *)(const void *)((const char *)a + f->count_at);
    return n == *(const size_t *)(const void *)((const char *)b + f->count_at) &&
           memcmp(x, y, f->type == FIELD_TOKENS ? n * sizeof(int32_t) : n) == 0;
}

static bool same_part(const struct field *f, const void *a, const void *b) {
    struct field count = {.at = f->count_at, .size = f->type == FIELD_REST ? sizeof(size_t) : f->count_size};
    size_t n = (size_t)field_get_uint(a, &count);
    if (n != field_get_uint(b, &count)) return false;
    const char *x = (const char *)a + f->at, *y = (const char *)b + f->at;
    bool inside = f->type == FIELD_ARRAY || f->type == FIELD_PIECE;
    if (!inside) x = *(const char *const *)(const void *)x;
    if (!inside) y = *(const char *const *)(const void *)y;
    if (f->of == NULL) return memcmp(x, y, n * f->size) == 0;
    for (size_t i = 0; i < n; i++)
        if (!same_set(f->of(), x + i * f->size, y + i * f->size)) return false;
    return true;
}

static bool same_one(const struct field *f, const void *a, const void *b) {
    const char *x = (const char *)a + f->at, *y = (const char *)b + f->at;
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_LINE:
    case FIELD_CHOICE: return strcmp(x, y) == 0;
    case FIELD_STRING:
    case FIELD_BLOB:
    case FIELD_TOKENS: return same_owned(f, a, b);
    case FIELD_OBJECT: return same_set(f->of(), x, y);
    case FIELD_LIST:
    case FIELD_OWNED:
    case FIELD_REALS: return same_list(f, a, b);
    case FIELD_CUSTOM: return same_custom(f, x, y);
    case FIELD_ZERO: return true;
    case FIELD_ARRAY:
    case FIELD_HEAP:
    case FIELD_I32S:
    case FIELD_PIECE:
    case FIELD_VIEW:
    case FIELD_REST: return same_part(f, a, b);
    default: return memcmp(x, y, f->size) == 0;
    }
}

static bool same_set(const struct field_set *set, const void *a, const void *b) {
    for (size_t i = 0; i < set->n_fields; i++)
        if (!same_one(&set->fields[i], a, b)) return false;
    return true;
}

#endif
