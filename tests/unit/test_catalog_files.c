/* SPDX-License-Identifier: MIT
 * Models' headers are read in threads, beside the loop: from files that hang (they have a lease, fcntl(2)), from paths that are no files,
 * and for several askers at once. */
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
#include "catalog/files.h"

/* The parts of a node that read and serve files. */
struct place {
    struct io_loop *loop;
    struct catalog *catalog;
    struct weights_server *weights;
    struct files *files;
    bool stopping;
};

struct asked {
    struct place *n;
    struct serve_file *file;
    struct err err;
    unsigned answers;
};

static void on_opened(void *user, struct serve_file *f, const struct err *e) {
    struct asked *a = user;
    a->file = f;
    a->err = *e;
    a->answers++;
    if (!a->n->stopping) io_loop_stop(a->n->loop);
}

static void await_answer(struct asked *a) {
    while (a->answers == 0) io_loop_run(a->n->loop);
    assert_int_equal(a->answers, 1);
}

static void nothing(void *user) { (void)user; }

static struct place *place_make(void) {
    static const uint8_t secret[IO_SIGN_SECRET_SIZE];
    static const struct catalog_events events = {.changed = nothing};
    struct place *n = MEM_NEW(struct place);
    n->loop = io_loop_create();
    n->catalog = catalog_create(n->loop, NULL, NULL, &events);
    n->weights = weights_server_create(NULL, secret, NULL);
    n->files = files_create(&(struct files_parts){.loop = n->loop, .catalog = n->catalog, .weights = n->weights});
    return n;
}

static void place_gone(struct place *n) {
    files_stop(n->files);
    catalog_free(n->catalog);
    weights_server_free(n->weights);
    files_free(n->files);
    io_loop_free(n->loop);
    free(n);
}

struct world {
    char folder[64], model[96], slow[96], pipe[96];
    int lease; /* of slow; -1: there are no leases here */
};

static void copy(const char *from, const char *to) {
    static char bytes[64 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_true(len < sizeof(bytes) && fclose(in) == 0 && fclose(out) == 0);
}

static void world_make(struct world *w) {
    const char *source = getenv("CARAVAN_SOURCE");
    char demo[512];
    *w = (struct world){.folder = "/tmp/caravan-opening.XXXXXX"};
    assert_true(source != NULL && mkdtemp(w->folder) != NULL);
    snprintf(demo, sizeof(demo), "%s/models/caravan-demo.gguf", source);
    snprintf(w->model, sizeof(w->model), "%s/demo.gguf", w->folder);
    snprintf(w->slow, sizeof(w->slow), "%s/slow.gguf", w->folder);
    snprintf(w->pipe, sizeof(w->pipe), "%s/pipe.gguf", w->folder);
    copy(demo, w->model);
    copy(demo, w->slow);
    assert_int_equal(mkfifo(w->pipe, 0600), 0);
    signal(SIGIO, SIG_IGN);
    w->lease = open(w->slow, O_RDWR | O_CLOEXEC);
    if (fcntl(w->lease, F_SETLEASE, F_WRLCK) == 0) return;
    close(w->lease);
    w->lease = -1;
}

static void world_gone(struct world *w) {
    if (w->lease >= 0) close(w->lease);
    assert_true(unlink(w->model) == 0 && unlink(w->slow) == 0 && unlink(w->pipe) == 0 && rmdir(w->folder) == 0);
}

static void several_ask_for_one_file(void **state) {
    (void)state;
    struct world w;
    struct place *n = place_make();
    world_make(&w);
    struct asked first = {.n = n}, second = {.n = n}, later = {.n = n};
    files_open(n->files, w.model, on_opened, &first);
    files_open(n->files, w.model, on_opened, &second);
    await_answer(&first);
    await_answer(&second);
    assert_non_null(first.file);
    assert_ptr_equal(first.file, second.file);
    assert_string_equal(first.file->card.name, "demo");
    assert_non_null(catalog_find(n->catalog, "demo"));
    assert_ptr_equal(files_find_id(n->files, first.file->card.id), first.file);
    files_open(n->files, w.model, on_opened, &later);
    await_answer(&later);
    assert_ptr_equal(later.file, first.file); /* it is read again, since it may be another one now; it isn't */
    place_gone(n);
    world_gone(&w);
}

static void what_is_no_model_is_named(void **state) {
    (void)state;
    struct world w;
    struct place *n = place_make();
    world_make(&w);
    struct asked pipe = {.n = n}, missing = {.n = n};
    alarm(20);
    files_open(n->files, w.pipe, on_opened, &pipe);
    await_answer(&pipe);
    alarm(0);
    assert_null(pipe.file);
    assert_int_equal(pipe.err.code, ERR_INVALID);
    assert_non_null(strstr(pipe.err.text, "pipe.gguf\": it is a pipe, not a file"));
    files_open(n->files, "/nowhere/x.gguf", on_opened, &missing);
    await_answer(&missing);
    assert_int_equal(missing.err.code, ERR_NOT_FOUND);
    place_gone(n);
    world_gone(&w);
}

static void a_file_that_hangs_stops_no_other(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    if (w.lease >= 0) {
        struct place *n = place_make();
        struct asked slow = {.n = n}, quick = {.n = n}, last = {.n = n};
        files_open(n->files, w.slow, on_opened, &slow);
        files_open(n->files, w.model, on_opened, &quick);
        await_answer(&quick);
        assert_non_null(quick.file);
        assert_int_equal(slow.answers, 0);
        assert_int_equal(fcntl(w.lease, F_SETLEASE, F_UNLCK), 0);
        await_answer(&slow);
        assert_non_null(slow.file);
        assert_int_equal(fcntl(w.lease, F_SETLEASE, F_WRLCK), 0);
        files_open(n->files, w.slow, on_opened, &last);
        n->stopping = true;
        files_stop(n->files); /* the end doesn't wait for it */
        assert_int_equal(last.answers, 1);
        assert_int_equal(last.err.code, ERR_UNAVAILABLE);
        place_gone(n);
    } else {
        print_message("skipped: no leases here\n");
    }
    world_gone(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(several_ask_for_one_file), cmocka_unit_test(what_is_no_model_is_named),
                                       cmocka_unit_test(a_file_that_hangs_stops_no_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
