/* SPDX-License-Identifier: MIT */
#include "paper/prices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_file.h"
#include "base/mem.h"

enum { MAX_ROWS = 1000, MAX_FILE = 1 << 20 };

enum { OLD, SOLD };
static const struct price {
    const char *family;
    double from, dollars, further, idle, busy, disk;
    bool sold;
} table[] = {
#define PRICE(family, from, dollars, further, idle, busy, disk, sold) {family, from, dollars, further, idle, busy, disk, sold},
#include "../../tables/prices.def"
#undef PRICE
};
static const struct {
    const char *model;
    double input, output;
} api_table[] = {
#define API_PRICE(model, name, input, output) {model, input, output},
#include "../../tables/api_prices.def"
#undef API_PRICE
};

struct own_hardware {
    char name[64];
    struct prices_machine m;
};
struct own_api {
    char model[96];
    struct prices_api a;
};
struct prices {
    struct own_hardware *hardware;
    size_t n_hardware;
    struct own_api *api;
    size_t n_api;
};

const char *prices_date(void) { return PRICES_DATE; }

struct prices_machine prices_machine_of(const struct prices *p, const char *family, double gb) {
    const struct price *found = NULL;
    struct prices_machine m = {0};
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcasecmp(table[i].family, family) == 0 && table[i].from <= gb && (!found || table[i].from > found->from)) found = &table[i];
    if (found)
        m = (struct prices_machine){.dollars = found->dollars > 0 ? found->dollars + found->further * (gb - found->from) : 0,
                                    .idle_w = found->idle,
                                    .busy_w = found->busy,
                                    .disk = found->disk * 1e9,
                                    .sold = found->sold && found->dollars > 0};
    for (size_t i = 0; p && i < p->n_hardware; i++) {
        const struct prices_machine *own = &p->hardware[i].m;
        if (strcasecmp(p->hardware[i].name, family) != 0) continue;
        if (own->dollars > 0) {
            m.dollars = own->dollars;
            m.sold = true;
        }
        if (own->idle_w > 0) m.idle_w = own->idle_w;
        if (own->busy_w > 0) m.busy_w = own->busy_w;
        if (own->disk > 0) m.disk = own->disk;
    }
    return m;
}

bool prices_api_of(const struct prices *p, const char *model, struct prices_api *ret) {
    for (size_t i = 0; p && i < p->n_api; i++)
        if (strcasecmp(p->api[i].model, model) == 0) {
            *ret = p->api[i].a;
            return true;
        }
    if (p && p->n_api > 0) return false; /* the user's prices replace the table */
    for (size_t i = 0; i < ARRAY_LEN(api_table); i++)
        if (strcasecmp(api_table[i].model, model) == 0) {
            *ret = (struct prices_api){
                .from = API_PRICES_FROM, .date = API_PRICES_DATE, .input = api_table[i].input, .output = api_table[i].output};
            return true;
        }
    return false;
}

/* ---- the user's file ---- */

static err_code read_hardware(yyjson_val *v, struct own_hardware *h, struct err *e) {
    double disk = 0;
    err_code code = json_need(v, "name", e);
    if (code == ERR_OK) code = json_get_line(v, "name", h->name, sizeof(h->name), e);
    if (code == ERR_OK) code = json_get_double(v, "price", 0, 1e9, &h->m.dollars, e);
    if (code == ERR_OK) code = json_get_double(v, "watts_idle", 0, 1e6, &h->m.idle_w, e);
    if (code == ERR_OK) code = json_get_double(v, "watts_busy", 0, 1e6, &h->m.busy_w, e);
    if (code == ERR_OK) code = json_get_double(v, "disk_gbs", 0, 1e3, &disk, e);
    h->m.disk = disk * 1e9;
    return code;
}

static err_code read_api(yyjson_val *v, const char *date, struct own_api *a, struct err *e) {
    snprintf(a->a.from, sizeof(a->a.from), "your prices");
    snprintf(a->a.date, sizeof(a->a.date), "%s", date);
    err_code code = json_need(v, "model", e);
    if (code == ERR_OK) code = json_need(v, "output", e);
    if (code == ERR_OK) code = json_get_line(v, "model", a->model, sizeof(a->model), e);
    if (code == ERR_OK) code = json_get_line(v, "from", a->a.from, sizeof(a->a.from), e);
    if (code == ERR_OK) code = json_get_line(v, "date", a->a.date, sizeof(a->a.date), e);
    if (code == ERR_OK) code = json_get_double(v, "input", 0, 1e6, &a->a.input, e);
    if (code == ERR_OK) code = json_get_double(v, "output", 0, 1e6, &a->a.output, e);
    return code;
}

static err_code read_all(yyjson_val *root, struct prices *p, struct err *e) {
    yyjson_val *hardware = yyjson_obj_get(root, "hardware"), *api = yyjson_obj_get(root, "api"), *v;
    char date[16] = "";
    size_t i, max;
    err_code code = json_get_line(root, "date", date, sizeof(date), e);
    if (code != ERR_OK) return code;
    if (!yyjson_is_arr(hardware) && !yyjson_is_arr(api))
        return err_set(e, ERR_INVALID, "it has neither a list \"hardware\" nor a list \"api\"");
    if (yyjson_arr_size(hardware) > MAX_ROWS || yyjson_arr_size(api) > MAX_ROWS)
        return err_set(e, ERR_LIMIT, "more than %d prices", MAX_ROWS);
    p->hardware = mem_calloc(yyjson_arr_size(hardware) + 1, sizeof(*p->hardware));
    p->api = mem_calloc(yyjson_arr_size(api) + 1, sizeof(*p->api));
    yyjson_arr_foreach(json_some(hardware), i, max, v) {
        code = read_hardware(v, &p->hardware[p->n_hardware++], e);
        if (code != ERR_OK) return err_prefix(e, "hardware %zu", i + 1), code;
    }
    yyjson_arr_foreach(json_some(api), i, max, v) {
        code = read_api(v, date, &p->api[p->n_api++], e);
        if (code != ERR_OK) return err_prefix(e, "api %zu", i + 1), code;
    }
    return ERR_OK;
}

err_code prices_from_json(yyjson_val *root, const char *where, struct prices **ret, struct err *e) {
    struct prices *p = MEM_NEW(struct prices);
    err_code code = read_all(root, p, e);
    if (code != ERR_OK) {
        err_prefix(e, "\"%.100s\"", where);
        prices_free(p);
        return code;
    }
    *ret = p;
    return ERR_OK;
}

err_code prices_open(const char *path, struct prices **ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_file_load(path, "prices", MAX_FILE, &doc, e);
    if (code == ERR_OK) code = prices_from_json(yyjson_doc_get_root(doc), path, ret, e);
    yyjson_doc_free(doc);
    return code;
}

void prices_free(struct prices *p) {
    if (!p) return;
    free(p->hardware);
    free(p->api);
    free(p);
}
