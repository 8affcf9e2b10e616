/* SPDX-License-Identifier: MIT
 * Plans on paper: sizes of named models, models that fit a fleet, fleets in words, a slice's need compared with model/estimate, golden
 * plans. CARAVAN_GOLDEN=write replaces the golden files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "paper/fleet.h"
#include "plan/model.h"
#include "paper/shapes.h"
#include "model/types.h"

struct model {
    struct model_gguf *g;
    struct model_layout *l;
    struct plan_source *s;
};

static const struct model_load_shape usual = {
    .n_ctx = 4096, .n_seq = 1, .n_ubatch = 512, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16};

static struct model open_shape(const char *name) {
    struct model m = {0};
    struct err e = {0};
    if (shapes_open(name, &m.g, &e) != ERR_OK || model_layout_create(m.g, &m.l, &e) != ERR_OK) fail_msg("%s: %s", name, e.text);
    m.s = plan_source_create(m.l, &usual, name);
    return m;
}

static void close_model(struct model *m) {
    plan_source_free(m->s);
    model_layout_free(m->l);
    model_gguf_free(m->g);
}

/* Published sizes of GGUF files, in 10^9 bytes, within 3 %. */
static void sizes_of_named_models(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double gb;
    } known[] = {
        {"llama-70b:q4_k_m", 42.5},      {"llama-70b:q8_0", 75.0},       {"llama-8b:q4_k_m", 4.92},
        {"llama-8b:q8_0", 8.54},         {"llama-8b:f16", 16.07},        {"llama-405b:q4_k_m", 243},
        {"qwen3-235b-a22b:q4_k_m", 142}, {"qwen3-30b-a3b:q4_k_m", 18.6}, {"deepseek-v3:q8_0", 713},
        {"deepseek-v3:q4_k_m", 404},     {"mixtral-8x7b:q4_k_m", 28.4},  {"mistral-small:q4_k_m", 14.3},
        {"gpt-oss-20b:mxfp4", 12.1},     {"gpt-oss-120b:mxfp4", 63.4},   {"kimi-k2:q4_k_m", 621},
        {"qwen2.5-72b:q4_k_m", 47.4},    {"llama2-7b:q4_0", 3.83},       {"gemma3-27b:q4_k_m", 16.5},
        {"llama2-7b:q4_k_m", 4.08},      {"qwen3-32b:q6_k", 26.9},       {"llama-8b:q2_k", 3.18},
        {"llama-8b:q3_k_m", 4.02},       {"llama-8b:q5_k_m", 5.73},      {"qwen3-4b:q4_k_m", 2.50},
        {"qwen3-0.6b:q8_0", 0.639},      {"qwen3-1.7b:q8_0", 1.83},      {"gemma3-4b:q4_k_m", 2.49},
        {"gpt-oss-20b", 12.1},           {"gemma4-e2b:q4_k_m", 3.45},    {"qwen3-coder-480b-a35b:q4_k_m", 290},
        {"llama-3.3-70b:q4_k_m", 42.5},  {"phi-4:q4_k_m", 9.05},         {"phi-4:q8_0", 15.6},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct model m = open_shape(known[i].name);
        double off = (double)m.l->bytes_total / 1e9 / known[i].gb - 1;
        if (off > 0.03 || off < -0.03)
            print_error("%s: %.2f GB, published %.2f\n", known[i].name, (double)m.l->bytes_total / 1e9, known[i].gb);
        assert_true(off < 0.03 && off > -0.03);
        close_model(&m);
    }
}

