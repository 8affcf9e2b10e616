/* SPDX-License-Identifier: MIT
 * Files at addresses that strangers name: which addresses are public, and what is refused before anything is connected to. Fetching
 * itself is in e2e_pictures. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/fetch.h"
#include "io/address.h"

static bool is_public(const char *text) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) return io_address_is_public((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return io_address_is_public((const struct sockaddr *)&v6);
}

static void public_and_special_addresses(void **state) {
    (void)state;
    static const char *const open[] = {"1.1.1.1",          "9.255.255.255",   "11.0.0.0",        "100.63.255.255",  "100.128.0.0",
                                       "126.255.255.255",  "128.0.0.1",       "169.253.255.255", "172.15.255.255",  "172.32.0.0",
                                       "192.0.1.1",        "192.167.255.255", "192.169.0.0",     "198.17.255.255",  "198.20.0.0",
                                       "203.0.114.0",      "223.255.255.255", "2606:4700::1111", "2001:4860::8888", "::ffff:1.1.1.1",
                                       "64:ff9b::101:101", "2002:101:101::1", "3fff:1000::1"};
    static const char *const shut[] = {
        "0.0.0.0",     "0.1.2.3",          "10.0.0.0",        "10.255.255.255", "100.64.0.0",      "100.127.255.255",
        "127.0.0.1",   "127.255.255.255",  "169.254.169.254", "172.16.0.0",     "172.31.255.255",  "192.0.0.1",
        "192.0.2.1",   "192.88.99.1",      "192.168.0.1",     "198.18.0.0",     "198.19.255.255",  "198.51.100.1",
        "203.0.113.1", "224.0.0.1",        "239.1.1.1",       "240.0.0.1",      "255.255.255.255", "::",
        "::1",         "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",    "64:ff9b::7f00:1", "64:ff9b:1::1",
        "100::1",      "2001::1",          "2001:1ff::1",     "2001:db8::1",    "2002:7f00:1::1",  "2002:a9fe:a9fe::1",
        "3fff::1",     "fc00::1",          "fd12::1",         "fe80::1",        "fec0::1",         "ff02::1",
        "4000::1"};
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (!is_public(open[i])) fail_msg("%s is public", open[i]);
    for (size_t i = 0; i < ARRAY_LEN(shut); i++)
        if (is_public(shut[i])) fail_msg("%s is not public", shut[i]);
    const struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(io_address_is_public(&other));
}

static void the_owners_list(void **state) {
    (void)state;
    static const char *const good[] = {"", "public", "nas.lan", "nas.lan:8080,public", "[fd00::1]:80,10.0.0.7"};
    static const char *const bad[] = {",", "a,,b", "http://nas", "nas/", "*", "me@nas", "a b", "a,"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_int_equal(http_fetch_check(good[i], NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        if (http_fetch_check(bad[i], &e) != ERR_INVALID) fail_msg("\"%s\" is no list of hosts", bad[i]);
        assert_non_null(strstr(e.text, "is no host"));
    }
}

static void what_is_never_connected_to(void **state) {
    (void)state;
    static const struct {
        const char *url, *hosts, *why;
    } cases[] = {
        {"http://127.0.0.1:1/a", "", "nothing is fetched from"},
        {"http://127.0.0.1:1/a", "nas.lan", "nothing is fetched from \"127.0.0.1:1\""},
        {"http://127.0.0.1:1/a", "127.0.0.1:2", "nothing is fetched from"},
        {"http://127.0.0.1:1/a", "public", "has no public address"},
        {"http://127.1:1/a", "public", "has no public address"},
        {"http://[::1]:1/a", "public", "has no public address"},
        {"http://public:1/a", "public,nas.lan", ""}, /* the word is no host */
        {"ftp://nas.lan/a", "nas.lan", "http://"},
        {"file:///etc/passwd", "public", "http://"},
        {"http://", "public", "http://"},
        {"http://me:secret@nas.lan/a", "nas.lan", "user name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        struct err e = {0};
        buf_init(&b, 100);
        assert_int_equal(http_fetch(cases[i].url, cases[i].hosts, 5000000, &b, &e), ERR_INVALID);
        if (strstr(e.text, cases[i].why) == NULL) fail_msg("%s with \"%s\": %s", cases[i].url, cases[i].hosts, e.text);
        assert_null(strstr(e.text, "secret"));
        buf_done(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(public_and_special_addresses), cmocka_unit_test(the_owners_list),
                                       cmocka_unit_test(what_is_never_connected_to)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
