/* SPDX-License-Identifier: MIT
 * Keys, and requests that are refused without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/keys.h"

static void bind_needs_keys_off_loopback(void **state) {
    (void)state;
    static const char *const fine[] = {"127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"};
    static const char *const open[] = {"0.0.0.0",         "::",        "", "192.168.1.4", "example.com", "127.0.0.1.evil.com",
                                       "::ffff:10.0.0.1", "1270.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) assert_int_equal(gateway_check_bind(fine[i], 0, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        struct err e = {0};
        assert_int_equal(gateway_check_bind(open[i], 0, &e), ERR_AUTH);
        assert_non_null(strstr(e.hint, "--api-key"));
        assert_int_equal(gateway_check_bind(open[i], 1, NULL), ERR_OK);
    }
}

static err_code check_for(const struct gateway_keys *k, const char *name, const char *value, uint32_t may) {
    struct http_header headers[] = {{"Host", "127.0.0.1:8080"}, {name, value}};
    struct http_request r = {.method = "GET", .path = "/", .headers = headers, .n_headers = 2};
    return gateway_keys_check(k, &r, may, NULL);
}

static err_code check(const struct gateway_keys *k, const char *name, const char *value) {
    return check_for(k, name, value, GATEWAY_MAY_ASK);
}

/* Every line that a key file may have, and those that it may not. */
static void lines_of_keys_are_read(void **state) {
    (void)state;
    static const struct {
        const char *line, *secret;
        uint32_t may;
    } good[] = {{"sk-first\n", "sk-first", GATEWAY_MAY_ASK},
                {"  sk-first  \r\n", "sk-first", GATEWAY_MAY_ASK},
                {"sk-first admin", "sk-first", GATEWAY_MAY_ASK | GATEWAY_MAY_ADMIN},
                {"sk-first\tadmin # of the office", "sk-first", GATEWAY_MAY_ASK | GATEWAY_MAY_ADMIN},
                {"admin", "admin", GATEWAY_MAY_ASK},
                {"sk#first", "sk#first", GATEWAY_MAY_ASK},
                {"# sk-first admin", NULL, GATEWAY_MAY_ASK},
                {"", NULL, GATEWAY_MAY_ASK},
                {" \n", NULL, GATEWAY_MAY_ASK}};
    static const char *const bad[] = {"sk-first Admin", "sk-first adm", "sk-first admins", "sk-first sk-second", "sk-first admin ask me"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct gateway_key key;
        assert_int_equal(gateway_key_parse(good[i].line, strlen(good[i].line), &key, NULL), ERR_OK);
        assert_int_equal(key.may, good[i].may);
        if (good[i].secret == NULL) assert_null(key.secret);
        else assert_string_equal(key.secret, good[i].secret);
        gateway_key_done(&key);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct gateway_key key;
        struct err e = {0};
        assert_int_equal(gateway_key_parse(bad[i], strlen(bad[i]), &key, &e), ERR_INVALID);
        assert_null(strstr(e.text, "sk-first"));
    }
}

static void keys_are_compared_whole(void **state) {
    (void)state;
    static char first[] = "sk-first", second[] = "sk-second";
    static const struct gateway_key list[] = {{first, GATEWAY_MAY_ASK}, {second, GATEWAY_MAY_ASK}};
    static const char *const wrong[] = {"",
                                        "Bearer",
                                        "Bearer ",
                                        "Bearer sk-firs",
                                        "Bearer sk-firstx",
                                        "Bearer sk-first sk-first",
                                        "Bearer SK-FIRST",
                                        "Basic sk-first",
                                        "sk-first",
                                        "Bearer sk-firstsk-first"};
    struct gateway_keys k;
    gateway_keys_init(&k, list, 2, NULL);
    assert_int_equal(check(&k, "authorization", "Bearer sk-first"), ERR_OK);
    assert_int_equal(check(&k, "AUTHORIZATION", "bearer  sk-second"), ERR_OK);
    assert_int_equal(check(&k, "X-Api-Key", "sk-second"), ERR_OK);
    assert_int_equal(check(&k, "X-Api-Key", "sk-third"), ERR_AUTH);
    assert_int_equal(check(&k, "X-Other", "sk-first"), ERR_AUTH);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) assert_int_equal(check(&k, "Authorization", wrong[i]), ERR_AUTH);
    gateway_keys_done(&k);
}

