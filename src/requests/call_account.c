/* SPDX-License-Identifier: MIT
 * What a call's key may ask and use up: admitted before the work begins, settled and counted when the call ends. See call_priv.h. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "gateway/find.h"
#include "requests/call_account.h"
#include "requests/call_cache.h"

static const struct ledger_key *key_of(const struct call *call) {
    return gateway_keys_made_of(&call->gateway->keys, http_request(call->x));
}

void call_account_open(struct call *call) {
    const struct ledger_key *key = key_of(call);
    snprintf(call->account, sizeof(call->account), "%.16s", key != NULL ? key->id : call->owner);
}

err_code call_account_find(const struct call *call, const char *name, const struct backend_model **ret, struct err *e) {
    return gateway_find_for(call->gateway, key_of(call), name, ret, e);
}

err_code call_account_may_ask(const struct call *call, const char *model, struct err *e) {
    const struct ledger_key *key = key_of(call);
    const struct routing_alias *alias = call->route.alias; /* who may ask an alias may ask its targets by that name */
    if (gateway_find_may(key, alias != NULL ? alias->name : call->request.model, NULL) == ERR_OK) return ERR_OK;
    return gateway_find_may(key, model, e);
}

/* The most tokens that the call can take: a token of a prompt has a byte at least, and no sequence is longer than the context. */
static int64_t most_tokens(const struct call *call, uint32_t n_ctx) {
    const struct api_request *r = &call->request;
    int64_t most = 0;
    for (size_t i = 0; i < r->n_prompts; i++) {
        const struct api_prompt *p = &r->prompts[i];
        int64_t prompt = (int64_t)(p->text != NULL ? p->len : p->n_tokens);
        int64_t answer = call->api->work != API_WORK_TEXT ? 0 : r->max_tokens < 0 ? (int64_t)n_ctx : r->max_tokens;
        int64_t one = prompt + answer;
        most += (one > (int64_t)n_ctx && n_ctx > 0 ? (int64_t)n_ctx : one) * (r->n > 0 ? r->n : 1);
    }
    return most;
}

err_code call_account_admit(struct call *call, uint32_t n_ctx, int64_t money, struct err *e) {
    return call_account_admit_most(call, most_tokens(call, n_ctx), money, e);
}

bool call_account_may_leave(const struct call *call) {
    const struct ledger_key *key = key_of(call);
    return key == NULL || (key->may & LEDGER_MAY(CLOUD)) != 0;
}

err_code call_account_admit_most(struct call *call, int64_t tokens, int64_t money, struct err *e) {
    const struct ledger_key *key = key_of(call);
    if (key == NULL || call->claim.key[0] != '\0') return ERR_OK;
    struct account_amount most = {.requests = 1, .tokens = tokens, .money = money};
    int64_t retry = 0;
    err_code code = account_claim(call->gateway->accounting.book, clock_wall_s(), key, &most, &call->claim, &retry, e);
    if (code != ERR_OK) err_retry(e, retry);
    return code;
}

void call_account_settle(struct call *call, bool failed) {
    struct api_usage u = call_cache_hit(call) ? (struct api_usage){0} : call->answer.usage;
    u.prompt_tokens += call->charged.prompt_tokens;
    u.cached_tokens += call->charged.cached_tokens;
    u.completion_tokens += call->charged.completion_tokens;
    int64_t now = clock_wall_s();
    struct account_amount took = {.requests = call->claim.key[0] != '\0'}; /* what was refused uses nothing up */
    if (took.requests > 0) took.tokens = (int64_t)(u.prompt_tokens + u.completion_tokens);
    took.money = call->money;
    struct usage_row row = {.day = calendar_day(now),
                            .requests = 1,
                            .failed = failed,
                            .prompt_tokens = (int64_t)u.prompt_tokens,
                            .cached_tokens = (int64_t)u.cached_tokens,
                            .completion_tokens = (int64_t)u.completion_tokens,
                            .money = call->money,
                            .quota_requests = took.requests,
                            .quota_tokens = took.tokens};
    memcpy(row.key, call->account, sizeof(row.key));
    if (call->model != NULL) snprintf(row.model, sizeof(row.model), "%s", call->model);
    account_settle(call->gateway->accounting.book, now, &call->claim, &took);
    gateway_accounting_count(call->gateway, &row);
}
