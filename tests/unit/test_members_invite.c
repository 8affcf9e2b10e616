/* SPDX-License-Identifier: MIT
 * Join codes: round trips, the ways in which people may write them, and typing errors, each of which is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "members/invite.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static struct invite sample(size_t n_addrs) {
    static const struct io_addr addrs[INVITE_MAX_ADDRS] = {{.host = "192.168.1.20", .port = 7433},
                                                           {.host = "10.0.0.7", .port = 1},
                                                           {.host = "fd00::1234", .port = 65535},
                                                           {.host = "2001:db8::ff", .port = 7433}};
    struct invite in = {.n_addrs = n_addrs};
    for (size_t i = 0; i < sizeof(in.key); i++) in.key[i] = (uint8_t)(i * 37 + 11);
    memcpy(in.addrs, addrs, sizeof(addrs[0]) * n_addrs);
    return in;
}

static void same(const struct invite *a, const struct invite *b) {
    assert_memory_equal(a->key, b->key, sizeof(a->key));
    assert_int_equal(a->n_addrs, b->n_addrs);
    for (size_t i = 0; i < a->n_addrs; i++) {
        assert_string_equal(a->addrs[i].host, b->addrs[i].host);
        assert_int_equal(a->addrs[i].port, b->addrs[i].port);
    }
}

static void round_trip(void **state) {
    (void)state;
    for (size_t n = 0; n <= INVITE_MAX_ADDRS; n++) {
        struct invite in = sample(n), back;
        char text[INVITE_TEXT_SIZE];
        struct err e = {0};
        assert_int_equal(invite_encode(&in, text, &e), ERR_OK);
        assert_int_equal(strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-"), strlen(text));
        if (invite_decode(text, &back, &e) != ERR_OK) fail_msg("%s: %s", text, e.text);
        same(&in, &back);
    }
}

/* Any case, blanks or nothing instead of the dashes, the letters that look like digits. */
static void as_people_write_it(void **state) {
    (void)state;
    struct invite in = sample(2), back;
    char text[INVITE_TEXT_SIZE], other[2 * INVITE_TEXT_SIZE];
    struct err e = {0};
    invite_encode(&in, text, &e);
    size_t n = 0;
    for (const char *p = text; *p; p++)
        if (*p != '-') other[n++] = *p;
    other[n] = '\0';
    assert_int_equal(invite_decode(other, &back, &e), ERR_OK);
    same(&in, &back);
    n = 0;
    other[n++] = ' ';
    for (const char *p = text; *p; p++) {
        char c = (char)tolower((unsigned char)*p);
        other[n] = c == '1' ? (n % 2 ? 'l' : 'I') : c == '0' ? 'o' : c == '-' ? ' ' : c;
        n++;
        if (*p == '-') other[n++] = '\t';
    }
    snprintf(other + n, sizeof(other) - n, " \r\n");
    if (invite_decode(other, &back, &e) != ERR_OK) fail_msg("%s: %s", other, e.text);
    same(&in, &back);
}

static void every_wrong_character_is_found_and_its_group_named(void **state) {
    (void)state;
    struct invite in = sample(3), back;
    char text[INVITE_TEXT_SIZE], group[40];
    struct err e = {0};
    invite_encode(&in, text, &e);
    size_t len = strlen(text), tried = 0;
    for (size_t i = 0; i < len; i++) {
        char right = text[i];
        if (right == '-') continue;
        for (const char *c = alphabet; *c; c++) {
            if (*c == right) continue;
            text[i] = *c;
            tried++;
            if (invite_decode(text, &back, &e) == ERR_OK) fail_msg("%c for %c at %zu was not seen", *c, right, i);
            assert_int_equal(e.code, ERR_INVALID);
            snprintf(group, sizeof(group), "mistyped: group %zu, \"%.6s\"", i / 7 + 1, text + i / 7 * 7);
            if (!strstr(e.text, group)) fail_msg("\"%s\" does not name \"%s\"", e.text, group);
            assert_true(e.hint[0]);
        }
        text[i] = right;
    }
    assert_true(tried > 3000);
    text[9] = 'U';
    assert_int_equal(invite_decode(text, &back, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "a character that no join code has"));
}

static void swapped_neighbours_are_found(void **state) {
    (void)state;
    struct invite in = sample(1), back;
    char text[INVITE_TEXT_SIZE];
    struct err e = {0};
    invite_encode(&in, text, &e);
    for (size_t i = 0; i + 1 < strlen(text); i++) {
        size_t k = text[i + 1] == '-' ? i + 2 : i + 1;
        if (text[i] == '-' || text[i] == text[k]) continue;
        char c = text[i];
        text[i] = text[k];
        text[k] = c;
        if (invite_decode(text, &back, &e) == ERR_OK) fail_msg("swapped at %zu and not seen", i);
        text[k] = text[i];
        text[i] = c;
    }
    char swapped[INVITE_TEXT_SIZE]; /* two whole groups */
    snprintf(swapped, sizeof(swapped), "%s", text);
    memcpy(swapped + 14, text + 21, 6);
    memcpy(swapped + 21, text + 14, 6);
    assert_int_equal(invite_decode(swapped, &back, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "group 3"));
}

static void a_cut_or_wrong_text_says_so(void **state) {
    (void)state;
    struct invite in = sample(2), back;
    char text[INVITE_TEXT_SIZE], other[2 * INVITE_TEXT_SIZE];
    struct err e = {0};
    invite_encode(&in, text, &e);
    for (size_t n = 7; n < strlen(text); n++) { /* every beginning */
        snprintf(other, sizeof(other), "%.*s", (int)n, text);
        assert_int_equal(invite_decode(other, &back, &e), ERR_INVALID);
        if (!strstr(e.text, "not complete")) fail_msg("%s: %s", other, e.text);
    }
    snprintf(other, sizeof(other), "%.14s%s", text, text + 21); /* a group left out */
    assert_int_equal(invite_decode(other, &back, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "missing at group 3"));
    snprintf(other, sizeof(other), "%.15s%s", text, text + 16); /* a character left out */
    assert_int_equal(invite_decode(other, &back, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "group 3"));
    assert_non_null(strstr(e.text, "six characters"));
    snprintf(other, sizeof(other), "%s-%s", text, text);
    assert_int_equal(invite_decode(other, &back, &e), ERR_INVALID);
    static const char *const strange[] = {"",
                                          "   ",
                                          "hello",
                                          "please let me in",
                                          "UUUUUU",
                                          "000000",
                                          "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                                          "\xff\xfe\xfd"};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        assert_int_equal(invite_decode(strange[i], &back, &e), ERR_INVALID);
        assert_true(e.text[0]);
    }
}

static void what_cannot_be_encoded(void **state) {
    (void)state;
    char text[INVITE_TEXT_SIZE];
    struct err e = {0};
    struct invite name = {.n_addrs = 1, .addrs = {{.host = "alpha.local", .port = 7433}}}, port = sample(1);
    port.addrs[0].port = 0;
    assert_int_equal(invite_encode(&name, text, &e), ERR_INVALID);
    assert_int_equal(invite_encode(&port, text, &e), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(as_people_write_it),
        cmocka_unit_test(every_wrong_character_is_found_and_its_group_named),
        cmocka_unit_test(swapped_neighbours_are_found),
        cmocka_unit_test(a_cut_or_wrong_text_says_so),
        cmocka_unit_test(what_cannot_be_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