/* Parameters, in 10^9, as the models' makers say: within 4 % (they round, and count what GGUFs leave out). */
static void parameters_of_named_models(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double billions;
    } known[] = {
        {"qwen3-next-80b-a3b", 80},
        {"qwen3.5-4b", 4.2},
        {"qwen3.5-9b", 9},
        {"qwen3.6-27b", 27},
        {"qwen3.6-35b-a3b", 35},
        {"qwen3.5-122b-a10b", 122},
        {"qwen3.5-397b-a17b", 397},
        {"gemma4-31b", 30.7},
        {"gemma4-26b-a4b", 25.2},
        {"gemma4-12b", 12},
        {"gemma4-e2b", 4.6}, /* the text model, as its GGUF says */
        {"gemma4-e4b", 7.5},
        {"llama4-scout", 109},
        {"llama4-maverick", 400},
        {"glm-4.7-flash", 30},
        {"glm-5", 744},
        {"minimax-m3", 428},
        {"minimax-m2", 229},
        {"deepseek-v3.2", 671},
        {"deepseek-v4-flash", 284},
        {"deepseek-v4-pro", 1600},
        {"kimi-k3", 2800},
        {"kimi-k2.5", 1026},
        {"mistral-small-4", 119},
        {"mistral-large-3", 675},
        {"devstral-2", 125},
        {"nemotron-3-nano", 31.6},
        {"nemotron-3-super", 120},
        {"glm-4.6", 355},
        {"qwen3-235b-a22b", 235},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct model m = open_shape(known[i].name);
        double sum = 0;
        for (size_t k = 0; k < model_gguf_n_tensors(m.g); k++) {
            const struct model_tensor *t = model_gguf_tensor(m.g, k);
            sum += (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2] / 1e9;
        }
        double off = sum / known[i].billions - 1;
        if (off > 0.04 || off < -0.04) print_error("%s: %.2f, published %.1f\n", known[i].name, sum, known[i].billions);
        assert_true(off < 0.04 && off > -0.04);
        close_model(&m);
    }
}

static err_code plan_on(const char *model, const char *fleet, struct plan *ret, struct buf *text) {
    struct model m = open_shape(model);
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e = {0};
    assert_int_equal(fleet_parse(fleet, f, &e), ERR_OK);
    struct plan_wish w = {.link = fleet_link, .link_user = f};
    const struct plan_model *pm = plan_source_model(m.s);
    err_code code = plan_make(pm, f->nodes, f->n, &w, ret, &e);
    if (text && code == ERR_OK) {
        plan_explain(ret, pm, f->nodes, text);
        plan_explain_figures(ret, pm, f->nodes, &w, text);
        plan_explain_left_out(ret, pm, f->nodes, f->n, &w, text);
        plan_advise(ret, pm, f->nodes, f->n, &w, text);
    } else if (text) {
        buf_printf(text, "%s\nhint: %s\n", e.text, e.hint);
    }
    free(f);
    close_model(&m);
    return code;
}

static void the_two_known_facts(void **state) {
    (void)state;
    struct plan p;
    struct model m = open_shape("llama-70b:q4_k_m");
    assert_true(m.l->bytes_total > 38e9 && m.l->bytes_total < 43e9);
    close_model(&m);
    assert_int_equal(plan_on("deepseek-v3:q8_0", "8xmac-mini-m4-64,gbe", &p, NULL), ERR_NO_ROOM);
    /* It runs on eight where macOS is told to give the GPU more than three quarters. */
    assert_int_equal(plan_on("deepseek-v3:q4_k_m", "8xmac-mini-m4-64,gbe", &p, NULL), ERR_NO_ROOM);
    assert_int_equal(plan_on("deepseek-v3:q4_k_m", "9xmac-mini-m4-64,gbe", &p, NULL), ERR_OK);
    assert_int_equal(p.n_stage, 9);
}

/* The plan's sum over single layers equals the estimate of model/estimate for every slice, or is a little more. */
static void needs_are_those_of_the_estimate(void **state) {
    (void)state;
    static const char *const names[] = {"llama-8b", "gpt-oss-20b", "gemma3-12b", "deepseek-v3:q2_k", "llama-1b:f16", "qwen3-30b-a3b"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct model m = open_shape(names[i]);
        const struct plan_model *pm = plan_source_model(m.s);
        for (uint32_t first = 0; first < m.l->n_layer; first++)
            for (uint32_t end = first + 1; end <= m.l->n_layer; end++) {
                uint64_t want = model_estimate_slice(m.l, first, end, &usual).total, is = pm->need(pm->user, first, end);
                if (is != want)
                    fail_msg("%s %u-%u: %llu, estimate %llu", names[i], first, end, (unsigned long long)is, (unsigned long long)want);
            }
        close_model(&m);
    }
}

