/* SPDX-License-Identifier: MIT
 * What a graph says about slices: graphs of a few nodes a layer, as engine/probe writes them down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/graph.h"
#include "model/quirks.h"

enum { WIDTH = 8, LAYERS = 4, TOKENS = 5, NODES = 96 };

static uint32_t add(struct model_graph *g, const char *op, const char *name, uint64_t width, const char *leaf, int a, int b) {
    struct model_graph_node *n = &g->node[g->n];
    *n = (struct model_graph_node){.layer = -1, .n_values = width * TOKENS};
    snprintf(n->name, sizeof(n->name), "%s", name);
    snprintf(n->op, sizeof(n->op), "%s", op);
    if (a >= 0) n->src[n->n_src++] = (uint32_t)a;
    if (b >= 0) n->src[n->n_src++] = (uint32_t)b;
    if (leaf) model_graph_note_leaf(n, leaf);
    return g->n++;
}

/* How the graphs differ. */
struct shape {
    const char *entry;  /* an operation between the embedding and layer 0; NULL: none */
    uint64_t streams;
    bool unnamed;       /* results have no names */
    bool looks_back;    /* odd layers read what the layer before them wrote into its memory */
    bool skips;         /* every layer reads the embedding again */
    bool scaled;        /* results are scaled by a weight, as what is normalised behind them is */
    bool first_value;   /* every layer mixes its value with that of layer 0 */
    bool wide_value;    /* that value is twice as wide as the embedding */
    bool shared;        /* another node reads its weight */
    bool derived;       /* later layers also read what another node of layer 0 makes of it */
    bool twice;         /* every layer mixes its value with a second one of layer 0 */
    bool halved;        /* behind every second layer the result is halved, and the half is the result */
    bool reshaped;      /* every layer but the first begins with another shape of the result before it */
    const char *shift;  /* a weight that is added to the embedding, without a name */
    bool again;         /* another node reads that weight */
};

static struct model_graph make(const struct shape *s) {
    struct model_graph g = {.node = mem_calloc(NODES, sizeof(*g.node)), .n_layer = LAYERS, .n_tokens = TOKENS};
    uint64_t width = WIDTH * s->streams;
    char name[64], leaf[64];
    uint32_t x = add(&g, "GET_ROWS", "embd", WIDTH, "token_embd.weight", -1, -1), embd = x;
    if (s->entry) x = add(&g, "REPEAT", s->entry, width, NULL, (int)x, -1);
    if (s->shift) x = add(&g, "ADD", "node_3", width, s->shift, (int)x, -1);
    if (s->again) add(&g, "MUL", "node_10", width, s->shift, (int)embd, -1);
    int first = -1, other = -1, made = -1;
    for (int i = 0; i < LAYERS; i++) {
        if (s->reshaped && i > 0) x = add(&g, "RESHAPE", "l_out (reshaped)", width, NULL, (int)x, -1);
        snprintf(leaf, sizeof(leaf), "blk.%d.attn_norm.weight", i);
        uint32_t norm = add(&g, "MUL", "norm", width, leaf, (int)x, -1);
        snprintf(leaf, sizeof(leaf), "cache_k_l%d", s->looks_back && i % 2 == 1 ? i - 1 : i);
        uint32_t memory = add(&g, "VIEW", "cache", 3, leaf, -1, -1);
        snprintf(leaf, sizeof(leaf), "blk.%d.time_mix_value.weight", i);
        uint32_t value = s->first_value ? add(&g, "MUL_MAT", "node_4", s->wide_value ? 2 * width : width, leaf, (int)norm, -1) : norm;
        if (s->shared) add(&g, "MUL", "node_11", width, leaf, (int)norm, -1);
        if (i > 0 && s->first_value) value = add(&g, "SUB", "node_5", width, NULL, first, (int)value);
        snprintf(leaf, sizeof(leaf), "blk.%d.time_mix_key.weight", i);
        uint32_t key = s->twice ? add(&g, "MUL_MAT", "node_6", width, leaf, (int)norm, -1) : norm;
        if (i > 0 && s->twice) value = add(&g, "SUB", "node_7", width, NULL, other, (int)value);
        if (i > 0 && s->derived) value = add(&g, "SUB", "node_13", width, NULL, made, (int)value);
        if (i == 0) first = (int)value, other = (int)key;
        if (i == 0 && s->derived) made = (int)add(&g, "SCALE", "node_12", width, NULL, first, -1);
        uint32_t attention = add(&g, "FLASH_ATTN_EXT", "attn", width, NULL, (int)value, (int)memory);
        snprintf(leaf, sizeof(leaf), "blk.%d.ffn_down.weight", i);
        uint32_t down = add(&g, "MUL_MAT", "node_9", width, leaf, (int)attention, s->skips ? (int)embd : -1);
        snprintf(name, sizeof(name), s->unnamed ? "node_%d" : "l_out-%d", i);
        x = add(&g, "ADD", s->scaled ? "node_8" : name, width, NULL, (int)down, (int)x);
        if (s->halved && i % 2 == 1) {
            snprintf(g.node[x].name, sizeof(g.node[x].name), "node_2");
            x = add(&g, "SCALE", name, width, NULL, (int)x, -1);
        }
        snprintf(leaf, sizeof(leaf), "blk.%d.layer_output_scale.weight", i);
        if (s->scaled) x = add(&g, "MUL", name, width, leaf, (int)x, -1);
    }
    x = add(&g, "MUL", "result_norm", width, "output_norm.weight", (int)x, -1);
    add(&g, "MUL_MAT", "result_output", 100, "output.weight", (int)x, -1);
    return g;
}

