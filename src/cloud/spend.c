/* SPDX-License-Identifier: MIT
 * See spend.h. */
#include "cloud/spend.h"

#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/mem.h"

enum { MAX_ROWS = 65536 };

/* An upstream by its name: caps and prices may change when the routes file does, the counts stay. */
struct account {
    char name[UPSTREAM_MAX_NAME + 1];
    int64_t day, month_first, month_end; /* days: today, the first one of this month, and the one after its last */
    uint64_t day_total, month_total; /* spent and reserved */
    uint64_t held;                   /* reserved, on any day */
};

struct spend {
    struct account *accounts; /* owned */
    size_t n_accounts;
    bool loaded;
    spend_change_fn fn;
    void *user;
};

/* ---- days ---- */

/* A clock before 1970 counts as 1970. */
static int64_t after_1970(int64_t now_s) { return now_s > 0 ? now_s : 0; }

int64_t spend_first_day(int64_t now_s) { return calendar_day(calendar_month_begin(after_1970(now_s))); }

/* ---- accounts ---- */

static const struct account *find(const struct spend *s, const char *name) {
    for (size_t i = 0; i < s->n_accounts; i++)
        if (strcmp(s->accounts[i].name, name) == 0) return &s->accounts[i];
    return NULL;
}

static struct account *account_of(struct spend *s, const char *name) {
    for (size_t i = 0; i < s->n_accounts; i++)
        if (strcmp(s->accounts[i].name, name) == 0) return &s->accounts[i];
    s->accounts = mem_realloc(s->accounts, s->n_accounts + 1, sizeof(*s->accounts));
    struct account *a = &s->accounts[s->n_accounts++];
    *a = (struct account){0};
    memcpy(a->name, name, strlen(name) + 1);
    return a;
}

/* Begins a new day and month where the time has come. A clock that is set back changes nothing. */
static void turn(struct account *a, int64_t now_s) {
    int64_t day = calendar_day(after_1970(now_s)), first = spend_first_day(now_s);
    if (day > a->day) {
        a->day = day;
        a->day_total = 0;
    }
    if (first > a->month_first || a->month_end == 0) {
        a->month_first = first;
        a->month_end = calendar_day(calendar_next_month(after_1970(now_s)));
        a->month_total = 0;
    }
}

static uint64_t shift(uint64_t total, int64_t more) {
    if (more >= 0) return total + (uint64_t)more;
    uint64_t less = (uint64_t)-more;
    return total > less ? total - less : 0;
}

/* Changes the amount of a day; another day than today only counts in its month. */
static void change(struct account *a, int64_t day, int64_t more) {
    if (day == a->day) a->day_total = shift(a->day_total, more);
    if (day >= a->month_first && day < a->month_end) a->month_total = shift(a->month_total, more);
}

/* ---- reservations ---- */

/* A cap of a period that ends in `rest_s` seconds. Where only what runs is in the way, another attempt may be made soon. */
static err_code check_cap(const char *period, const struct upstream *u, uint64_t cap, uint64_t total, const struct account *a,
                          uint64_t amount, int64_t rest_s, struct err *e) {
    if (cap == UPSTREAM_NO_CAP || (total <= cap && amount <= cap - total)) return ERR_OK;
    uint64_t spent = total > a->held ? total - a->held : 0;
    err_code code = amount > cap ? ERR_LIMIT : ERR_BUSY;
    err_set(e, code, "upstream \"%s\": its cap of %.2f a %s doesn't allow this request: %.4f are spent or reserved, and it may cost %.4f",
            u->name, (double)cap / 1e9, period, (double)total / 1e9, (double)amount / 1e9);
    err_hint(e, "ask for a shorter answer (max_tokens), or raise \"spend\" in the routes file");
    if (e != NULL && code == ERR_BUSY && (spent > cap || amount > cap - spent)) err_retry(e, rest_s);
    return code;
}

static err_code check_caps(const struct spend *s, const struct upstream *u, const struct account *a, const struct spend_hold *hold,
                           uint64_t most_completion, int64_t now_s, struct err *e) {
    if (!upstream_has_cap(u)) return ERR_OK;
    if (!s->loaded) return err_set(e, ERR_UNAVAILABLE, "upstream \"%s\": what was spent before is not known yet", u->name);
    if (!hold->priced) return err_set(e, ERR_INVALID, "upstream \"%s\" has a cap, but no price for this model", u->name);
    if (most_completion == UINT64_MAX) return err_set(e, ERR_INVALID, "upstream \"%s\" has a cap, and the answer has no limit", u->name);
    uint64_t amount = hold->amount;
    err_code day = check_cap("day", u, u->day, a->day_total, a, amount, calendar_next_day(now_s) - now_s, e);
    if (day == ERR_LIMIT) return day;
    struct err of_month = {0};
    err_code month = check_cap("month", u, u->month, a->month_total, a, amount, calendar_next_month(now_s) - now_s, &of_month);
    bool later = month == ERR_LIMIT || day == ERR_OK || (e != NULL && of_month.retry_s > e->retry_s);
    if (month == ERR_OK || !later) return day;
    if (e != NULL) *e = of_month;
    return month;
}

