/* SPDX-License-Identifier: MIT
 * The table of files. See files.h. SQLite makes the JSON of the answers. */
#include "store/files.h"

#include "store/statement.h"

static const char subject[] = "files";

struct store_ask *store_file_put(struct store *s, const struct store_file *f, store_fn fn, void *user) {
    const struct statement st = {.query = QUERY_FILE_PUT,
                                 .what = subject,
                                 .texts = {f->id, f->owner, f->purpose, f->name, f->batch},
                                 .n_texts = 5,
                                 .numbers = {f->failed, f->bytes, f->created, f->expires},
                                 .n_numbers = 4};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_file_get(struct store *s, const char *owner, const char *id, int64_t now, store_fn fn, void *user) {
    const struct statement st = {
        .query = QUERY_FILE_GET, .what = subject, .missing = "file", .texts = {id, owner}, .n_texts = 2, .numbers = {now}, .n_numbers = 1};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_file_list(struct store *s, const char *owner, const struct store_file_range *r, int64_t now, store_fn fn,
                                  void *user) {
    const struct statement st = {.query = QUERY_FILE_LIST,
                                 .what = subject,
                                 .texts = {owner, r->purpose, r->after},
                                 .n_texts = 3,
                                 .numbers = {now, r->ascending ? 1 : -1, r->limit},
                                 .n_numbers = 3};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_file_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    const struct statement st = {.query = QUERY_FILE_DROP, .what = subject, .missing = "file", .texts = {id, owner}, .n_texts = 2};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_files_size(struct store *s, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_FILES_SIZE, .what = subject}, fn, user);
}

struct store_ask *store_files_expired(struct store *s, int64_t now, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_FILES_EXPIRED, .what = subject, .numbers = {now}, .n_numbers = 1}, fn,
                          user);
}

struct store_ask *store_files_uploaded(struct store *s, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_FILES_UPLOADED, .what = subject}, fn, user);
}