static void only_admin_keys_administer(void **state) {
    (void)state;
    static char asks[] = "sk-asks", administers[] = "sk-administers";
    static const struct gateway_key list[] = {{asks, GATEWAY_MAY_ASK}, {administers, GATEWAY_MAY_ASK | GATEWAY_MAY_ADMIN}};
    struct gateway_keys k;
    gateway_keys_init(&k, list, 2, "own");
    for (uint32_t may = GATEWAY_MAY_ASK; may <= GATEWAY_MAY_ADMIN; may <<= 1) {
        bool admin = may == GATEWAY_MAY_ADMIN;
        assert_int_equal(check_for(&k, "Authorization", "Bearer sk-asks", may), admin ? ERR_FORBIDDEN : ERR_OK);
        assert_int_equal(check_for(&k, "x-api-key", "sk-asks", may), admin ? ERR_FORBIDDEN : ERR_OK);
        assert_int_equal(check_for(&k, "Authorization", "Bearer sk-administers", may), ERR_OK);
        assert_int_equal(check_for(&k, "Authorization", "Bearer own", may), ERR_OK);
        assert_int_equal(check_for(&k, "Authorization", "Bearer other", may), ERR_AUTH);
        assert_int_equal(check_for(&k, "x-other", "own", may), ERR_AUTH);
    }
    gateway_keys_done(&k);
}

/* The node's own key doesn't turn keys on: without other keys none is needed. */
static void the_own_key_is_none_that_was_set(void **state) {
    (void)state;
    struct gateway_keys k;
    gateway_keys_init(&k, NULL, 0, "own");
    assert_int_equal(check_for(&k, "x-other", "", GATEWAY_MAY_ADMIN), ERR_OK);
    assert_int_equal(check_for(&k, "Authorization", "Bearer other", GATEWAY_MAY_ADMIN), ERR_OK);
    assert_int_equal(check_for(&k, "Origin", "https://evil.com", GATEWAY_MAY_ADMIN), ERR_FORBIDDEN);
    gateway_keys_done(&k);
}

static err_code page_asks(const char *host, const char *origin, const char *site, const char *allowed, uint32_t may) {
    char origins[64];
    snprintf(origins, sizeof(origins), "%s", allowed != NULL ? allowed : "");
    struct gateway_keys none = {.origins = origins};
    struct http_header headers[3] = {{"Host", host}};
    size_t n = 1;
    if (origin != NULL) headers[n++] = (struct http_header){"Origin", origin};
    if (site != NULL) headers[n++] = (struct http_header){"Sec-Fetch-Site", site};
    struct http_request r = {.method = "POST", .path = "/", .headers = headers, .n_headers = n};
    return gateway_keys_check(&none, &r, may, NULL);
}

static err_code check_page(const char *host, const char *origin) { return page_asks(host, origin, NULL, NULL, GATEWAY_MAY_ASK); }

static err_code check_admin_page(const char *host, const char *origin, const char *site) {
    return page_asks(host, origin, site, "*", GATEWAY_MAY_ADMIN);
}

/* Not even a page of this machine, nor one that --cors-origin names, may change anything without a key; a page of the node itself may. */
static void no_web_page_administers_without_keys(void **state) {
    (void)state;
    assert_int_equal(check_admin_page("localhost:8080", NULL, NULL), ERR_OK);
    assert_int_equal(check_admin_page("localhost:8080", NULL, "none"), ERR_OK);
    assert_int_equal(check_admin_page("localhost:8080", "http://localhost:8080", "same-origin"), ERR_OK);
    assert_int_equal(check_admin_page("[::1]:8080", "http://[::1]:8080", NULL), ERR_OK);
    static const char *const other[] = {
        "http://localhost:3000", "http://127.0.0.1:8080", "https://localhost:8080",        "https://evil.com", "null", "app://obsidian.md",
        "http://localhost",      "localhost:8080",        "http://localhost:8080.evil.com"};
    for (size_t i = 0; i < ARRAY_LEN(other); i++) assert_int_equal(check_admin_page("localhost:8080", other[i], NULL), ERR_FORBIDDEN);
    assert_int_equal(check_admin_page("localhost:8080", NULL, "cross-site"), ERR_FORBIDDEN);
    assert_int_equal(check_admin_page("localhost:8080", "http://localhost:8080", "same-site"), ERR_FORBIDDEN);
    assert_int_equal(check_admin_page("evil.com:8080", "http://evil.com:8080", "same-origin"), ERR_FORBIDDEN); /* DNS rebinding */
    assert_int_equal(page_asks("localhost", "https://evil.com", NULL, "https://evil.com", GATEWAY_MAY_ASK), ERR_OK);
}

