/* SPDX-License-Identifier: MIT
 * A stage's store on disk: what was put comes back, in the next process too; damaged and foreign files don't; and the limit holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stage/prefixes.h"

enum { SIZE = 1000, N = 5 };
static const uint8_t ID[MODEL_HASH_SIZE] = {1, 2, 3}, OTHER[MODEL_HASH_SIZE] = {1, 2, 3, 0, 0, 0, 0, 0, 9}; /* the same 8 first bytes */
static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/caravan-prefixes.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static void each_file(void (*fn)(const char *path)) {
    DIR *d = opendir(folder);
    char path[400];
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        fn(path);
    }
    if (d != NULL) closedir(d);
}

static void delete_file(const char *path) { unlink(path); }

static int remove_folder(void **state) {
    (void)state;
    each_file(delete_file);
    return rmdir(folder);
}

static struct prefixes *open_store(uint64_t limit, const uint8_t *id) {
    struct prefixes *p;
    struct err e;
    if (prefixes_open(folder, limit, id, &p, &e) != ERR_OK) fail_msg("%s", e.text);
    return p;
}

static void put(struct prefixes *p, uint64_t key, bool tokens) {
    const struct engine_store *st = prefixes_store(p);
    struct engine_kept k = {.key = key, .n = N, .data = mem_alloc(SIZE), .size = SIZE};
    memset(k.data, (int)key, SIZE);
    k.tokens = tokens ? mem_calloc(N, sizeof(*k.tokens)) : NULL;
    for (int32_t i = 0; i < N && tokens; i++) k.tokens[i] = (int32_t)key + i;
    k.positions = key % 2 == 0 ? mem_calloc(N + 1, sizeof(*k.positions)) : NULL; /* of every second one */
    for (int32_t i = 0; i <= N && k.positions != NULL; i++) k.positions[i] = (int32_t)key + 2 * i;
    st->put(st->user, &k);
}

static bool get(struct prefixes *p, uint64_t key, bool tokens) {
    const struct engine_store *st = prefixes_store(p);
    struct engine_kept k = {0};
    if (!st->get(st->user, key, &k)) return false;
    assert_true(k.key == key && k.n == N && k.size == SIZE && !k.mark && k.data[0] == key && k.data[SIZE - 1] == key);
    assert_true((k.tokens != NULL) == tokens && (!tokens || k.tokens[N - 1] == (int32_t)key + N - 1));
    assert_true(key % 2 == 0 ? k.positions[0] == (int32_t)key && k.positions[N] == (int32_t)key + 2 * N : k.positions == NULL);
    free(k.data);
    free(k.tokens);
    free(k.positions);
    return true;
}

static void test_comes_back(void **state) {
    (void)state;
    struct prefixes *p = open_store(1 << 20, ID);
    put(p, 1, false);
    put(p, 2, true);
    assert_true(get(p, 1, false) && get(p, 2, true)); /* written or not */
    assert_false(get(p, 3, false));
    prefixes_close(p);
    p = open_store(1 << 20, ID);
    assert_true(get(p, 1, false) && get(p, 2, true));
    const struct engine_store *st = prefixes_store(p);
    st->erase(st->user, 1);
    put(p, 4, false);
    st->erase(st->user, 4);
    prefixes_close(p);
    p = open_store(1 << 20, ID);
    assert_false(get(p, 1, false) || get(p, 4, false));
    assert_true(get(p, 2, true));
    assert_int_equal(prefixes_ignored(p), 0);
    prefixes_close(p);
}

static void count_listed(void *user, uint64_t key, const int32_t *tokens, uint32_t n, uint32_t n_prompt, bool mark) {
    assert_true(key == 7 && n == N && tokens[0] == 40 && tokens[N - 1] == 40 + N - 1 && n_prompt == 3 && !mark);
    ++*(int *)user;
}

/* The head's files have the tokens, whatever its slice knows of them. */
static void test_list(void **state) {
    (void)state;
    static const int32_t tokens[N] = {40, 41, 42, 43, 44};
    int n = 0;
    struct prefixes *p = open_store(1 << 20, ID);
    prefixes_note(p, 7, tokens, N, 3);
    put(p, 7, false);
    put(p, 8, false);
    prefixes_close(p);
    p = open_store(1 << 20, ID);
    prefixes_list(p, count_listed, &n);
    assert_int_equal(n, 1);
    prefixes_close(p);
}

static void damage(const char *path) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 500, SEEK_SET);
    fputc(99, f);
    fclose(f);
}

static void cut(const char *path) { assert_int_equal(truncate(path, 300), 0); }

static void clear(const char *path) { assert_int_equal(truncate(path, 0), 0); }

static void test_damaged(void **state) {
    (void)state;
    static void (*const HOW[])(const char *) = {damage, cut, clear};
    for (size_t i = 0; i < sizeof(HOW) / sizeof(HOW[0]); i++) {
        int n = 0;
        struct prefixes *p = open_store(1 << 20, ID);
        put(p, 7, true);
        prefixes_close(p);
        each_file(HOW[i]);
        p = open_store(1 << 20, ID);
        if (i > 0) prefixes_list(p, count_listed, &n);
        assert_int_equal(n, 0);
        assert_int_equal(prefixes_ignored(p), i > 0 ? 1 : 0);
        assert_false(get(p, 7, true));
        assert_int_equal(prefixes_ignored(p), i > 0 ? 2 : 1);
        assert_int_equal(prefixes_bytes(p), 0); /* it is gone */
        prefixes_close(p);
    }
}

