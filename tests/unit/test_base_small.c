/* SPDX-License-Identifier: MIT
 * Errors, memory, buffers, files, bytes, clock, arena and the list: each small module of the base floor. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"
#include "os/pages.h"
#include "base/pulse.h"

/* ---- err ---- */

static void err_table_is_complete(void **state) {
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        assert_true(err_text((err_code)i)[0] != '\0');
        assert_int_in_range(err_http_status((err_code)i), 200, 599);
        assert_int_in_range(err_exit_code((err_code)i), 0, 125);
        assert_int_equal(err_from_name(err_name((err_code)i)), i);
    }
    assert_string_equal(err_name(ERR_NO_ROOM), "NO_ROOM");
    assert_int_equal(err_exit_code(ERR_WHOLE_ONLY), 3);
    assert_int_equal(err_from_name("FROM_A_NEWER_PEER"), ERR_INTERNAL);
    assert_int_equal(err_from_name(NULL), ERR_INTERNAL);
    assert_string_equal(err_name((err_code)9999), "INTERNAL");
    assert_string_equal(err_text((err_code)-1), err_text(ERR_INTERNAL));
}

static void err_messages_are_composed(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_NO_ROOM, "cannot load layers %d-%d", 12, 23), ERR_NO_ROOM);
    assert_int_equal(e.code, ERR_NO_ROOM);
    assert_string_equal(e.text, "cannot load layers 12-23");
    assert_string_equal(e.hint, "");
    err_hint(&e, "offer %s", "more");
    assert_string_equal(e.hint, "offer more");
    err_prefix(&e, "node \"%s\"", "b");
    assert_string_equal(e.text, "node \"b\": cannot load layers 12-23");
    assert_int_equal(err_set_errno(&e, ERR_IO, ENOENT, "cannot open \"%s\"", "x"), ERR_IO);
    assert_string_equal(e.text, "cannot open \"x\": No such file or directory");
    assert_string_equal(e.hint, ""); /* an old hint would mislead */
}