static void web_pages_are_kept_out_without_keys(void **state) {
    (void)state;
    static const char *const local[] = {"127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "app.localhost:3000", "127.1.2.3"};
    static const char *const foreign[] = {
        "evil.com", "evil.com:8080", "127.0.0.1.evil.com", "localhost.evil.com", "192.168.0.2:8080", "notlocalhost", ""};
    for (size_t i = 0; i < ARRAY_LEN(local); i++) assert_int_equal(check_page(local[i], NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) assert_int_equal(check_page(foreign[i], NULL), ERR_FORBIDDEN);
    assert_int_equal(check_page("localhost", "http://localhost:3000"), ERR_OK);
    assert_int_equal(check_page("localhost", "app://obsidian.md"), ERR_OK);
    assert_int_equal(check_page("localhost", "https://evil.com"), ERR_FORBIDDEN);
    assert_int_equal(check_page("localhost", "http://localhost.evil.com"), ERR_FORBIDDEN);
    assert_int_equal(check_page("localhost", "HTTP://evil.com"), ERR_FORBIDDEN);
    assert_int_equal(check_page("localhost", "null"), ERR_FORBIDDEN); /* a sandboxed frame */
}

static err_code check_behalf(const struct gateway_keys *k, const char *owner, uint32_t may) {
    return gateway_keys_check(k, &(struct http_request){.method = "POST", .path = "/", .behalf = owner}, may, NULL);
}

/* A request from within may what the key may for which it is made: as long as there is that key. */
static void requests_from_within_need_their_key(void **state) {
    (void)state;
    static char secret[] = "sk-first", own[] = "of-the-command-line";
    static const struct gateway_key list[] = {{secret, GATEWAY_MAY_ASK | GATEWAY_MAY_ADMIN}};
    struct http_header header = {"x-api-key", "sk-first"};
    const struct http_request first = {.method = "POST", .path = "/", .headers = &header, .n_headers = 1};
    char owner[GATEWAY_OWNER_SIZE], again[GATEWAY_OWNER_SIZE];
    struct gateway_keys k;
    gateway_keys_init(&k, list, 1, own);
    gateway_keys_owner(&k, &first, owner);
    assert_int_equal(strlen(owner), GATEWAY_OWNER_SIZE - 1);
    assert_int_equal(check_behalf(&k, owner, GATEWAY_MAY_ASK), ERR_OK);
    assert_int_equal(check_behalf(&k, owner, GATEWAY_MAY_ADMIN), ERR_FORBIDDEN);
    assert_int_equal(check_behalf(&k, "0123456789abcdef0123456789abcdef", GATEWAY_MAY_ASK), ERR_AUTH);
    gateway_keys_owner(&k, &(struct http_request){.behalf = owner}, again);
    assert_string_equal(again, owner);

    header.value = own; /* new at each start, so what its user keeps is nobody's in particular */
    gateway_keys_owner(&k, &first, again);
    assert_string_equal(again, "");
    assert_int_equal(check_behalf(&k, "", GATEWAY_MAY_ASK), ERR_OK);

    struct ledger_key made = {.name = "kitchen", .id = "00112233"};
    ledger_key_hash("cv-made", made.hash);
    gateway_keys_add(&k, &made);
    header.value = "cv-made";
    gateway_keys_owner(&k, &first, again);
    const struct http_request within = {.behalf = again};
    assert_string_equal(gateway_keys_made_of(&k, &within)->name, "kitchen");
    assert_int_equal(check_behalf(&k, again, GATEWAY_MAY_ASK), ERR_OK);
    assert_true(gateway_keys_remove(&k, made.id));
    assert_null(gateway_keys_made_of(&k, &within));
    assert_int_equal(check_behalf(&k, again, GATEWAY_MAY_ASK), ERR_AUTH);
    gateway_keys_done(&k);
}

/* What is needed to know the key again is computed once for a request, and anew for the next one. */
static void a_key_is_hashed_once_for_a_request(void **state) {
    (void)state;
    struct http_header header = {"Authorization", "Bearer cv-one"};
    struct http_note note = {0};
    const struct http_request r = {.method = "GET", .path = "/", .headers = &header, .n_headers = 1, .note = &note};
    struct gateway_keys k;
    char owner[GATEWAY_OWNER_SIZE], other[GATEWAY_OWNER_SIZE];
    struct ledger_key made = {.name = "one", .id = "1"};
    gateway_keys_init(&k, NULL, 0, NULL);
    ledger_key_hash("cv-one", made.hash);
    gateway_keys_add(&k, &made);
    assert_int_equal(gateway_keys_check(&k, &r, GATEWAY_MAY_ASK, NULL), ERR_OK);
    gateway_keys_owner(&k, &r, owner);
    ledger_key_hash("cv-two", note.hash); /* the others take what the first one has found */
    assert_null(gateway_keys_made_of(&k, &r));
    gateway_keys_owner(&k, &r, other);
    assert_string_not_equal(owner, other);
    note = (struct http_note){0};
    assert_string_equal(gateway_keys_made_of(&k, &r)->name, "one");
    gateway_keys_done(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests_from_within_need_their_key),
                                       cmocka_unit_test(bind_needs_keys_off_loopback),
                                       cmocka_unit_test(keys_are_compared_whole),
                                       cmocka_unit_test(a_key_is_hashed_once_for_a_request),
                                       cmocka_unit_test(lines_of_keys_are_read),
                                       cmocka_unit_test(only_admin_keys_administer),
                                       cmocka_unit_test(the_own_key_is_none_that_was_set),
                                       cmocka_unit_test(no_web_page_administers_without_keys),
                                       cmocka_unit_test(web_pages_are_kept_out_without_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