static void corrections_move_the_need(void **state) {
    (void)state;
    struct model m = open_shape("llama-8b");
    const struct plan_model *pm = plan_source_model(m.s);
    struct model_estimate est = model_estimate_slice(m.l, 4, 12, &usual);
    plan_source_correct(m.s, 1.5, 2);
    assert_true(pm->need(pm->user, 4, 12) - est.total - est.kv / 2 - est.compute <= 2);
    plan_source_correct(m.s, 1, 100); /* absurd: kept within bounds */
    assert_int_equal(pm->need(pm->user, 4, 12), est.total + est.compute);
    close_model(&m);
}

static void fleets_in_words(void **state) {
    (void)state;
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e = {0};
    assert_int_equal(fleet_parse("2xrtx3090-24+1xpc-ddr5-64,10gbe", f, &e), ERR_OK);
    assert_int_equal(f->n, 3);
    assert_true(f->nodes[0].devices[0].gpu && !f->nodes[2].devices[0].gpu);
    assert_int_equal(f->nodes[2].memory, (uint64_t)56 << 30);
    assert_true(fleet_link(f, 1, 3).rtt_s > 0.00009 && fleet_link(f, 1, 3).rtt_s < 0.00011);
    assert_true(fleet_link(f, 1, 9).rtt_s == 0);
    assert_int_equal(fleet_parse("pc-ddr5-64/2xrtx3090-24", f, &e), ERR_OK);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->nodes[0].n_devices, 3);
    assert_int_equal(fleet_parse("RTX3090", f, &e), ERR_OK); /* there is one size of it */
    static const char *const bad[][2] = {{"rtx309-24", "rtx3090"},           {"m4-max-64", "mac-m4-max"},
                                         {"mac-mini-m4-640", "mac-mini-m4"}, {"mac-mini-m4", "16 to 32"},
                                         {"8x", "8xmac-mini-m4-64"},         {"mac-m1-16,gbee", "gbe"},
                                         {"mac-m1-16@wifi", "wifi6"},        {"", "8xmac-mini-m4-64"},
                                         {"pc-ddr5-64/9xrtx3090-24", ""},    {"65xpi5-8", ""},
                                         {"2xrtx-4090", "mean rtx4090-24"},  {"RTX 4090", "mean rtx4090-24"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        e = (struct err){0};
        assert_int_not_equal(fleet_parse(bad[i][0], f, &e), ERR_OK);
        if (!strstr(e.hint, bad[i][1])) fail_msg("\"%s\": %s / %s", bad[i][0], e.text, e.hint);
    }
    free(f);
}

static bool near(double a, double b) { return a > b * 0.999 && a < b * 1.001; }