static void expect(const struct shape *s, const char *row) {
    struct model_graph g = make(s);
    struct err e = {0};
    char got[512];
    err_code code = model_graph_propose(&g, "new", WIDTH, got, sizeof(got), &e);
    if (code != ERR_OK) fail_msg("%s", e.text);
    assert_string_equal(got, row);
    free(g.node);
}

static void refuse(const struct shape *s, const char *why) {
    struct model_graph g = make(s);
    struct err e = {0};
    char got[512];
    assert_int_equal(model_graph_propose(&g, "new", WIDTH, got, sizeof(got), &e), ERR_WHOLE_ONLY);
    assert_non_null(strstr(e.text, why));
    free(g.node);
}

static void graphs_become_rows(void **state) {
    (void)state;
    expect(&(struct shape){.streams = 1}, "new period=1 width=1 out=l_out-");
    expect(&(struct shape){.streams = 1, .entry = "inp_norm"}, "new period=1 width=1 out=l_out- in=inp_norm");
    expect(&(struct shape){.streams = 4, .entry = "hc_init"}, "new period=1 width=4 out=l_out- in=hc_init");
    expect(&(struct shape){.streams = 1, .unnamed = true}, "new period=1 width=1 out=ffn_down.weight>ADD");
    expect(&(struct shape){.streams = 1, .looks_back = true}, "new period=2 width=1 out=l_out-");
    expect(&(struct shape){.streams = 1, .scaled = true}, "new period=1 width=1 out=l_out-");
    expect(&(struct shape){.streams = 1, .first_value = true}, "new period=1 width=1 out=l_out- in=l_out-0 carry=time_mix_value.weight");
    expect(&(struct shape){.streams = 1, .halved = true}, "new period=1 width=1 out=l_out-");
    expect(&(struct shape){.streams = 1, .reshaped = true}, "new period=1 width=1 out=l_out-");
    expect(&(struct shape){.streams = 1, .shift = "token_embd_norm.bias"}, "new period=1 width=1 out=l_out- in=<token_embd_norm.bias");
}

static void what_stands_against_it_is_said(void **state) {
    (void)state;
    refuse(&(struct shape){.streams = 1, .skips = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .entry = "node_1"}, "has no name");
    refuse(&(struct shape){.streams = 1, .first_value = true, .twice = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 4, .entry = "hc_init", .first_value = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .first_value = true, .unnamed = true}, "has no name");
    refuse(&(struct shape){.streams = 1, .first_value = true, .looks_back = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .first_value = true, .wide_value = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .first_value = true, .shared = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .first_value = true, .derived = true}, "more than one value is alive");
    refuse(&(struct shape){.streams = 1, .shift = "leaf_7"}, "has no name");
    refuse(&(struct shape){.streams = 1, .shift = "token_embd_norm.bias", .again = true}, "has no name");
}

