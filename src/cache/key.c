/* SPDX-License-Identifier: MIT
 * Keys. See key.h. */
#include "cache/key.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cache/canon.h"
#include "io/sign.h"

static_assert((int)CACHE_KEY_SIZE == (int)IO_SHA256_SIZE, "a key is a SHA-256");

/* Fields of bodies that do not change what is answered. */
static const char *const apart[] = {
    "model", /* its identity counts, whatever it is called */
    "stream",       "stream_options", "caravan_stats",     "keep_alive",       "store",
    "metadata",     "user",           "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "service_tier", "priority",
};

static bool is_apart(const char *name, size_t len) {
    for (size_t i = 0; i < ARRAY_LEN(apart); i++)
        if (strlen(apart[i]) == len && memcmp(apart[i], name, len) == 0) return true;
    return false;
}

void key_of_request(yyjson_val *body, uint8_t ret[CACHE_KEY_SIZE]) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1); /* bounded by the body */
    canon_append(body, is_apart, &text);
    io_sha256(text.data, text.len, ret);
    buf_done(&text);
}

/* Each part goes in with its length, so that no two lists of parts give the same bytes. */
static void add_part(struct io_sha256 *hash, const void *data, size_t len) {
    uint8_t length[8];
    bytes_put_u64(length, len);
    io_sha256_update(hash, length, sizeof(length));
    io_sha256_update(hash, data, len);
}

void key_make(const struct cache_key_parts *p, uint8_t ret[CACHE_KEY_SIZE]) {
    static const char version[] = "caravan answer 1"; /* of the key itself */
    const char *const texts[] = {version, p->api, p->weights, p->chat_template, p->engine, p->adapters, p->tenant, p->system, p->day};
    struct io_sha256 *hash = io_sha256_begin();
    add_part(hash, p->request, CACHE_KEY_SIZE);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) add_part(hash, texts[i], texts[i] != NULL ? strlen(texts[i]) : 0);
    io_sha256_end(hash, ret);
}
