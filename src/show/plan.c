/* SPDX-License-Identifier: MIT
 * `caravan plan`: what a model would need and how fast it would be, on this cluster or on paper. Loads no weights. */
#include <unistd.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "paper/can.h"
#include "show/plan_buy.h"
#include "show/plan_can.h"
#include "show/plan_list.h"
#include "show/plan_model.h"
#include "show/plan_paper.h"
#include "terminal/table.h"

enum { LONGEST = 1 << 22 };

static err_code print_text(struct buf *text, struct err *e) {
    struct buf b;
    buf_init(&b, LONGEST);
    table_fold(buf_cstr(text), table_width(), &b);
    err_code code = cli_print(&b, e);
    buf_done(&b);
    return code;
}

static err_code print_doc(yyjson_mut_doc *doc, struct err *e) {
    struct buf b;
    buf_init(&b, LONGEST);
    json_write(&b, doc);
    buf_append_str(&b, "\n");
    err_code code = cli_print(&b, e);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return code;
}

static err_code print_lists(bool json, struct err *e) {
    struct buf b;
    buf_init(&b, LONGEST);
    if (json) plan_list_json(&b);
    else plan_list_text(table_width(), &b);
    err_code code = cli_print(&b, e);
    buf_done(&b);
    return code;
}

static err_code print_sheet(const struct sheet *s, bool json, struct err *e) {
    if (json) {
        yyjson_mut_doc *doc = json_new();
        sheet_json(s, doc, yyjson_mut_doc_get_root(doc));
        return print_doc(doc, e);
    }
    struct buf b;
    buf_init(&b, LONGEST);
    sheet_text(s, &b);
    err_code code = print_text(&b, e);
    buf_done(&b);
    return code;
}

/* One model whose file is on another node of the cluster: the node that runs here has that one plan it. */
static err_code plan_there(const struct options *o, const struct paper *p, struct err *e) {
    static const struct {
        enum option_id option;
        const char *field;
    } numbers[] = {{OPT_PRICE, "price"}, {OPT_LIFE, "life"}, {OPT_ELECTRICITY, "electricity"}, {OPT_UTILISATION, "utilisation"}};
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_doc *answer = NULL;
    struct buf b;
    buf_init(&b, LONGEST);
    yyjson_mut_obj_add_strcpy(doc, root, "model", p->question.name);
    wish_write(&p->said, doc, root);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (option_is_set(o, numbers[i].option)) yyjson_mut_obj_add_real(doc, root, numbers[i].field, option_num(o, numbers[i].option));
    if (p->question.prompt > 0) yyjson_mut_obj_add_uint(doc, root, "prompt_tokens", p->question.prompt);
    if (option_text(o, OPT_FLEET)[0]) yyjson_mut_obj_add_str(doc, root, "fleet", option_text(o, OPT_FLEET));
    yyjson_mut_obj_add_bool(doc, root, "cost", p->question.cost);
    json_write(&b, doc);
    yyjson_mut_doc_free(doc);
    err_code code = cli_admin_ask(o, "POST", "/caravan/v1/plan", buf_cstr(&b), &answer, e);
    yyjson_val *plan = yyjson_doc_get_root(answer), *text = yyjson_obj_get(plan, "text"), *hint = yyjson_obj_get(plan, "hint");
    buf_clear(&b);
    if (code == ERR_OK && !yyjson_get_bool(yyjson_obj_get(plan, "fits"))) {
        code = err_set(e, ERR_NO_ROOM, "%s", yyjson_is_str(text) ? yyjson_get_str(text) : "there is no plan");
        if (yyjson_is_str(hint)) err_hint(e, "%s", yyjson_get_str(hint));
    } else if (code == ERR_OK && option_flag(o, OPT_JSON)) {
        doc = yyjson_doc_mut_copy(answer, NULL);
        yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(doc), "text");
        code = print_doc(doc, e);
    } else if (code == ERR_OK) {
        buf_append_str(&b, yyjson_is_str(text) ? yyjson_get_str(text) : "");
        code = print_text(&b, e);
    }
    yyjson_doc_free(answer);
    buf_done(&b);
    return code;
}

/* One model. */
static err_code plan_one(const struct options *o, struct paper *p, struct err *e) {
    struct sheet_source source;
    struct sheet s = {0};
    p->question.name = option_argument(o, 0);
    err_code code = plan_model_find(o, p->question.name, p->status != NULL, &source, e);
    bool by_file = p->prices != NULL || access(option_text(o, OPT_FLEET), F_OK) == 0; /* a file of this machine is unknown there */
    if (code == ERR_UNAVAILABLE && p->status != NULL && !by_file) return plan_there(o, p, e);
    if (code != ERR_OK) return code;
    plan_paper_measure(o, p, &source);
    code = sheet_make(&p->question, &source, p->fleet, &s, e);
    if (code == ERR_OK) code = print_sheet(&s, option_flag(o, OPT_JSON), e);
    sheet_done(&s);
    return code;
}

/* What to buy for a model. */
static err_code plan_shop(const struct options *o, struct paper *p, struct err *e) {
    struct sheet_source source;
    struct buy_wish w = {.tps = option_num(o, OPT_BUY), .budget = option_num(o, OPT_BUDGET), .money = p->question.money};
    p->question.name = option_argument(o, 0);
    if (!p->question.name) {
        err_set(e, ERR_USAGE, "--buy needs a model");
        err_hint(e, "caravan plan llama-70b --buy %.3g", w.tps);
        return ERR_USAGE;
    }
    if (option_text(o, OPT_FLEET)[0]) w.have = p->fleet;
    w.plan = (struct plan_wish){.streams = p->question.load.n_seq, .prompt = p->question.prompt};
    w.money.price = 0;
    err_code code = plan_model_find(o, p->question.name, p->status != NULL, &source, e);
    if (code != ERR_OK) return code;
    struct buf b;
    buf_init(&b, LONGEST);
    code = plan_buy(&p->question, &source, &w, option_flag(o, OPT_JSON), table_width(), &b, e);
    if (code == ERR_OK) code = cli_print(&b, e);
    buf_done(&b);
    return code;
}

/* No model is named: all that the fleet can run. */
static err_code plan_all(const struct options *o, struct paper *p, struct err *e) {
    struct can_wish w = {.load = p->question.load, .floor_tps = option_num(o, OPT_FLOOR)};
    err_code code = plan_wish_parse(p->question.placement, &w.plan, e);
    if (code != ERR_OK) return code;
    w.plan.streams = w.load.n_seq;
    w.plan.prompt = p->question.prompt;
    w.plan.link = fleet_link;
    w.plan.link_user = p->fleet;
    return plan_can_show(p->fleet, &w, p->question.where, option_flag(o, OPT_JSON), e);
}

err_code cli_plan(const struct options *o, int *exit_status, struct err *e) {
    struct paper p = {0};
    (void)exit_status;
    if (option_flag(o, OPT_LIST)) return print_lists(option_flag(o, OPT_JSON), e);
    err_code code = plan_paper_node(o, &p, e);
    if (code == ERR_OK) code = plan_paper_load(o, &p, e);
    if (code == ERR_OK) code = plan_paper_money(o, &p, e);
    if (code == ERR_OK) code = plan_paper_fleet(o, &p, e);
    if (code == ERR_OK && option_num(o, OPT_BUY) > 0) code = plan_shop(o, &p, e);
    else if (code == ERR_OK) code = option_argument(o, 0) ? plan_one(o, &p, e) : plan_all(o, &p, e);
    plan_paper_done(&p);
    return code;
}