static const struct model_layout *layout_of(const char *arch, const char *kinds) {
    static struct model_layout l;
    snprintf(l.arch, sizeof(l.arch), "%s", arch);
    snprintf(l.kinds, sizeof(l.kinds), "%s", kinds);
    return &l;
}

static void a_row_is_taught(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(model_quirks_teach("new period=2 width=4 out=l_out- in=hc_init", &e), ERR_OK);
    const struct model_quirks *q = model_quirks_find(layout_of("new", ""));
    assert_true(q->split == MODEL_SPLIT_EXACT && q->cut == MODEL_CUT_PERIOD && q->period == 2);
    assert_string_equal(model_quirks_entry(layout_of("new", ""))->tensor, "hc_init");
    assert_int_equal(model_quirks_entry(layout_of("new", ""))->streams, 4);
    assert_string_equal(model_quirks_find(layout_of("llama", ""))->arch, "llama");
    assert_int_equal(model_quirks_teach("first out=l_out- in=l_out-0 carry=time_mix_value.weight", &e), ERR_OK);
    assert_string_equal(model_quirks_entry(layout_of("first", ""))->carry, "time_mix_value.weight");
    assert_int_equal(model_quirks_lead(layout_of("first", ""), 0), 0);
    assert_int_equal(model_quirks_lead(layout_of("first", ""), 3), 1);
    assert_int_equal(model_quirks_lead(layout_of("llama", ""), 3), 0);
    assert_int_equal(model_quirks_lead(layout_of("new", ""), 3), 0); /* its rows enter elsewhere */
    static const char *const wrong[] = {
        "", "new", "new out=x carry=y", "new period=0 out=x", "new out=", "new out=x who=me", "new width=65 out=x", "new whole="};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) assert_int_equal(model_quirks_teach(wrong[i], &e), ERR_INVALID);
    assert_string_equal(model_quirks_find(layout_of("new", ""))->arch, "new"); /* a wrong row changes nothing */
    assert_int_equal(model_quirks_teach("bloom out=l_out-", &e), ERR_OK);
    assert_null(model_quirks_entry(layout_of("bloom", ""))); /* it hides the table's */
}

/* Models of one architecture may differ in their layers, and so in their rows. */
static void a_row_is_for_certain_layers(void **state) {
    (void)state;
    struct err e = {0};
    assert_false(model_quirks_known(layout_of("other", "aa")));
    assert_int_equal(model_quirks_teach("other kinds=aa period=1 width=1 out=x-", &e), ERR_OK);
    assert_int_equal(model_quirks_teach("other kinds=bb whole=it is not to be cut", &e), ERR_OK);
    assert_int_equal(model_quirks_find(layout_of("other", "aa"))->split, MODEL_SPLIT_EXACT);
    assert_string_equal(model_quirks_taught(layout_of("other", "aa")), "other kinds=aa period=1 width=1 out=x-");
    assert_int_equal(model_quirks_find(layout_of("other", "bb"))->split, MODEL_SPLIT_WHOLE);
    assert_string_equal(model_quirks_find(layout_of("other", "bb"))->note, "it is not to be cut");
    assert_false(model_quirks_known(layout_of("other", "cc")));
    assert_true(model_quirks_listed("llama") && !model_quirks_listed("other"));
    assert_int_equal(model_quirks_teach("other kinds=bb out=y-", &e), ERR_OK);
    assert_string_equal(model_quirks_find(layout_of("other", "bb"))->out, "y-");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_become_rows),
        cmocka_unit_test(what_stands_against_it_is_said),
        cmocka_unit_test(a_row_is_taught),
        cmocka_unit_test(a_row_is_for_certain_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