static void own_hardware(void **state) {
    (void)state;
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e = {0};
    assert_int_equal(fleet_parse("2xmine:24GB@900GB/s,tflops=40,kind=card+pc-ddr5-64/box:8G@0.25TB/s,eff=1,us=50@wifi6,10gbe", f, &e),
                     ERR_OK);
    assert_int_equal(f->n, 3);
    const struct plan_device *d = &f->nodes[0].devices[0];
    assert_string_equal(f->nodes[1].name, "mine-2");
    assert_true(d->gpu && near(d->bandwidth, 720e9) && near(d->flops, 40e12));
    assert_int_equal(d->memory, (uint64_t)24 * 15 << 26); /* a sixteenth less, as a node offers it */
    d = &f->nodes[2].devices[1];
    assert_true(near(d->bandwidth, 250e9) && near(d->layer_s, 50e-6) && d->flops > 0);
    assert_int_equal(d->memory, (uint64_t)7 << 30);
    assert_true(near(fleet_link(f, 1, 2).rtt_s, 0.0001)); /* 10gbe */
    assert_true(near(fleet_link(f, 1, 3).rtt_s, (0.0001 + 0.003) / 2) && near(fleet_link(f, 3, 1).throughput, 700e6 / 8));
    static const char *const bad[][2] = {{"mine:24GB", "bandwidth is missing"},
                                         {"mine:24GB@fast", "not a bandwidth: \"fast\""},
                                         {"mine:lots@900GB/s", "not a size of memory: \"lots\""},
                                         {":24GB@900GB/s", "no name"},
                                         {"mine:24GB@900GB/s,tflop=40", "\"tflop\""},
                                         {"mine:24GB@900GB/s,tflops=many", "\"many\""},
                                         {"mine:24GB@900GB/s,kind=tpu", "\"tpu\""},
                                         {"mine:24GB@900GB/s,eff=2", "\"eff\""},
                                         {"mine:24GB@-3GB/s", "\"-3GB/s\""},
                                         {"mine:24GB@900GB/s@wifi", "no link is called \"wifi\""}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        e = (struct err){0};
        assert_int_equal(fleet_parse(bad[i][0], f, &e), ERR_INVALID);
        if (!strstr(e.text, bad[i][1]) || !e.hint[0]) fail_msg("\"%s\": %s / %s", bad[i][0], e.text, e.hint);
    }
    free(f);
}

static err_code from_json(const char *text, struct fleet *f, struct err *e) {
    yyjson_doc *doc;
    *e = (struct err){0};
    assert_int_equal(json_parse(text, strlen(text), &doc, e), ERR_OK);
    err_code code = fleet_from_json(yyjson_doc_get_root(doc), "my.json", f, e);
    yyjson_doc_free(doc);
    return code;
}

