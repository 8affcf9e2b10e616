/* SPDX-License-Identifier: MIT
 * The list of models that clients see stays valid while the lists behind it are replaced. The allocator overwrites freed memory
 * (M_PERTURB), so a string that is not a copy shows. */
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
#include "calls/model_list.h"

/* The parts of a node that know models. */
struct place {
    struct io_loop *loop;
    struct news news;
    struct records records;
    struct coordinator *core;
    struct catalog *catalog;
    struct serve *serve;
    struct model_list *list;
};

static void nothing(void *user) { (void)user; }

static void own_record(void *user, struct record *ret) {
    (void)user;
    ret->id = 1;
}

/* folder: of models; NULL: none. */
static struct place *place_make(const char *folder, const struct catalog_events *with) {
    struct place *n = MEM_NEW(struct place);
    struct catalog_events events = *with;
    events.user = n;
    n->loop = io_loop_create();
    news_init(&n->news, n->loop, nothing, NULL);
    n->core = coordinator_create(1, 1);
    n->catalog = catalog_create(n->loop, folder, NULL, &events);
    n->serve = serve_create(&(struct serve_parts){
        .self = 1, .core = n->core, .records = &n->records, .news = &n->news, .callbacks = {.own_record = own_record}});
    n->list = model_list_create(&(struct model_list_parts){.instances = {.self = 1, .core = n->core, .records = &n->records},
                                                           .catalog = n->catalog,
                                                           .serve = n->serve,
                                                           .load_on_demand = true,
                                                           .news = &n->news});
    return n;
}

static void place_gone(struct place *n) {
    records_done(&n->records);
    news_done(&n->news);
    model_list_free(n->list);
    catalog_free(n->catalog);
    coordinator_free(n->core);
    serve_free(n->serve);
    io_loop_free(n->loop);
    free(n);
}

static void on_looked(void *user) { io_loop_stop(((struct place *)user)->loop); }

static void on_changed(void *user) { news_own(&((struct place *)user)->news); }

static void on_found(void *user, struct weights_model *m) {
    (void)user;
    weights_model_free(m);
}

static void on_gone(void *user, const char *id) {
    (void)user;
    (void)id;
}

static const struct catalog_events events = {.looked = on_looked, .changed = on_changed, .found = on_found, .gone = on_gone};

static void look(struct place *n) {
    catalog_look(n->catalog);
    io_loop_run(n->loop);
}

static void has_only_demo(struct place *n) {
    size_t count;
    const struct backend_model *models = model_list_get(n->list, &count);
    assert_int_equal(count, 1);
    assert_string_equal(models[0].id, "demo");
    assert_string_equal(models[0].message, "it is not loaded");
}

static void a_folder_that_is_looked_through_again(void **state) {
    (void)state;
    char folder[] = "/tmp/caravan-models.XXXXXX";
    assert_non_null(mkdtemp(folder));
    const char *source = getenv("CARAVAN_SOURCE");
    assert_non_null(source);
    char *from = mem_printf("%s/models/caravan-demo.gguf", source), *to = mem_printf("%s/demo.gguf", folder);
    assert_int_equal(symlink(from, to), 0);
    struct place *n = place_make(folder, &events);
    look(n);
    has_only_demo(n);
    uint64_t news = n->news.count;
    look(n); /* nothing has changed */
    assert_int_equal(n->news.count, news);
    has_only_demo(n);
    const struct model_card card = {.name = "named", .id = "0123"};
    news = n->news.count;
    for (int i = 0; i < 20; i++) catalog_add(n->catalog, "/elsewhere/named.gguf", &card); /* the list grows, and moves */
    assert_true(n->news.count > news);
    size_t count;
    const struct backend_model *models = model_list_get(n->list, &count);
    assert_int_equal(count, 2);
    assert_string_equal(models[0].id, "demo");
    assert_string_equal(models[1].id, "named");
    assert_true(unlink(to) == 0 && rmdir(folder) == 0);
    free(from);
    free(to);
    place_gone(n);
}

/* Of two stages one has loaded by 40 %, and of the other one its node has not spoken yet. */
static void a_model_that_loads_says_how_far_it_is(void **state) {
    (void)state;
    struct place *n = place_make(NULL, &events);
    struct record *r = MEM_NEW(struct record);
    r->id = 2;
    r->n_models = r->n_stages = 1;
    r->models[0].n_stage = 2;
    r->stages[0] = (struct record_stage){.phase = STAGE_LOADING, .progress = 40};
    snprintf(r->models[0].name, sizeof(r->models[0].name), "far");
    snprintf(r->models[0].instance, sizeof(r->models[0].instance), "far-1");
    snprintf(r->stages[0].instance, sizeof(r->stages[0].instance), "far-1");
    records_put(&n->records, r, true, 0);
    news_other(&n->news);
    size_t count;
    const struct backend_model *models = model_list_get(n->list, &count);
    assert_true(count == 1 && !models[0].ready);
    assert_int_equal(models[0].progress, 20);
    place_gone(n);
}

static void a_record_that_is_replaced(void **state) {
    (void)state;
    struct place *n = place_make(NULL, &events);
    struct record *r = MEM_NEW(struct record);
    r->n_models = 1;
    r->models[0].ready = true;
    r->models[0].chat_template = mem_strdup("{{ messages }}");
    snprintf(r->models[0].name, sizeof(r->models[0].name), "far");
    snprintf(r->models[0].bos, sizeof(r->models[0].bos), "<s>");
    records_put(&n->records, r, true, 0);
    news_other(&n->news);
    size_t count;
    const struct backend_model *models = model_list_get(n->list, &count);
    assert_int_equal(count, 1);
    records_free_one(records_take(&n->records, r->id)); /* another record replaces it before anyone asks for the models again */
    assert_string_equal(models[0].id, "far");
    assert_string_equal(models[0].chat_template, "{{ messages }}");
    assert_string_equal(models[0].bos, "<s>");
    news_other(&n->news);
    model_list_get(n->list, &count);
    assert_int_equal(count, 0);
    place_gone(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_folder_that_is_looked_through_again),
                                       cmocka_unit_test(a_model_that_loads_says_how_far_it_is),
                                       cmocka_unit_test(a_record_that_is_replaced)};
    mallopt(M_PERTURB, 0xA5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
