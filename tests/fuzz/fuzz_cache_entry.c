/* SPDX-License-Identifier: MIT
 * Bytes from a store that others may write to: what is accepted can be replayed, and recording the replay gives an entry with the same
 * events. */
#include <stdlib.h>
#include <string.h>

#include "cache/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(void *user, const struct api_event *ev, int stop) { entry_add(user, ev, stop); }

static void count(void *user, const struct api_event *ev, int stop) {
    uint64_t *sum = user;
    for (size_t i = 0; i < ev->n_tokens; i++) *sum += ev->tokens[i].len + ev->tokens[i].n_top;
    for (size_t i = 0; i < ev->len; i++) *sum = *sum * 31 + (uint8_t)ev->text[i];
    *sum += ev->choice + ev->call + (uint64_t)(stop + 1);
}

/* The texts and numbers of all events; pieces of text that follow one another make no difference. */
static uint64_t sum_of(const struct entry *entry) {
    uint64_t sum = 0;
    entry_replay(entry, count, &sum);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct entry entry, copy;
    struct err e = {0};
    struct entry_writer w;
    struct buf bytes;
    err_code code = entry_open(data, size, &entry, &e);
    if (code != ERR_OK) {
        if (code != ERR_FORMAT || e.text[0] == '\0') abort();
        return 0;
    }
    entry_writer_init(&w);
    buf_init(&bytes, ENTRY_MAX);
    entry_replay(&entry, again, &w);
    if (entry_finish(&w, entry.created, &entry.usage, &bytes) != ERR_OK || bytes.len > size) abort();
    if (entry_open(bytes.data, bytes.len, &copy, &e) != ERR_OK || copy.created != entry.created) abort();
    if (bytes.len == size && sum_of(&copy) != sum_of(&entry)) abort();
    buf_done(&bytes);
    entry_writer_done(&w);
    return 0;
}