static void test_other_slice(void **state) {
    (void)state;
    struct prefixes *p = open_store(1 << 20, ID);
    put(p, 7, true);
    prefixes_close(p);
    p = open_store(1 << 20, OTHER);
    assert_false(get(p, 7, true));
    assert_int_equal(prefixes_ignored(p), 1);
    prefixes_close(p);
}

/* When the file was used last. */
static void used_at(uint64_t key, time_t at) {
    char path[200];
    snprintf(path, sizeof(path), "%s/%016x-%016llx.kv", folder, 0x030201u, (unsigned long long)key);
    const struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Files used least recently go first; what is larger than the limit is not written at all. */
static void test_limit(void **state) {
    (void)state;
    struct prefixes *p = open_store(3 * (SIZE + 150), ID);
    for (uint64_t key = 1; key <= 3; key++) {
        put(p, key, false);
        prefixes_close(p);
        used_at(key, 1000 + (time_t)key);
        p = open_store(3 * (SIZE + 150), ID);
    }
    assert_true(get(p, 1, false)); /* used now */
    put(p, 4, false);
    prefixes_close(p);
    p = open_store(3 * (SIZE + 150), ID);
    assert_true(get(p, 1, false) && get(p, 3, false) && get(p, 4, false));
    assert_false(get(p, 2, false));
    assert_true(prefixes_bytes(p) <= 3 * (SIZE + 150));
    prefixes_close(p);
    p = open_store(SIZE, ID);
    put(p, 5, false);
    prefixes_close(p);
    p = open_store(SIZE, ID);
    assert_false(get(p, 5, false));
    assert_true(get(p, 1, false)); /* nothing had to go for it */
    prefixes_close(p);
}

/* A smaller limit, or none at all, counts for files that are there already. */
static void test_trim(void **state) {
    (void)state;
    struct prefixes *p = open_store(1 << 20, ID);
    for (uint64_t key = 1; key <= 3; key++) put(p, key, false);
    prefixes_close(p);
    for (uint64_t key = 1; key <= 3; key++) used_at(key, 1000 + (time_t)key);
    assert_int_equal(prefixes_trim(folder, 1 << 20), 0);
    uint64_t gone = prefixes_trim(folder, 2 * (SIZE + 150));
    assert_true(gone > SIZE && gone < SIZE + 150);
    p = open_store(1 << 20, ID);
    assert_true(!get(p, 1, false) && get(p, 2, false) && get(p, 3, false));
    prefixes_close(p);
    assert_true(prefixes_trim(folder, 0) > (uint64_t)2 * SIZE);
    p = open_store(1 << 20, ID);
    assert_int_equal(prefixes_bytes(p), 0);
    prefixes_close(p);
}

/* A writer that was killed leaves a part of a file, which goes when it has been left alone for a while. Other files stay. */
static void test_left_over(void **state) {
    (void)state;
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[3][200];
    snprintf(path[0], sizeof(path[0]), "%s/%016x-%016x.part", folder, 1, 2);
    snprintf(path[1], sizeof(path[1]), "%s/%016x-%016x.part", folder, 1, 3);
    snprintf(path[2], sizeof(path[2]), "%s/notes that have nothing to do with it.part", folder);
    for (int i = 0; i < 3; i++) {
        FILE *f = fopen(path[i], "wb");
        assert_non_null(f);
        fclose(f);
        if (i != 1) assert_int_equal(utimensat(AT_FDCWD, path[i], times, 0), 0);
    }
    assert_int_equal(prefixes_trim(folder, 0), 0);
    assert_int_not_equal(access(path[0], F_OK), 0);
    assert_int_equal(access(path[1], F_OK), 0); /* it may be being written */
    assert_int_equal(access(path[2], F_OK), 0);
}

/* On a full disk older files make room, as under the limit. */
static void test_full_disk(void **state) {
    (void)state;
    char part[200];
    struct prefixes *p = open_store(1 << 20, ID);
    for (uint64_t key = 1; key <= 3; key++) put(p, key, false);
    prefixes_close(p);
    for (uint64_t key = 1; key <= 3; key++) used_at(key, 1000 + (time_t)key);
    snprintf(part, sizeof(part), "%s/%016x-%016x.part", folder, 0x030201u, 5);
    assert_int_equal(symlink("/dev/full", part), 0);
    p = open_store(1 << 20, ID);
    put(p, 5, false);
    prefixes_close(p);
    p = open_store(1 << 20, ID);
    assert_true(!get(p, 1, false) && get(p, 2, false) && get(p, 3, false) && get(p, 5, false));
    prefixes_close(p);
}

/* What can't be written is not there, and nothing else happens. */
static void test_no_room_on_disk(void **state) {
    (void)state;
    struct prefixes *p = open_store(1 << 20, ID);
    assert_int_equal(rmdir(folder), 0);
    put(p, 1, false);
    prefixes_close(p);
    p = open_store(1 << 20, ID); /* makes it again */
    assert_false(get(p, 1, false));
    assert_int_equal(prefixes_ignored(p), 0);
    prefixes_close(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_list, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_damaged, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_other_slice, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_limit, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_trim, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_full_disk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_left_over, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_no_room_on_disk, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("stage_prefixes", tests, NULL, NULL);
}
