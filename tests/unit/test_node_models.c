/* SPDX-License-Identifier: MIT
 * The models as clients see them stay whole while the lists that they come from are replaced. What is freed is overwritten by the
 * allocator (M_PERTURB), so that a string which is not a copy shows. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/calls.h"
#include "node/calls_priv.h"

static struct node *node_of(const struct node_config *config) {
    struct node *n = MEM_NEW(struct node);
    n->config = config;
    n->loop = io_loop_create();
    n->calls = calls_create(n);
    serve_create(n, 1);
    return n;
}

static void node_gone(struct node *n) {
    catalog_free(n->catalog);
    serve_free(n);
    calls_free(n->calls);
    io_loop_free(n->loop);
    free(n);
}

static void on_looked(void *user) { io_loop_stop(((struct node *)user)->loop); }

static void on_changed(void *user) { ((struct node *)user)->news++; }

static void on_found(void *user, struct weights_model *m) {
    (void)user;
    weights_model_free(m);
}

static void on_gone(void *user, const char *id) {
    (void)user;
    (void)id;
}

static void look(struct node *n) {
    catalog_look(n->catalog);
    io_loop_run(n->loop);
}

static void has_only_demo(struct node *n) {
    size_t count;
    const struct backend_model *models = calls_models(n, &count);
    assert_int_equal(count, 1);
    assert_string_equal(models[0].id, "demo");
    assert_string_equal(models[0].message, "it is not loaded");
}

static void a_folder_that_is_looked_through_again(void **state) {
    (void)state;
    const struct node_config config = {.load_on_demand = true};
    struct node *n = node_of(&config);
    char folder[] = "/tmp/caravan-models.XXXXXX";
    assert_non_null(mkdtemp(folder));
    const char *source = getenv("CARAVAN_SOURCE");
    assert_non_null(source);
    char *from = mem_printf("%s/models/caravan-demo.gguf", source), *to = mem_printf("%s/demo.gguf", folder);
    assert_int_equal(symlink(from, to), 0);
    const struct catalog_events events = {.user = n, .looked = on_looked, .changed = on_changed, .found = on_found, .gone = on_gone};
    n->catalog = catalog_create(n->loop, folder, NULL, &events);
    look(n);
    has_only_demo(n);
    uint64_t news = n->news;
    look(n); /* nothing has changed */
    assert_int_equal(n->news, news);
    has_only_demo(n);
    const struct model_card card = {.name = "named", .id = "0123"};
    news = n->news;
    for (int i = 0; i < 20; i++) catalog_add(n->catalog, "/elsewhere/named.gguf", &card); /* the list grows, and moves */
    assert_true(n->news > news);
    size_t count;
    const struct backend_model *models = calls_models(n, &count);
    assert_int_equal(count, 2);
    assert_string_equal(models[0].id, "demo");
    assert_string_equal(models[1].id, "named");
    assert_true(unlink(to) == 0 && rmdir(folder) == 0);
    free(from);
    free(to);
    node_gone(n);
}

static void a_record_that_is_replaced(void **state) {
    (void)state;
    const struct node_config config = {.load_on_demand = true};
    struct node *n = node_of(&config);
    const struct catalog_events events = {.user = n, .looked = on_looked, .changed = on_changed, .found = on_found, .gone = on_gone};
    n->catalog = catalog_create(n->loop, NULL, NULL, &events);
    struct record *r = MEM_NEW(struct record);
    r->n_models = 1;
    r->models[0].ready = true;
    r->models[0].chat_template = mem_strdup("{{ messages }}");
    snprintf(r->models[0].name, sizeof(r->models[0].name), "far");
    snprintf(r->models[0].bos, sizeof(r->models[0].bos), "<s>");
    n->records[n->n_records++] = r;
    n->news++;
    size_t count;
    const struct backend_model *models = calls_models(n, &count);
    assert_int_equal(count, 1);
    n->n_records = 0; /* another one comes, and nobody has asked yet for the models with it */
    record_done(r);
    free(r);
    assert_string_equal(models[0].id, "far");
    assert_string_equal(models[0].chat_template, "{{ messages }}");
    assert_string_equal(models[0].bos, "<s>");
    n->news++;
    calls_models(n, &count);
    assert_int_equal(count, 0);
    node_gone(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_folder_that_is_looked_through_again),
                                       cmocka_unit_test(a_record_that_is_replaced)};
    mallopt(M_PERTURB, 0xA5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