static void a_fleet_in_a_file(void **state) {
    (void)state;
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e;
    err_code code = from_json("{\"machines\":[{\"name\":\"studio\",\"hardware\":\"mac-studio-m3-256\",\"count\":2},"
                              "{\"hardware\":\"pc-ddr5-64/rtx3090-24\",\"link\":\"wifi6\",\"memory_gb\":30},"
                              "{\"name\":\"own\",\"devices\":[{\"memory_gb\":16,\"bandwidth_gbs\":500,\"tflops\":20,\"kind\":\"card\"}],"
                              "\"link\":{\"rtt_us\":500,\"mbit\":8000}}],\"link\":\"10gbe\","
                              "\"links\":[{\"between\":[\"studio\",\"studio\"],\"link\":\"thunderbolt5\"},"
                              "{\"between\":[\"studio-1\",\"own\"],\"link\":{\"rtt_us\":50,\"mbit\":100000}}]}",
                              f, &e);
    if (code != ERR_OK) fail_msg("%s", e.text);
    assert_int_equal(f->n, 4);
    assert_string_equal(f->nodes[1].name, "studio-2");
    assert_string_equal(f->nodes[3].name, "own");
    assert_int_equal(f->nodes[2].memory, (uint64_t)30 << 30);
    assert_true(near(fleet_link(f, 1, 2).rtt_s, 0.0002) && near(fleet_link(f, 2, 1).throughput, 5e9)); /* the pair's own */
    assert_true(near(fleet_link(f, 4, 1).rtt_s, 0.00005) && near(fleet_link(f, 4, 2).rtt_s, 0.0003));
    assert_true(near(fleet_link(f, 1, 3).rtt_s, (0.0001 + 0.003) / 2));
    static const char *const bad[][2] = {
        {"{\"machines\":[]}", "\"machines\" is a list"},
        {"{\"machine\":[]}", "\"machine\" is not known"},
        {"[]", "expected an object"},
        {"{\"machines\":[{}]}", "machine 1: it has neither"},
        {"{\"machines\":[{\"hardware\":\"rtx309-24\"}]}", "machine 1: no hardware"},
        {"{\"machines\":[{\"hardware\":\"rtx3090\",\"cuont\":2}]}", "\"cuont\""},
        {"{\"machines\":[{\"devices\":[{\"memory_gb\":16}]}]}", "\"bandwidth_gbs\""},
        {"{\"machines\":[{\"hardware\":\"rtx3090\",\"count\":65}]}", "count"},
        {"{\"machines\":[{\"hardware\":\"rtx3090\",\"link\":{\"mbit\":1}}]}", "rtt_us"},
        {"{\"machines\":[{\"hardware\":\"rtx3090\"}],\"links\":[{\"between\":[\"a\",\"b\"],\"link\":\"gbe\"}]}",
         "link 1: no machine is called \"a\""},
        {"{\"machines\":[{\"hardware\":\"rtx3090\"}],\"links\":[{\"between\":[\"a\"],\"link\":\"gbe\"}]}", "two names"},
        {"{\"machines\":[{\"name\":\"a\",\"hardware\":\"rtx3090\"}],\"links\":[{\"between\":[\"a\",\"a\"]}]}", "\"link\" is missing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_not_equal(from_json(bad[i][0], f, &e), ERR_OK);
        if (!strstr(e.text, bad[i][1]) || strncmp(e.text, "\"my.json\"", 9) != 0) fail_msg("%s: %s", bad[i][0], e.text);
    }
    assert_int_equal(fleet_open("nowhere/fleet.json", f, &e), ERR_NOT_FOUND);
    free(f);
}

static void models_that_are_not_known(void **state) {
    (void)state;
    struct model_gguf *g;
    struct err e = {0};
    assert_int_equal(shapes_open("lama-70b:q4_k_m", &g, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.hint, "llama-70b"));
    assert_int_equal(shapes_open("llama-70b:q4_k_x", &g, &e), ERR_INVALID);
    assert_non_null(strstr(e.hint, "q4_k_m"));
    assert_true(shapes_known("Llama-70B:q8_0") && !shapes_known("llama"));
    assert_true(shapes_known("gpt-oss:20b") && shapes_known("qwen3:30b-a3b:q8_0")); /* as Ollama writes them */
    assert_string_equal(shapes_quant("gpt-oss:20b"), "mxfp4");
    assert_string_equal(shapes_quant("qwen3:30b-a3b:q8_0"), "q8_0");
    assert_int_equal(shapes_open("Qwen 3 30B", &g, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.hint, "qwen3-30b-a3b"));
}

/* A file that ends in the middle of its weights, or directly after its header. */
static void a_header_is_enough(void **state) {
    (void)state;
    struct model m = open_shape("llama-8b");
    size_t len;
    const uint8_t *header = model_gguf_header(m.g, 0, &len);
    const char *path = "plan-header.gguf";
    struct err e = {0};
    struct model_gguf *g = NULL;
    assert_int_equal(file_write(path, header, len, &e), ERR_OK);
    assert_int_not_equal(model_gguf_open(path, &g, &e), ERR_OK);
    assert_int_equal(shapes_open_header(path, &g, &e), ERR_OK);
    assert_int_equal(model_gguf_n_tensors(g), model_gguf_n_tensors(m.g));
    model_gguf_free(g);
    assert_int_equal(file_write(path, header, len / 2, &e), ERR_OK);
    assert_int_not_equal(shapes_open_header(path, &g, &e), ERR_OK);
    remove(path);
    close_model(&m);
}

static void golden_plans(void **state) {
    (void)state;
    static const char *const plans[][3] = {
        {"llama-70b:q4_k_m", "8xmac-mini-m4-64,gbe", "llama-70b-on-8-mac-minis"},
        {"deepseek-v3:q4_k_m", "9xmac-mini-m4-64,gbe", "deepseek-v3-q4-on-9-mac-minis"},
        {"deepseek-v3:q8_0", "8xmac-mini-m4-64,gbe", "deepseek-v3-q8-on-8-mac-minis"},
        {"llama-70b:q4_k_m", "2xrtx3090-24+1xpc-ddr5-64+1xpi5-8,10gbe", "llama-70b-on-two-cards-and-a-pc"},
        {"qwen3-235b-a22b:q4_k_m", "4xmac-studio-m3-96,thunderbolt5", "qwen3-235b-on-4-studios"},
        {"llama-8b:q4_0", "4xpi5-8,gbe", "llama-8b-on-4-pis"},
        {"llama-70b:q4_k_m", "3xpc-ddr4-32,wan-50ms", "llama-70b-over-a-wan"},
        {"gpt-oss-120b:mxfp4", "2xstrix-halo-128,2.5gbe", "gpt-oss-120b-on-2-strix-halo"},
    };
    const char *write = getenv("CARAVAN_GOLDEN"), *source = getenv("CARAVAN_SOURCE");
    for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
        char path[1024], text[16384] = "";
        struct plan p;
        struct buf b;
        buf_init(&b, 16384);
        buf_printf(&b, "caravan plan %s --fleet %s\n\n", plans[i][0], plans[i][1]);
        plan_on(plans[i][0], plans[i][1], &p, &b);
        snprintf(path, sizeof(path), "%s/tests/data/plans/%s.txt", source ? source : ".", plans[i][2]);
        if (write) assert_int_equal(file_write(path, b.data, b.len, NULL), ERR_OK);
        FILE *f = fopen(path, "re");
        if (!f) fail_msg("%s is missing", path);
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
        assert_string_equal(buf_cstr(&b), text);
        buf_done(&b);
    }
}

