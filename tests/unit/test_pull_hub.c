/* SPDX-License-Identifier: MIT
 * Names of models on hubs as people write them, and the answers of hubs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pull/hub.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_references(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum hub_kind kind;
        const char *repo, *revision, *tag, *url;
    } good[] = {
        {"hf:a/b", HUB_HF, "a/b", "main", "", ""},
        {"HF:Org-1/Model.2_x-GGUF:Q4_K_M", HUB_HF, "Org-1/Model.2_x-GGUF", "main", "Q4_K_M", ""},
        {"hf:a/b@refs/pr/3:q8_0", HUB_HF, "a/b", "refs/pr/3", "q8_0", ""},
        {"hf.co/a/b:Q2_K", HUB_HF, "a/b", "main", "Q2_K", ""},
        {"https://huggingface.co/a/b/tree/main", HUB_HF, "a/b", "main", "", ""},
        {"https://huggingface.co/a/b/", HUB_HF, "a/b", "main", "", ""},
        {"https://huggingface.co/a/b/blob/main/x.gguf", HUB_URL, "", "", "", "https://huggingface.co/a/b/resolve/main/x.gguf"},
        {"https://huggingface.co/a/b/resolve/main/x.gguf", HUB_URL, "", "", "", "https://huggingface.co/a/b/resolve/main/x.gguf"},
        {"ollama:llama3.2", HUB_OLLAMA, "library/llama3.2", "", "latest", ""},
        {"ollama:me/tuned:8b-q4", HUB_OLLAMA, "me/tuned", "", "8b-q4", ""},
        {"http://host:1/d/x.gguf", HUB_URL, "", "", "", "http://host:1/d/x.gguf"},
    };
    static const char *const bad[] = {"",
                                      "a",
                                      "a/b",
                                      "hf:",
                                      "hf:a",
                                      "hf:a/",
                                      "hf:/b",
                                      "hf:a/b/c",
                                      "hf:a/..",
                                      "hf:a/b:",
                                      "hf:a/b@:q",
                                      "hf:a b/c",
                                      "ollama:",
                                      "ollama:a/b/c",
                                      "ollama:a:",
                                      "ollama:../a",
                                      "ollama:/a",
                                      "ollama:a/",
                                      "ftp://x/y.gguf",
                                      "https://x/ y.gguf"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct hub_ref r;
        struct err e = {0};
        if (hub_ref_parse(good[i].text, &r, &e) != ERR_OK) fail_msg("\"%s\": %s", good[i].text, e.text);
        assert_int_equal(r.kind, good[i].kind);
        assert_string_equal(r.repo, good[i].repo);
        assert_string_equal(r.revision, good[i].revision);
        assert_string_equal(r.tag, good[i].tag);
        assert_string_equal(r.url, good[i].url);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct hub_ref r;
        struct err e = {0};
        if (hub_ref_parse(bad[i], &r, &e) != ERR_INVALID) fail_msg("\"%s\" was accepted", bad[i]);
        assert_non_null(strstr(e.hint, "hf:OWNER/REPO"));
    }
}

/* Checks which file is picked from a repository with these files, for this tag; NULL: none. */
static void picks(const char *const *paths, size_t n, const char *tag, const char *expected, size_t n_parts) {
    struct hub_listing *l = hub_listing_create();
    struct hub_ref r = {.kind = HUB_HF, .repo = "a/b", .revision = "main"};
    struct hub_files f = {0};
    struct err e = {0};
    struct buf json;
    snprintf(r.tag, sizeof(r.tag), "%s", tag);
    buf_init(&json, 1 << 16);
    buf_append_str(&json, "[");
    for (size_t i = 0; i < n; i++)
        buf_printf(&json, "%s{\"type\":\"file\",\"path\":\"%s\",\"size\":%zu,\"lfs\":{\"oid\":\"" HASH "\",\"size\":%zu}}", i ? "," : "",
                   paths[i], i, 1000 + i);
    buf_append_str(&json, "]");
    assert_int_equal(hub_listing_add(l, (const char *)json.data, json.len, &e), ERR_OK);
    err_code code = hub_listing_pick(l, &r, "https://hub", &f, &e);
    if (!expected) {
        assert_int_equal(code, ERR_NOT_FOUND);
        assert_true(e.hint[0] != '\0');
    } else {
        if (code != ERR_OK) fail_msg("%s: %s", tag, e.text);
        assert_string_equal(f.files[0].url, expected);
        bool sees = n > 4; /* the list has a projector then */
        assert_int_equal(f.n, n_parts + sees);
        if (sees) assert_memory_equal(f.files[n_parts].name, "mmproj-M", 8);
        if (sees) assert_string_equal(f.files[n_parts].url, "https://hub/a/b/resolve/main/mmproj-M-Q4_K_M.gguf");
        assert_string_equal(f.files[0].sha256, HASH);
        assert_true(f.files[0].size >= 1000);
        for (size_t i = 0; i < f.n; i++) assert_null(strchr(f.files[i].name, '/'));
    }
    hub_files_done(&f);
    hub_listing_free(l);
    buf_done(&json);
}

