/* SPDX-License-Identifier: MIT */
#include "chat/toolcall.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct toolcall_format FORMATS[] = {
#define TOOLCALL(id, ...) {.name = #id, __VA_ARGS__},
#include "../../tables/toolcalls.def"
#undef TOOLCALL
};

static const struct toolcall_reasoning REASONINGS[] = {
#define REASONING(id, open_, close_, ...) {.name = #id, .open = open_, .close = close_, __VA_ARGS__},
#include "../../tables/reasonings.def"
#undef REASONING
};

static bool holds_all(const char *tmpl, const char *const texts[2]) {
    for (size_t i = 0; i < 2; i++)
        if (texts[i] != NULL && strstr(tmpl, texts[i]) == NULL) return false;
    return true;
}

const struct toolcall_format *toolcall_detect(const char *tmpl) {
    size_t i = 0;
    while (!holds_all(tmpl != NULL ? tmpl : "", FORMATS[i].detect)) i++; /* the last row fits any template */
    return &FORMATS[i];
}

const struct toolcall_format *toolcall_format_named(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++)
        if (strcmp(FORMATS[i].name, name) == 0) return &FORMATS[i];
    return NULL;
}

/* The fields of a derived format that are texts. */
static const size_t TEXTS[] = {
#define TEXT(field) offsetof(struct toolcall_format, field)
    TEXT(section_open),  TEXT(section_close), TEXT(open),          TEXT(close),      TEXT(name_end),    TEXT(name_key),
    TEXT(arguments_key), TEXT(key_open),      TEXT(key_close),     TEXT(value_open), TEXT(value_close), TEXT(type_open),
    TEXT(type_end),      TEXT(assign),        TEXT(arguments_end), TEXT(quote)
#undef TEXT
};

static const char **text_of(struct toolcall_format *f, size_t offset) { return (const char **)(void *)((char *)f + offset); }

const struct toolcall_format *toolcall_format_copy(const struct toolcall_format *f) {
    if (f == NULL || !f->owned) return f;
    struct toolcall_format *copy = MEM_NEW(struct toolcall_format);
    *copy = *f;
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        const char **text = text_of(copy, TEXTS[i]);
        if (*text != NULL) *text = mem_strdup(*text);
    }
    return copy;
}

void toolcall_format_free(const struct toolcall_format *f) {
    if (f == NULL || !f->owned) return;
    struct toolcall_format *mine = (struct toolcall_format *)(uintptr_t)f;
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) free((char *)(uintptr_t)*text_of(mine, TEXTS[i]));
    free(mine);
}

static bool reasoning_fits(const struct toolcall_reasoning *r, const char *tmpl) {
    if (r->detect[0] != NULL) return holds_all(tmpl, r->detect);
    return strstr(tmpl, r->open) != NULL || strstr(tmpl, r->close) != NULL;
}

const struct toolcall_reasoning *toolcall_detect_reasoning(const char *tmpl) {
    for (size_t i = 0; i < ARRAY_LEN(REASONINGS) && tmpl != NULL; i++)
        if (reasoning_fits(&REASONINGS[i], tmpl)) return &REASONINGS[i];
    return NULL;
}

static bool ends_with(const char *text, size_t len, const char *end) {
    while (len > 0 && text[len - 1] != '\0' && strchr(" \t\r\n", text[len - 1]) != NULL) len--;
    size_t n = strlen(end);
    while (n > 0 && strchr(" \t\r\n", end[n - 1]) != NULL) n--;
    return len >= n && memcmp(text + len - n, end, n) == 0;
}

bool toolcall_reasoning_open(const struct toolcall_reasoning *r, const char *prompt, size_t len) {
    return r != NULL && ends_with(prompt, len, r->open);
}

bool toolcall_reasoning_closed(const struct toolcall_reasoning *r, const char *prompt, size_t len) {
    return r != NULL && ends_with(prompt, len, r->close);
}

bool toolcall_reasoning_begins(const struct toolcall_reasoning *r, const char *tmpl) {
    return r != NULL && tmpl != NULL && r->unopened && strstr(tmpl, r->close) != NULL && strstr(tmpl, r->open) == NULL;
}

bool toolcall_call_open(const struct toolcall_format *f, const char *prompt, size_t len) {
    return f != NULL && (f->text_name != NULL || f->owned) && f->open != NULL && ends_with(prompt, len, f->open);
}

bool toolcall_name_valid(const char *name, size_t len) {
    if (len == 0 || len > TOOLCALL_MAX_NAME) return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool ok = letter || c == '_' || c == '-' || c == '.' || c == ':';
        if (!ok) return false;
    }
    return true;
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t mix(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void toolcall_make_id(enum toolcall_ids style, uint64_t seed, uint32_t number, char out[TOOLCALL_MAX_ID]) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t at = 0, n = style == TOOLCALL_IDS_NINE ? 9 : 24;
    if (style != TOOLCALL_IDS_NINE) {
        memcpy(out, "call_", 5);
        at = 5;
    }
    uint64_t state = seed ^ ((uint64_t)number << 32), bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = i % 8 == 0 ? mix(&state) : bits / 62;
        out[at++] = letters[bits % 62];
    }
    out[at] = '\0';
}