static void a_status_becomes_a_fleet(void **state) {
    (void)state;
    static const char text[] = "{\"nodes\":[{\"id\":\"000000000000000a\",\"name\":\"a\",\"memory\":100,\"stages\":[{\"bytes\":10},{"
                               "\"instance\":\"i\",\"bytes\":20}],"
                               "\"devices\":[{\"name\":\"CPU\",\"gpu\":false,\"memory_free\":90,\"bandwidth\":5e9,\"flops\":1e11}],"
                               "\"links\":[{\"id\":\"000000000000000b\",\"rtt_us\":250}]},{\"id\":\"000000000000000b\",\"name\":\"b\","
                               "\"memory\":7,\"stages\":[]}],"
                               "\"models\":[{\"name\":\"m\",\"instance\":\"i\"}]}";
    struct fleet *f = MEM_NEW(struct fleet);
    yyjson_doc *doc;
    assert_int_equal(json_parse(text, strlen(text), &doc, NULL), ERR_OK);
    assert_int_equal(
        fleet_from_status(yyjson_doc_get_root(doc), &(struct fleet_without){.node = 11, .instance = "i", .model = ""}, f, NULL), ERR_OK);
    assert_true(f->n == 2 && f->nodes[0].memory == 90 && f->nodes[1].memory == 0);
    assert_int_equal(fleet_from_status(yyjson_doc_get_root(doc), &(struct fleet_without){.instance = "", .model = "m"}, f, NULL), ERR_OK);
    assert_true(f->nodes[0].memory == 90 && f->nodes[1].memory == 7);
    assert_int_equal(fleet_from_status(yyjson_doc_get_root(doc), NULL, f, NULL), ERR_OK);
    yyjson_doc_free(doc);
    assert_int_equal(f->n, 2);
    assert_int_equal(f->nodes[0].memory, 70);
    assert_true(f->nodes[0].devices[0].bandwidth == 5e9);
    assert_true(fleet_link(f, 1, 2).rtt_s == 0.00025);
    assert_int_equal(json_parse("{}", 2, &doc, NULL), ERR_OK);
    assert_int_equal(fleet_from_status(yyjson_doc_get_root(doc), NULL, f, NULL), ERR_INVALID);
    yyjson_doc_free(doc);
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_named_models),
        cmocka_unit_test(parameters_of_named_models),
        cmocka_unit_test(the_two_known_facts),
        cmocka_unit_test(needs_are_those_of_the_estimate),
        cmocka_unit_test(corrections_move_the_need),
        cmocka_unit_test(fleets_in_words),
        cmocka_unit_test(own_hardware),
        cmocka_unit_test(a_fleet_in_a_file),
        cmocka_unit_test(models_that_are_not_known),
        cmocka_unit_test(a_header_is_enough),
        cmocka_unit_test(golden_plans),
        cmocka_unit_test(a_status_becomes_a_fleet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