static void err_accepts_null_and_long_texts(void **state) {
    (void)state;
    struct err e = {0};
    char word[1000];
    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
    assert_int_equal(err_set_errno(NULL, ERR_IO, EIO, "x"), ERR_IO);
    err_hint(NULL, "x");
    err_prefix(NULL, "x");
    err_set(&e, ERR_IO, "%s", word);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    err_prefix(&e, "%s", word);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    err_hint(&e, "%s", word);
    assert_int_equal(strlen(e.hint), sizeof(e.hint) - 1);
    err_set_errno(&e, ERR_IO, EIO, "%s", word);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void err_never_cuts_a_character(void **state) {
    (void)state;
    struct err e = {0};
    char word[600];
    for (size_t shift = 0; shift < 2; shift++) { /* one of both has an edge within a character */
        size_t n = 0;
        for (; n < shift; n++) word[n] = 'x';
        for (; n + 2 < sizeof(word); n += 2) memcpy(word + n, "\xC3\xBC", 2);
        word[n] = '\0';
        err_set(&e, ERR_IO, "%s", word);
        assert_true((unsigned char)e.text[strlen(e.text) - 1] != 0xC3);
        err_hint(&e, "%s", word);
        assert_true((unsigned char)e.hint[strlen(e.hint) - 1] != 0xC3);
        err_prefix(&e, "x");
        assert_true((unsigned char)e.text[strlen(e.text) - 1] != 0xC3);
    }
}

/* ---- mem ---- */

static void mem_copies_and_formats(void **state) {
    (void)state;
    char *s = mem_strdup("caravan");
    assert_string_equal(s, "caravan");
    free(s);
    assert_null(mem_strdup(NULL));
    assert_null(mem_strndup(NULL, 3));
    s = mem_strndup("caravan", 3);
    assert_string_equal(s, "car");
    free(s);
    s = mem_strndup("ab", 100);
    assert_string_equal(s, "ab");
    free(s);
    s = mem_printf("%s-%d", "x", 7);
    assert_string_equal(s, "x-7");
    free(s);
    unsigned char *z = mem_zalloc(64);
    for (int i = 0; i < 64; i++) assert_int_equal(z[i], 0);
    z = mem_realloc(z, 1000, 8);
    free(z);
    free(mem_alloc(0));
    free(mem_calloc(0, 8));
    free(mem_realloc(NULL, 0, 8));
}

/* Runs f in a child and returns whether it ended by abort(). */
static bool aborts(void (*f)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        f();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void overflow_calloc(void) { free(mem_calloc(SIZE_MAX / 2, 4)); }

static void overflow_realloc(void) { free(mem_realloc(NULL, SIZE_MAX / 2, 4)); }

static void huge_alloc(void) { free(mem_alloc(SIZE_MAX / 2)); }

static void mem_ends_the_process_when_memory_runs_out(void **state) {
    (void)state;
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer)
    skip(); /* the sanitizer's allocator ends the process in its own way */
#endif
    assert_true(aborts(overflow_calloc));
    assert_true(aborts(overflow_realloc));
    assert_true(aborts(huge_alloc));
}

/* ---- buf ---- */

static void buf_appends_and_consumes(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_string_equal(buf_cstr(&b), "");
    buf_append_str(&b, "hello");
    buf_append_byte(&b, ' ');
    buf_append(&b, "world!", 5);
    buf_append(&b, NULL, 0);
    buf_printf(&b, " %d", 42);
    assert_string_equal(buf_cstr(&b), "hello world 42");
    buf_consume(&b, 6);
    buf_consume(&b, 0);
    assert_string_equal(buf_cstr(&b), "world 42");
    assert_int_equal(b.len, 8);
    assert_false(b.failed);
    size_t len;
    uint8_t *data = buf_detach(&b, &len);
    assert_int_equal(len, 8);
    assert_string_equal((char *)data, "world 42");
    free(data);
    assert_int_equal(b.len, 0);
    assert_null(buf_detach(&b, NULL));
    buf_append_str(&b, "again");
    assert_string_equal(buf_cstr(&b), "again");
    buf_done(&b);
    buf_done(&b);
}

static void buf_keeps_to_its_maximum(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_append_str(&b, "0123456789");
    assert_false(b.failed);
    buf_append_byte(&b, 'x');
    assert_true(b.failed);
    assert_string_equal(buf_cstr(&b), "0123456789");
    buf_append_byte(&b, 'y'); /* nothing after a failure */
    assert_int_equal(b.len, 10);
    buf_consume(&b, 5);
    assert_false(buf_reserve(&b, 1)); /* still failed: the missing data would go unseen */
    buf_clear(&b);
    assert_false(b.failed);
    buf_append_str(&b, "ok");
    assert_string_equal(buf_cstr(&b), "ok");
    assert_false(buf_reserve(&b, SIZE_MAX));
    buf_done(&b);
    buf_init(&b, 0);
    buf_append_byte(&b, 'x');
    assert_true(b.failed);
    buf_done(&b);
}

static void buf_prints_long_texts(void **state) {
    (void)state;
    struct buf b;
    char word[5001];
    memset(word, 'w', 5000);
    word[5000] = '\0';
    buf_init(&b, SIZE_MAX);
    buf_printf(&b, "<%s>", word);
    assert_int_equal(b.len, 5002);
    assert_int_equal(b.data[5001], '>');
    buf_printf(&b, "%.255s%.256s", word, word);
    assert_int_equal(b.len, 5002 + 511);
    buf_done(&b);
    buf_init(&b, 300);
    buf_printf(&b, "%s", word);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

/* ---- file ---- */

static void only_plain_files_are_opened(void **state) {
    (void)state;
    char folder[] = "/tmp/caravan-files.XXXXXX", path[64];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct err e = {0};
    int fd = -1, s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20); /* opening it without waiting: there is no writer */
    assert_int_equal(file_open(path, "model", &fd, &e), ERR_INVALID);
    alarm(0);
    assert_non_null(strstr(e.text, "/pipe\": it is a pipe, not a file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_open(path, "model", &fd, &e), ERR_NOT_FOUND);
    assert_int_equal(file_open(folder, "model", &fd, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "it is a folder, not a file"));
    assert_int_equal(file_open("/dev/null", "model", &fd, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "it is a device, not a file"));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", folder);
    assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(file_open(addr.sun_path, "model", &fd, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "it is a socket, not a file"));
    close(s);
    assert_int_equal(unlink(addr.sun_path), 0);
    assert_int_equal(file_write(path, "text", 4, &e), ERR_OK);
    assert_int_equal(file_open(path, "model", &fd, &e), ERR_OK);
    char text[8];
    assert_int_equal(read(fd, text, sizeof(text)), 4);
    close(fd);
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

static void file_comes_whole_or_not_at_all(void **state) {
    (void)state;
    static const char *const path = "test-file.txt";
    enum { LEN = 10000 };
    char text[LEN];
    struct buf b;
    struct err e;
    for (size_t i = 0; i < LEN; i++) text[i] = (char)(i * 7);
    assert_int_equal(file_write(path, text, LEN, &e), ERR_OK);
    buf_init(&b, LEN);
    assert_int_equal(file_read(path, "text", &b, &e), ERR_OK);
    assert_int_equal(b.len, LEN);
    assert_memory_equal(b.data, text, LEN);
    buf_done(&b);
    buf_init(&b, LEN - 1);
    assert_int_equal(file_read(path, "text", &b, &e), ERR_LIMIT);
    assert_string_equal(e.text, "text \"test-file.txt\" is larger than 9999 bytes");
    buf_clear(&b);
    assert_int_equal(remove(path), 0);
    assert_int_equal(file_read(path, "text", &b, &e), ERR_NOT_FOUND);
    assert_int_equal(file_read(".", "text", &b, &e), ERR_IO); /* a folder */
    buf_done(&b);
}

/* ---- bytes ---- */

static void bytes_round_trip(void **state) {
    (void)state;
    uint8_t p[8];
    bytes_put_u16(p, 0xABCD);
    assert_int_equal(p[0], 0xCD);
    assert_int_equal(bytes_get_u16(p), 0xABCD);
    bytes_put_u32(p, 0xDEADBEEF);
    assert_int_equal(p[0], 0xEF);
    assert_int_equal(bytes_get_u32(p), 0xDEADBEEF);
    bytes_put_u64(p, 0x0123456789ABCDEFu);
    assert_int_equal(p[7], 0x01);
    assert_true(bytes_get_u64(p) == 0x0123456789ABCDEFu);
    bytes_put_f32(p, -1.5f);
    assert_true(bytes_get_f32(p) == -1.5f);
}

static void bytes_reader_stops_at_the_end(void **state) {
    (void)state;
    const uint8_t data[] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F, 9, 8};
    struct bytes_reader r;
    bytes_reader_init(&r, data, sizeof(data));
    assert_int_equal(bytes_read_u8(&r), 1);
    assert_int_equal(bytes_read_u16(&r), 2);
    assert_int_equal(bytes_read_u32(&r), 3);
    assert_true(bytes_read_u64(&r) == 4);
    assert_true(bytes_get_f32(bytes_take(&r, 4)) == 1.0f);
    assert_int_equal(bytes_left(&r), 2);
    assert_ptr_equal(bytes_take(&r, 0), data + 19);
    assert_int_equal(bytes_read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(bytes_read_u8(&r), 0); /* `failed` stays set */
    assert_null(bytes_take(&r, 0));
    for (size_t len = 0; len < 8; len++) {
        bytes_reader_init(&r, data, len);
        assert_true(bytes_read_u64(&r) == 0);
        assert_true(r.failed);
    }
    bytes_reader_init(&r, data, 1);
    assert_null(bytes_take(&r, SIZE_MAX));
    bytes_reader_init(&r, data, 1);
    assert_true(bytes_read_u16(&r) == 0);
}

/* ---- clock ---- */

static void clock_goes_forward(void **state) {
    (void)state;
    clock_us a = clock_now(), b = clock_now();
    assert_true(b >= a);
    assert_true(clock_wall_s() > 1700000000);
}

/* ---- arena ---- */

static void arena_gives_aligned_zeroed_memory(void **state) {
    (void)state;
    struct arena *a = arena_create();
    for (size_t i = 0; i < 3000; i++) {
        size_t size = i * 7 % 300;
        unsigned char *p = arena_alloc(a, size);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++) assert_int_equal(p[j], 0);
        memset(p, 0xEE, size); /* of this test alone */
    }
    unsigned char *big = arena_alloc(a, 1 << 20);
    memset(big, 1, 1 << 20);
    assert_string_equal(arena_strdup(a, "llama"), "llama");
    assert_null(arena_strdup(a, NULL));
    assert_null(arena_strndup(a, NULL, 1));
    assert_string_equal(arena_strndup(a, "llama", 2), "ll");
    assert_string_equal(arena_strndup(a, "ll", 50), "ll");
    assert_string_equal(arena_printf(a, "%d llamas, %300s", 3, "x") + 309, "x");
    arena_free(a);
    arena_free(NULL);
}

/* ---- list ---- */

struct item {
    int value;
    struct list link;
};

static void list_keeps_order(void **state) {
    (void)state;
    struct list head;
    struct item items[5] = {{1, {0}}, {2, {0}}, {3, {0}}, {4, {0}}, {5, {0}}};
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_pop_front(&head));
    assert_null(LIST_FIRST(&head, struct item, link));
    for (int i = 1; i < 5; i++) list_push_back(&head, &items[i].link);
    list_push_front(&head, &items[0].link);
    int expected = 1;
    for (LIST_EACH(link, &head)) assert_int_equal(LIST_ENTRY(link, struct item, link)->value, expected++);
    assert_int_equal(list_count(&head), 5);
    for (LIST_EACH_SAFE(link, &head))
        if (LIST_ENTRY(link, struct item, link)->value % 2 == 0) list_remove(link);
    assert_int_equal(list_count(&head), 3);
    list_remove(&items[1].link); /* once more does no harm */
    assert_int_equal(LIST_FIRST(&head, struct item, link)->value, 1);
    assert_ptr_equal(list_pop_front(&head), &items[0].link);
    list_insert_before(&items[4].link, &items[3].link);
    assert_int_equal(LIST_ENTRY(head.next->next, struct item, link)->value, 4);
}

/* ---- pages ---- */

/* A run of the mark is given back; bytes around it stay, and so does a run that is too short. */
static void pages_that_nobody_reads_are_given_back(void **state) {
    (void)state;
    enum { ROOM = 4 << 20, FROM = 1 << 20, LEN = 2 * PAGES_UNREAD_LEAST, SHORT_AT = 3 << 20, SHORT = PAGES_UNREAD_LEAST / 4 };
    char *room = malloc(ROOM);
    assert_non_null(room);
    memset(room, 'x', ROOM);
    size_t skew = (size_t)(-(uintptr_t)room % PAGES_UNREAD_LEN);
    for (size_t i = 0; i < LEN; i++) room[skew + FROM + i] = PAGES_UNREAD[i % PAGES_UNREAD_LEN];
    for (size_t i = 0; i < SHORT; i++) room[skew + SHORT_AT + i] = PAGES_UNREAD[i % PAGES_UNREAD_LEN];
    size_t back = pages_give_back();
#ifdef __linux__
    assert_true(back > LEN - 2 * 65536 && back <= LEN);
    assert_int_equal(room[skew + FROM + LEN / 2], 0);
#else
    assert_int_equal(back, 0);
#endif
    for (size_t i = 0; i < FROM; i++) assert_int_equal(room[skew + i], 'x');
    for (size_t i = FROM + LEN; i < SHORT_AT; i++) assert_int_equal(room[skew + i], 'x');
    for (size_t i = 0; i < SHORT; i++) assert_int_equal(room[skew + SHORT_AT + i], PAGES_UNREAD[i % PAGES_UNREAD_LEN]);
    free(room);
}

enum { BEAT = 1000 };

static void pulse_counts_watched_time_only(void **state) {
    (void)state;
    struct pulse p = {0};
    clock_us now = 5000000;
    assert_int_equal(pulse_look(&p, now, BEAT, 7), 0); /* the first look: nothing is known yet */
    for (clock_us i = 1; i <= 20; i++) assert_int_equal(pulse_look(&p, now += BEAT, BEAT, 7), i * BEAT);
    assert_int_equal(pulse_look(&p, now += BEAT / 2, BEAT, 7), 20 * BEAT + BEAT / 2);
    /* the watcher itself stood still for a day: that counts as one beat of silence */
    assert_int_equal(pulse_look(&p, now += 86400000000, BEAT, 7), 21 * BEAT + BEAT / 2);
    assert_int_equal(p.longest, 0);
    assert_int_equal(pulse_look(&p, now += BEAT, BEAT, 8), 0);
    assert_int_equal(p.longest, 21 * BEAT + BEAT / 2);
    assert_int_equal(pulse_look(&p, now += BEAT, BEAT, 8), BEAT);
    pulse_rest(&p); /* nothing is expected of it for a while */
    assert_int_equal(pulse_look(&p, now += 50 * BEAT, BEAT, 8), 0);
    assert_int_equal(pulse_look(&p, now += BEAT, BEAT, 8), BEAT);
    assert_int_equal(p.longest, 21 * BEAT + BEAT / 2);
}

/* Compared with a plain search, over few letters, so that texts repeat themselves. */
static void bytes_are_found(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 200000; round++) {
        char text[80], needle[48];
        size_t len, needle_len;
        random = random * 6364136223846793005u + 1442695040888963407u;
        len = (random >> 33) % sizeof(text);
        needle_len = (random >> 43) % sizeof(needle);
        unsigned letters = 1 + (unsigned)(random >> 60) % 3, period = 1 + (unsigned)(random >> 55) % 8;
        for (size_t i = 0; i < sizeof(text); i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[i] = (random >> 60) == 0 || i < period ? (char)('a' + (random >> 40) % letters) : text[i - period];
        }
        memcpy(needle, text + (random >> 50) % (sizeof(text) - sizeof(needle)), sizeof(needle));
        if ((random >> 45) % 3 == 0 && needle_len > 0) needle[(random >> 35) % needle_len] = 'b';
        const char *want = NULL;
        for (size_t i = 0; want == NULL && i + needle_len <= len; i++)
            if (memcmp(text + i, needle, needle_len) == 0) want = text + i;
        const char *got = mem_find(text, len, needle, needle_len);
        if (needle_len == 0) want = text;
        if (got != want) fail_msg("round %d: \"%.*s\" in \"%.*s\"", round, (int)needle_len, needle, (int)len, text);
    }
}

/* A plain search would take hours here. */
static void finding_is_linear(void **state) {
    (void)state;
    enum { TEXT = 8 << 20, NEEDLE = 2 << 20 };
    char *text = mem_alloc(TEXT), *needle = mem_alloc(NEEDLE);
    memset(text, 'a', TEXT);
    memset(needle, 'a', NEEDLE);
    needle[NEEDLE - 1] = 'b';
    assert_null(mem_find(text, TEXT, needle, NEEDLE));
    needle[NEEDLE - 1] = 'a';
    needle[0] = 'b';
    assert_null(mem_find(text, TEXT, needle, NEEDLE));
    text[TEXT - NEEDLE] = 'b';
    assert_ptr_equal(mem_find(text, TEXT, needle, NEEDLE), text + TEXT - NEEDLE);
    free(text);
    free(needle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_found),
        cmocka_unit_test(finding_is_linear),
        cmocka_unit_test(err_table_is_complete),
        cmocka_unit_test(err_messages_are_composed),
        cmocka_unit_test(err_accepts_null_and_long_texts),
        cmocka_unit_test(err_never_cuts_a_character),
        cmocka_unit_test(mem_copies_and_formats),
        cmocka_unit_test(mem_ends_the_process_when_memory_runs_out),
        cmocka_unit_test(buf_appends_and_consumes),
        cmocka_unit_test(buf_keeps_to_its_maximum),
        cmocka_unit_test(buf_prints_long_texts),
        cmocka_unit_test(only_plain_files_are_opened),
        cmocka_unit_test(file_comes_whole_or_not_at_all),
        cmocka_unit_test(bytes_round_trip),
        cmocka_unit_test(bytes_reader_stops_at_the_end),
        cmocka_unit_test(clock_goes_forward),
        cmocka_unit_test(arena_gives_aligned_zeroed_memory),
        cmocka_unit_test(list_keeps_order),
        cmocka_unit_test(pulse_counts_watched_time_only),
        cmocka_unit_test(pages_that_nobody_reads_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
