/* SPDX-License-Identifier: MIT
 * The models folder: which models are found in it, under which names, which files are left out, and how the list follows the files. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
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
#include "catalog/catalog.h"

#define ANY SIZE_MAX

struct fixture {
    struct io_loop *loop;
    struct io_timer *timer;
    struct catalog *catalog;
    char folder[64];
    unsigned looks, want, changes, n_gone, n_found;
    size_t models; /* the loop runs until so many are known */
    char gone[80];
    bool answered, waits; /* catalog_remove has; the loop runs until then */
    err_code code;
    struct err err;
};

static void on_looked(void *user) { ((struct fixture *)user)->looks++; }
static void on_changed(void *user) { ((struct fixture *)user)->changes++; }

static void on_found(void *user, struct weights_model *m) {
    ((struct fixture *)user)->n_found++;
    weights_model_free(m);
}

static void on_gone(void *user, const char *id) {
    struct fixture *f = user;
    f->n_gone++;
    snprintf(f->gone, sizeof(f->gone), "%s", id);
}

static void on_tick(void *user) {
    struct fixture *f = user;
    if (f->looks >= f->want && (f->models == ANY || catalog_count(f->catalog) == f->models)) io_loop_stop(f->loop);
    else catalog_tick(f->catalog);
}

static void setup(struct fixture *f) {
    *f = (struct fixture){.loop = io_loop_create()};
    snprintf(f->folder, sizeof(f->folder), "/tmp/caravan-catalog.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    const struct catalog_events events = {.user = f, .looked = on_looked, .changed = on_changed, .found = on_found, .gone = on_gone};
    f->catalog = catalog_create(f->loop, f->folder, NULL, &events);
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

/* Until the folder has been looked through once more, because it has changed, and so many models were seen in it: a look that ran already
 * when the folder changed may have missed the change, and another one follows then. */
static void see(struct fixture *f, size_t models) {
    f->want = f->looks + 1;
    f->models = models;
    io_timer_start(f->timer, 1, 5);
    io_loop_run(f->loop);
    io_timer_stop(f->timer);
}

/* The same, changed or not. */
static void look(struct fixture *f) {
    catalog_look(f->catalog);
    see(f, ANY);
}

static void on_removed(void *user, err_code code, const char *name, const struct err *e) {
    (void)name;
    struct fixture *f = user;
    f->answered = true;
    f->code = code;
    f->err = *e;
    if (f->waits) io_loop_stop(f->loop);
}

static err_code remove_model(struct fixture *f, const char *name) {
    f->answered = f->waits = false;
    catalog_remove(f->catalog, name, on_removed, f);
    f->waits = !f->answered;
    if (f->waits) io_loop_run(f->loop);
    return f->code;
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
    look(&f);
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
    see(&f, 2);
    assert_string_equal(catalog_get(f.catalog, 1)->card.name, "two");
    assert_null(catalog_get(f.catalog, 2));
    assert_int_equal(f.n_found, 2); /* one header more, none twice */
    assert_int_equal(remove_model(&f, "three"), ERR_NOT_FOUND);
    assert_int_equal(remove_model(&f, "one"), ERR_OK);
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
    see(&f, 0);
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
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 1);
    assert_non_null(strstr(catalog_get(f.catalog, 0)->path, "/owner/deep.GGUF"));
    put(&f, "owner/another.gguf", true);
    see(&f, 2); /* a change in a folder in it is seen as soon */
    assert_int_equal(remove_model(&f, "another"), ERR_OK);
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
    setup(&f);
    catalog_add(f.catalog, "/elsewhere/named.gguf", &card);
    put(&f, "one.gguf", true);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 2);
    assert_true(catalog_find_id(f.catalog, "0123")->named);
    assert_int_equal(remove_model(&f, "named"), ERR_INVALID);
    assert_non_null(strstr(f.err.text, "models folder"));
    teardown(&f);
}