err_code spend_reserve(struct spend *s, const struct upstream *u, const char *model, uint64_t most_prompt, uint64_t most_completion,
                       int64_t now_s, struct spend_hold *ret, struct err *e) {
    struct account *a = account_of(s, u->name);
    const struct upstream_price *price = upstream_price_of(u, model);
    struct spend_hold hold = {.priced = price != NULL};
    turn(a, now_s);
    memcpy(hold.upstream, u->name, sizeof(hold.upstream));
    hold.day = a->day;
    /* The higher of both costs: none of the prompt is in the upstream's cache, or all of it, if cached tokens cost more. */
    if (price != NULL) {
        uint64_t completion = most_completion == UINT64_MAX ? 0 : most_completion;
        hold.price = *price;
        hold.price.model = NULL;
        uint64_t fresh = upstream_cost(price, most_prompt, 0, completion),
                 cached = upstream_cost(price, most_prompt, most_prompt, completion);
        hold.amount = fresh > cached ? fresh : cached;
    }
    err_code code = check_caps(s, u, a, &hold, most_completion, now_s, e);
    if (code != ERR_OK) return code;
    change(a, hold.day, (int64_t)hold.amount);
    a->held += hold.amount;
    if (hold.amount > 0) s->fn(s->user, hold.upstream, hold.day, (int64_t)hold.amount);
    *ret = hold;
    return ERR_OK;
}

uint64_t spend_settle(struct spend *s, struct spend_hold *hold, uint64_t prompt, uint64_t cached, uint64_t completion) {
    if (!hold->priced) return 0;
    uint64_t cost = upstream_cost(&hold->price, prompt, cached, completion);
    int64_t more = (int64_t)cost - (int64_t)hold->amount;
    struct account *a = account_of(s, hold->upstream);
    change(a, hold->day, more);
    a->held -= hold->amount;
    if (more != 0) s->fn(s->user, hold->upstream, hold->day, more);
    *hold = (struct spend_hold){0};
    return cost;
}

void spend_totals(const struct spend *s, const char *upstream, int64_t now_s, uint64_t *ret_day, uint64_t *ret_month) {
    const struct account *a = find(s, upstream);
    struct account now = a != NULL ? *a : (struct account){0};
    turn(&now, now_s);
    *ret_day = now.day_total;
    *ret_month = now.month_total;
}

/* ---- what was spent before ---- */

static err_code load_row(struct spend *s, yyjson_val *row, int64_t now_s, struct err *e) {
    yyjson_val *name = yyjson_arr_get(row, 0), *day = yyjson_arr_get(row, 1), *amount = yyjson_arr_get(row, 2);
    size_t len = yyjson_get_len(name);
    if (!yyjson_is_str(name) || len > UPSTREAM_MAX_NAME || strlen(yyjson_get_str(name)) != len || !yyjson_is_int(day) ||
        !yyjson_is_int(amount))
        return err_set(e, ERR_FORMAT, "the state file has a wrong row of what upstreams cost");
    struct account *a = account_of(s, yyjson_get_str(name));
    turn(a, now_s);
    change(a, yyjson_get_sint(day), yyjson_get_sint(amount));
    return ERR_OK;
}

err_code spend_load(struct spend *s, const char *rows, size_t len, int64_t now_s, struct err *e) {
    yyjson_doc *doc = json_read(rows, len);
    yyjson_val *root = yyjson_doc_get_root(doc), *row;
    size_t i, n;
    err_code code = ERR_OK;
    if (!yyjson_is_arr(root) || yyjson_arr_size(root) > MAX_ROWS)
        code = err_set(e, ERR_FORMAT, "the state file doesn't say what upstreams have cost");
    yyjson_arr_foreach(json_some(root), i, n, row) {
        if (code == ERR_OK) code = load_row(s, row, now_s, e);
    }
    yyjson_doc_free(doc);
    if (code == ERR_OK) s->loaded = true;
    return code;
}

/* ---- the whole ---- */

struct spend *spend_create(spend_change_fn fn, void *user) {
    struct spend *s = MEM_NEW(struct spend);
    *s = (struct spend){.fn = fn, .user = user};
    return s;
}

void spend_free(struct spend *s) {
    if (s == NULL) return;
    free(s->accounts);
    free(s);
}