static void test_pick(void **state) {
    (void)state;
    static const char *const paths[] = {"README.md",
                                        "M-IQ4_K_M.gguf",
                                        "M-Q8_0.gguf",
                                        "M-q4_k_m.gguf",
                                        "mmproj-M-Q4_K_M.gguf",
                                        "M.imatrix.gguf",
                                        "BF16/M-BF16-00002-of-00002.gguf",
                                        "BF16/M-BF16-00001-of-00002.gguf",
                                        "Q2_K/M one.gguf"};
    size_t n = ARRAY_LEN(paths);
    picks(paths, n, "", "https://hub/a/b/resolve/main/M-q4_k_m.gguf", 1);
    picks(paths, n, "Q4_K_M", "https://hub/a/b/resolve/main/M-q4_k_m.gguf", 1);
    picks(paths, n, "iq4_k_m", "https://hub/a/b/resolve/main/M-IQ4_K_M.gguf", 1);
    picks(paths, n, "bf16", "https://hub/a/b/resolve/main/BF16/M-BF16-00001-of-00002.gguf", 2);
    picks(paths, n, "Q2_K", "https://hub/a/b/resolve/main/Q2_K/M%20one.gguf", 1);
    picks(paths, n, "Q4", NULL, 0);
    picks(paths, 2, "", "https://hub/a/b/resolve/main/M-IQ4_K_M.gguf", 1); /* the only one */
    picks(paths, 1, "", NULL, 0);
    picks(&paths[6], 1, "bf16", NULL, 0); /* the second part alone */
}

static void test_foreign_listings(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "{}",
                                        "null",
                                        "[1,2,{}]",
                                        "[{\"type\":\"file\",\"path\":\"../../x.gguf\"}]",
                                        "[{\"type\":\"file\",\"path\":\".gguf\"}]",
                                        "[{\"type\":\"file\",\"path\":\"a/..gguf\"},{\"type\":\"file\",\"path\":7}]"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct hub_listing *l = hub_listing_create();
        struct hub_ref r = {.kind = HUB_HF, .repo = "a/b", .revision = "main"};
        struct hub_files f = {0};
        struct err e = {0};
        err_code code = hub_listing_add(l, texts[i], strlen(texts[i]), &e);
        if (code == ERR_OK && hub_listing_pick(l, &r, "https://hub", &f, &e) == ERR_OK) assert_string_equal(f.files[0].name, "x.gguf");
        hub_files_done(&f);
        hub_listing_free(l);
    }
}

static void test_manifest(void **state) {
    (void)state;
    static const char text[] =
        "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:" HASH "\",\"size\":42}]}";
    static const char two[] =
        "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\"},{\"mediaType\":\"application/vnd.ollama.image.model\"}]}";
    struct hub_ref r;
    struct hub_files f = {0};
    struct err e = {0};
    char url[HUB_MAX_ADDRESS];
    assert_int_equal(hub_ref_parse("ollama:me/tuned:8b", &r, &e), ERR_OK);
    hub_list_url(&r, "https://reg", url);
    assert_string_equal(url, "https://reg/v2/me/tuned/manifests/8b");
    assert_int_equal(hub_manifest_read(&r, "https://reg", text, strlen(text), &f, &e), ERR_OK);
    assert_string_equal(f.files[0].url, "https://reg/v2/me/tuned/blobs/sha256:" HASH);
    assert_string_equal(f.files[0].name, "me-tuned-8b.gguf");
    assert_int_equal(f.files[0].size, 42);
    assert_int_equal(f.n, 1);
    hub_files_done(&f);
    static const char sees[] =
        "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.projector\",\"digest\":\"sha256:" HASH
        "\",\"size\":7},{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:" HASH "\",\"size\":42}]}";
    assert_int_equal(hub_manifest_read(&r, "https://reg", sees, strlen(sees), &f, &e), ERR_OK);
    assert_int_equal(f.n, 2);
    assert_string_equal(f.files[0].name, "me-tuned-8b.gguf");
    assert_string_equal(f.files[1].name, "mmproj-me-tuned-8b.gguf");
    assert_int_equal(f.files[1].size, 7);
    hub_files_done(&f);
    assert_int_equal(hub_manifest_read(&r, "https://reg", two, strlen(two), &f, &e), ERR_UNSUPPORTED);
    assert_int_equal(hub_manifest_read(&r, "https://reg", "{}", 2, &f, &e), ERR_UNSUPPORTED);
    assert_int_equal(hub_manifest_read(&r, "https://reg", "[", 1, &f, &e), ERR_FORMAT);
}

static void test_plain_address(void **state) {
    (void)state;
    struct hub_ref r;
    struct hub_files f = {0};
    struct err e = {0};
    assert_int_equal(hub_ref_parse("https://x/d/M-00002-of-00003.gguf?t=1", &r, &e), ERR_OK);
    assert_int_equal(hub_url_files(&r, &f, &e), ERR_OK);
    assert_int_equal(f.n, 3);
    assert_string_equal(f.files[0].url, "https://x/d/M-00001-of-00003.gguf?t=1");
    assert_string_equal(f.files[2].name, "M-00003-of-00003.gguf");
    hub_files_done(&f);
    assert_int_equal(hub_ref_parse("https://x/d/", &r, &e), ERR_OK);
    assert_int_equal(hub_url_files(&r, &f, &e), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_pick),          cmocka_unit_test(test_foreign_listings),
        cmocka_unit_test(test_manifest),   cmocka_unit_test(test_plain_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