/* Opening a file blocks while another process has a lease on it (fcntl(2)), as it does on a network file system that hangs. */
static void a_file_that_hangs_stops_nothing(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    put(&f, "one.gguf", true);
    look(&f);
    put(&f, "slow.gguf", true);
    char *path = mem_printf("%s/slow.gguf", f.folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    signal(SIGIO, SIG_IGN);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
        print_message("skipped: no leases here\n");
    } else {
        unsigned looks = f.looks;
        catalog_look(f.catalog);
        f.want = 0;
        f.models = ANY;
        for (int i = 0; i < 20; i++) { /* the loop turns */
            io_timer_start(f.timer, 1, 0);
            io_loop_run(f.loop);
        }
        assert_int_equal(f.looks, looks);
        assert_non_null(catalog_find(f.catalog, "one"));
        assert_int_equal(remove_model(&f, "one"), ERR_OK); /* as for a file that doesn't hang */
        assert_null(catalog_find(f.catalog, "one"));
        assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
        see(&f, 1); /* the folder has changed since that look: another look follows */
        assert_null(catalog_find(f.catalog, "one"));
        assert_non_null(catalog_find(f.catalog, "slow"));
    }
    close(fd);
    free(path);
    teardown(&f);
}

/* A broken file is reported only at the second look, since it may be in the middle of being written. */
static void broken_files_are_named(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    char *path = mem_printf("%s/pipe.gguf", f.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    put(&f, "one.gguf", true);
    put(&f, "broken.gguf", false);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 1);
    assert_false(catalog_get_bad(f.catalog, 0)->settled);
    look(&f);
    bool pipe = false, broken = false;
    const struct catalog_bad *bad;
    for (size_t i = 0; (bad = catalog_get_bad(f.catalog, i)) != NULL; i++) {
        assert_true(bad->settled);
        pipe |= strstr(bad->path, "pipe.gguf") && strstr(bad->why, "it is a pipe");
        broken |= strstr(bad->path, "broken.gguf") && strstr(bad->why, "broken.gguf");
    }
    assert_true(pipe && broken);
    free(path);
    teardown(&f);
}

static void too_many_files_are_counted(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    for (int i = 0; i < CATALOG_MAX + 3; i++) {
        char *path = mem_printf("%s/%d.gguf", f.folder, i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && close(fd) == 0);
        free(path);
    }
    look(&f);
    assert_int_equal(catalog_left_out(f.catalog), 3);
    teardown(&f);
}

/* Another model: its header is another one. */
static void put_other(const struct fixture *f, const char *name) {
    put(f, name, true);
    char *path = mem_printf("%s/%s", f->folder, name);
    static char bytes[4096];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
    char *at = memmem(bytes, sizeof(bytes), "Caravan demo", 12);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "Carovan demo", 12, at - bytes), 12);
    close(fd);
    free(path);
}

static void a_name_stands_for_one_model(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    char *folder = mem_printf("%s/a", f.folder), *file = mem_printf("%s/a/x.gguf", f.folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    put(&f, "x.gguf", true);
    put_other(&f, "a/x.gguf");
    put(&f, "caf\xE9.gguf", true);
    look(&f);
    assert_int_equal(catalog_count(f.catalog), 3);
    const struct catalog_entry *x = catalog_find(f.catalog, "x"), *other = catalog_find_path(f.catalog, file);
    char tagged[MODEL_NAME_SIZE], name[MODEL_NAME_SIZE];
    assert_null(strstr(x->path, "/a/")); /* in fewer folders */
    assert_string_not_equal(other->card.id, x->card.id);
    model_card_tag("x", other->card.id, tagged, sizeof(tagged));
    assert_string_equal(other->card.name, tagged);
    assert_non_null(catalog_find(f.catalog, "caf_"));
    struct model_card card = other->card;
    snprintf(card.name, sizeof(card.name), "x");
    catalog_name(f.catalog, file, &card, name);
    assert_string_equal(name, tagged);
    catalog_name(f.catalog, "/elsewhere/x.gguf", &card, name);
    assert_string_equal(name, tagged);
    assert_int_equal(remove_model(&f, "x"), ERR_OK); /* then the other one has the name */
    assert_string_equal(catalog_find(f.catalog, "x")->path, file);
    assert_true(unlink(file) == 0 && rmdir(folder) == 0);
    free(folder);
    free(file);
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_come_and_go),
                                       cmocka_unit_test(folders_in_it_and_other_spellings),
                                       cmocka_unit_test(a_named_file_stays_and_is_not_deleted),
                                       cmocka_unit_test(a_file_that_hangs_stops_nothing),
                                       cmocka_unit_test(broken_files_are_named),
                                       cmocka_unit_test(too_many_files_are_counted),
                                       cmocka_unit_test(a_name_stands_for_one_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
