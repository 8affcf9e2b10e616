/* SPDX-License-Identifier: MIT
 * The models folder: what is found in it, under which names, what is left out, and what changes when files come and go. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/catalog.h"

struct fixture {
    struct io_loop *loop;
    struct io_timer *timer;
    struct catalog *catalog;
    char folder[64];
    unsigned changes, want, n_gone, n_found; /* n_found: written by the catalog's thread */
    char gone[80];
};

static void on_changed(void *user) { ((struct fixture *)user)->changes++; }

static void on_found(void *user, const struct model_gguf *g) {
    (void)g;
    ((struct fixture *)user)->n_found++;
}

static void on_gone(void *user, const char *id) {
    struct fixture *f = user;
    f->n_gone++;
    snprintf(f->gone, sizeof(f->gone), "%s", id);
}

static void on_tick(void *user) {
    struct fixture *f = user;
    catalog_tick(f->catalog);
    if (f->changes >= f->want) io_loop_stop(f->loop);
}

static void setup(struct fixture *f) {
    *f = (struct fixture){.loop = io_loop_create()};
    snprintf(f->folder, sizeof(f->folder), "/tmp/caravan-catalog.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    const struct catalog_events events = {.user = f, .changed = on_changed, .found = on_found, .gone = on_gone};
    f->catalog = catalog_create(f->loop, f->folder, &events);
    f->timer = io_timer_open(f->loop, on_tick, f);
}

static void teardown(struct fixture *f) {
    catalog_free(f->catalog);
    io_timer_close(f->timer);
    io_loop_free(f->loop);
    DIR *dir = opendir(f->folder);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(f->folder), 0);
}

/* Until there has been one more change. */
static void look(struct fixture *f) {
    f->want = f->changes + 1;
    io_timer_start(f->timer, 1, 5);
    io_loop_run(f->loop);
    io_timer_stop(f->timer);
}

static void put(const struct fixture *f, const char *name, bool model) {
    const char *source = getenv("CARAVAN_SOURCE");
    assert_non_null(source);
    char *from = mem_printf("%s/models/caravan-demo.gguf", source), *to = mem_printf("%s/%s", f->folder, name);
    static char bytes[64 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    size_t len = model ? fread(bytes, 1, sizeof(bytes), in) : 8;
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_true(len < sizeof(bytes) && fclose(in) == 0 && fclose(out) == 0);
    free(from);
    free(to);
}

static void files_come_and_go(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    put(&f, "one.gguf", true);
    put(&f, ".hidden.gguf", true);
    put(&f, "text.txt", true);
    put(&f, "broken.gguf", false);
    assert_int_equal(catalog_count(f.catalog), 0);
    catalog_look(f.catalog);
    assert_true(f.changes == 1 && f.n_found == 1);
    assert_int_equal(catalog_count(f.catalog), 1);
    const struct catalog_entry *one = catalog_find(f.catalog, "one");
    assert_non_null(one);
    assert_string_equal(one->card.arch, "llama");
    assert_string_equal(one->card.quant, "Q8_0");
    assert_int_equal(one->card.n_layer, 8);
    assert_true(one->card.bytes > 1000000 && one->card.params > 1000000);
    assert_ptr_equal(catalog_find_id(f.catalog, one->card.id), one);
    assert_null(catalog_find(f.catalog, "broken"));
    put(&f, "two.gguf", true);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 2);
    assert_string_equal(catalog_get(f.catalog, 1)->card.name, "two");
    assert_null(catalog_get(f.catalog, 2));
    assert_int_equal(f.n_found, 2); /* one header more, none twice */
    struct err e = {0};
    assert_int_equal(catalog_remove(f.catalog, "three", &e), ERR_NOT_FOUND);
    assert_int_equal(catalog_remove(f.catalog, "one", &e), ERR_OK);
    assert_null(catalog_find(f.catalog, "one"));
    char *path = mem_printf("%s/one.gguf", f.folder);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
    assert_int_equal(f.n_gone, 0); /* "two" is the same model */
    char id[80];
    snprintf(id, sizeof(id), "%s", catalog_find(f.catalog, "two")->card.id);
    path = mem_printf("%s/two.gguf", f.folder);
    assert_int_equal(unlink(path), 0);
    free(path);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 0);
    assert_int_equal(f.n_gone, 1);
    assert_string_equal(f.gone, id);
    teardown(&f);
}

static void folders_in_it_and_other_spellings(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    char *folder = mem_printf("%s/owner", f.folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    put(&f, "owner/deep.GGUF", true);
    put(&f, "part-00002-of-00002.gguf", true);
    catalog_look(f.catalog);
    assert_int_equal(catalog_count(f.catalog), 1);
    assert_non_null(strstr(catalog_get(f.catalog, 0)->path, "/owner/deep.GGUF"));
    char *file = mem_printf("%s/deep.GGUF", folder);
    assert_true(unlink(file) == 0 && rmdir(folder) == 0);
    free(file);
    free(folder);
    teardown(&f);
}

static void a_named_file_stays_and_is_not_deleted(void **state) {
    (void)state;
    struct fixture f;
    struct model_card card = {.name = "named", .id = "0123"};
    struct err e = {0};
    setup(&f);
    catalog_add(f.catalog, "/elsewhere/named.gguf", &card);
    put(&f, "one.gguf", true);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 2);
    assert_true(catalog_find_id(f.catalog, "0123")->named);
    assert_int_equal(catalog_remove(f.catalog, "named", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "models folder"));
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_come_and_go), cmocka_unit_test(folders_in_it_and_other_spellings),
                                       cmocka_unit_test(a_named_file_stays_and_is_not_deleted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
