/* SPDX-License-Identifier: MIT
 * Keys, and what is refused without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/api_keys.h"

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

static err_code check(const struct gateway_keys *k, const char *name, const char *value) {
    struct io_http_header headers[] = {{"Host", "127.0.0.1:8080"}, {name, value}};
    struct io_http_request r = {.method = "GET", .path = "/", .headers = headers, .n_headers = 2};
    return gateway_keys_check(k, &r, NULL);
}

static void keys_are_compared_whole(void **state) {
    (void)state;
    static const char *const list[] = {"sk-first", "sk-second"};
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
    gateway_keys_init(&k, list, 2);
    assert_int_equal(check(&k, "authorization", "Bearer sk-first"), ERR_OK);
    assert_int_equal(check(&k, "AUTHORIZATION", "bearer  sk-second"), ERR_OK);
    assert_int_equal(check(&k, "X-Api-Key", "sk-second"), ERR_OK);
    assert_int_equal(check(&k, "X-Api-Key", "sk-third"), ERR_AUTH);
    assert_int_equal(check(&k, "X-Other", "sk-first"), ERR_AUTH);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) assert_int_equal(check(&k, "Authorization", wrong[i]), ERR_AUTH);
    gateway_keys_done(&k);
}

static err_code check_page(const char *host, const char *origin) {
    struct gateway_keys none = {0};
    struct io_http_header headers[] = {{"Host", host}, {"Origin", origin}};
    struct io_http_request r = {.method = "POST", .path = "/", .headers = headers, .n_headers = origin != NULL ? 2 : 1};
    return gateway_keys_check(&none, &r, NULL);
}

static void web_pages_are_kept_out_without_keys(void **state) {
    (void)state;
    static const char *const local[] = {"127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "app.localhost:3000", "127.1.2.3"};
    static const char *const foreign[] = {
        "evil.com", "evil.com:8080", "127.0.0.1.evil.com", "localhost.evil.com", "192.168.0.2:8080", "notlocalhost", ""};
    for (size_t i = 0; i < ARRAY_LEN(local); i++) assert_int_equal(check_page(local[i], NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) assert_int_equal(check_page(foreign[i], NULL), ERR_AUTH);
    assert_int_equal(check_page("localhost", "http://localhost:3000"), ERR_OK);
    assert_int_equal(check_page("localhost", "app://obsidian.md"), ERR_OK);
    assert_int_equal(check_page("localhost", "https://evil.com"), ERR_AUTH);
    assert_int_equal(check_page("localhost", "http://localhost.evil.com"), ERR_AUTH);
    assert_int_equal(check_page("localhost", "HTTP://evil.com"), ERR_AUTH);
    assert_int_equal(check_page("localhost", "null"), ERR_AUTH); /* a sandboxed frame */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bind_needs_keys_off_loopback), cmocka_unit_test(keys_are_compared_whole),
                                       cmocka_unit_test(web_pages_are_kept_out_without_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
