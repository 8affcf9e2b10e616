/* SPDX-License-Identifier: MIT
 * The answers to a frame. They are checked as a whole against the frame that was sent, then given to the requests that still run. */
#include <assert.h>
#include <string.h>

#include "sched/sched_priv.h"
#include "wire/frame.h"

static struct sched_flight *oldest(struct sched *s) { return s->n_flight > 0 ? &s->flights[s->flight_first] : NULL; }

/* The slot still belongs to the request (or the EVAL) that sent this frame. */
static bool is_current(const struct sched *s, uint32_t slot, uint32_t generation) { return s->slots[slot].generation == generation; }

/* ---- checks ---- */

static err_code check_result(const struct sched *s, const struct sched_expect *x, const struct result *r, struct err *e) {
    if (r->index != x->index || r->seq != x->slot || r->pos != x->pos) {
        return err_set(e, ERR_PROTOCOL, "tokens: an answer for sequence %u, position %d; expected one for sequence %u, position %d", r->seq,
                       r->pos, x->slot, x->pos);
    }
    bool sample = (x->flags & ENGINE_TOKEN_SAMPLE) != 0, logits = (x->flags & ENGINE_TOKEN_LOGITS) != 0;
    bool pool = (x->flags & ENGINE_TOKEN_POOL) != 0, score = (x->flags & ENGINE_TOKEN_SCORE) != 0;
    unsigned want =
        (sample ? RESULT_SAMPLED : 0u) | (logits ? RESULT_LOGITS : 0u) | (pool ? RESULT_VECTOR : 0u) | (score ? RESULT_SCORED : 0u);
    unsigned got = r->flags & (RESULT_SAMPLED | RESULT_LOGITS | RESULT_VECTOR | RESULT_SCORED);
    if ((r->flags & RESULT_FAILED) == 0 && got != want)
        return err_set(e, ERR_PROTOCOL, "tokens: an answer with flags 0x%02x for sequence %u, position %d", r->flags, r->seq, r->pos);
    uint32_t n_vocab = s->config.n_vocab;
    uint32_t n_row = pool || n_vocab == 0 ? r->n_logits : n_vocab;
    if (r->sample.token < 0 || (n_vocab != 0 && (uint32_t)r->sample.token >= n_vocab) || (r->n_logits != 0 && r->n_logits != n_row) ||
        (pool && (r->flags & RESULT_VECTOR) != 0 && (r->n_logits == 0 || r->n_logits > FRAME_MAX_WIDTH))) {
        return err_set(e, ERR_PROTOCOL, "tokens: token %d, %u logits of a vocabulary of %u", r->sample.token, r->n_logits, n_vocab);
    }
    for (uint32_t i = 0; i < r->n_guess; i++)
        if (r->n_guess > s->config.n_guess || (n_vocab != 0 && (uint32_t)r->guesses[i].token >= n_vocab))
            return err_set(e, ERR_PROTOCOL, "tokens: %u guesses, token %d of a vocabulary of %u", r->n_guess, r->guesses[i].token, n_vocab);
    if (score && (r->flags & RESULT_FAILED) == 0 && r->score.token != x->token)
        return err_set(e, ERR_PROTOCOL, "tokens: token %d is scored, it was token %d", r->score.token, x->token);
    return ERR_OK;
}

/* Decodes the results into s->results, and notes which expected answer each is. */
static err_code read_results(struct sched *s, const struct sched_flight *fl, uint32_t n_results, struct bytes_reader *r, struct err *e) {
    bool empty = fl->faulted && n_results == 0;
    uint32_t n = 0;
    for (size_t i = 0; i < fl->n_expect && !empty; i++) {
        const struct sched_expect *x = &fl->expect[i];
        struct result_last *last = &s->slots[x->slot].last;
        if (!result_is_due(last, x->flags, x->pos, x->token)) continue;
        if (n == n_results) return err_set(e, ERR_PROTOCOL, "tokens: %u answers to a frame that asked for more", n_results);
        struct result *res = &s->results[n];
        if (result_get(r, res, e) != ERR_OK || check_result(s, x, res, e) != ERR_OK) return ERR_PROTOCOL;
        if ((x->flags & ENGINE_TOKEN_SAMPLE) != 0) result_note(last, res);
        s->answered[n++] = (uint16_t)i;
    }
    if (n != n_results) return err_set(e, ERR_PROTOCOL, "tokens: %u answers to a frame that asked for %u", n_results, n);
    for (uint32_t i = 1; i < n_results; i++)
        if (s->results[i].n_logits != s->results[0].n_logits && s->eval_state == SCHED_EVAL_RUNNING)
            return err_set(e, ERR_PROTOCOL, "tokens: rows of %u and of %u logits", s->results[0].n_logits, s->results[i].n_logits);
    s->n_results = n_results;
    return ERR_OK;
}

static err_code read_traces(const struct sched *s, uint16_t n_trace, struct bytes_reader *r, struct wire_trace *ret, struct err *e) {
    if (n_trace > s->config.n_stage)
        return err_set(e, ERR_PROTOCOL, "tokens: times of %u stages, the ring has %u", n_trace, s->config.n_stage);
    for (uint16_t i = 0; i < n_trace; i++)
        if (field_get(wire_trace_fields(), r, &ret[i], e) != ERR_OK || ret[i].stage >= s->config.n_stage)
            return err_set(e, ERR_PROTOCOL, "tokens: the times of the stages are malformed");
    return bytes_left(r) == 0 ? ERR_OK : err_set(e, ERR_PROTOCOL, "tokens: %zu bytes left over", bytes_left(r));
}

/* ---- giving them to the requests ---- */

static void add_times(struct sched *s, const struct sched_flight *fl, const struct wire_trace *traces, uint16_t n_trace, uint32_t hop_us) {
    for (size_t p = 0; p < fl->n_parts; p++) {
        struct sched_req *r = s->slots[fl->parts[p].slot].req;
        if (r == NULL || !is_current(s, fl->parts[p].slot, fl->parts[p].generation)) continue;
        for (uint16_t i = 0; i < n_trace; i++) {
            struct request_hop *h = &r->hops[traces[i].stage];
            h->frames++;
            h->compute_us += traces[i].compute_us;
            h->wait_us += traces[i].wait_us;
            h->hop_us += traces[i].hop_us;
        }
        r->hops[0].hop_us += hop_us; /* the way back from the tail */
    }
}

/* Learns how long a guess of the model's own layers takes, and returns how long all of this answer took. */
static uint32_t learn_guesses(struct sched *s, const struct result *results, uint32_t n) {
    enum { SHIFT = 3 }; /* the running mean follows one eighth of each difference */
    uint32_t all = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (results[i].n_guess == 0) continue;
        float us = (float)results[i].guess_us / (float)results[i].n_guess;
        s->own_us += s->own_us == 0 ? us : (us - s->own_us) / (1 << SHIFT);
        all += results[i].guess_us;
    }
    return all;
}

static void learn_time(struct sched *s, const struct sched_flight *fl, const struct wire_trace *traces, uint16_t n_trace, uint32_t hop_us) {
    if (fl->n_tokens == 0 || n_trace != s->config.n_stage || fl->faulted || s->eval_state == SCHED_EVAL_RUNNING) return;
    if (fl->follows) {
        sched_time_learn_crowd(&s->time, fl->n_tokens, traces);
    } else if (!fl->leads) { /* a frame with followers shares some stages with them: its times are neither alone nor crowded */
        enum sched_time_kind kind = fl->n_tokens == fl->n_expect && !fl->scores ? SCHED_TIME_DECODE : SCHED_TIME_PROMPT;
        sched_time_learn(&s->time, kind, fl->n_tokens, traces, hop_us);
    }
}

/* Adds the token to the text in which guesses are looked up; with the first token, the prompt and the generated tokens too. */
static void note_token(struct sched *s, struct sched_req *r, int32_t token) {
    if (s->config.n_draft == 0) return;
    const struct request *q = &r->request;
    if (r->spec.text == NULL) {
        sched_spec_start(&r->spec, r->kv, &s->lessons);
        for (size_t i = 0; i < q->n_tokens; i++)
            if (q->tokens[i] >= 0) sched_spec_push(&r->spec, q->tokens[i], false); /* rows of pictures are no text */
        for (size_t i = 0; i < q->n_generated; i++) sched_spec_push(&r->spec, q->generated[i], false);
    }
    sched_spec_push(&r->spec, token, true);
}

/* True: the token was sent already, as a guess. */
static bool accept_guess(const struct sched *s, struct sched_req *r, int32_t token) {
    if (r->n_ahead == 0 || s->slots[r->slot].tokens[r->n_sent] != token) return false;
    r->n_sent++;
    r->n_ahead--;
    sched_spec_accept(&r->spec);
    return true;
}

/* Takes back the guesses that were not confirmed. */
static void refuse_guesses(struct sched *s, struct sched_req *r) {
    sched_slot_cut(s, r->slot, r->n_sent);
    r->n_ahead = 0;
}

/* Tells of a token that is scored. */
static void push_score(struct sched *s, struct sched_req *r, const struct engine_sample *score) {
    struct sched_item *it = sched_push(s, SCHED_ACTION_EVENT);
    it->event = REQUEST_SCORE;
    it->req = r;
    it->id = r->request.id;
    it->sample = *score;
}

static void take_sample(struct sched *s, clock_us now, struct sched_req *r, const struct result *res) {
    if (r->first_token == 0) r->first_token = now;
    if (res->sample.end && !r->request.ignore_eos) {
        if (r->request.score) push_score(s, r, &res->sample); /* who reads log probabilities counts on as many as were sampled */
        sched_end(s, now, r, REQUEST_FINISH_STOP);
        return;
    }
    if (r->alone > 0 && --r->alone == 0) s->n_alone--;
    r->n_completion++;
    struct sched_item *it = sched_push(s, SCHED_ACTION_EVENT);
    it->event = REQUEST_TOKEN;
    it->req = r;
    it->id = r->request.id;
    it->completion = r->n_completion;
    it->sample = res->sample;
    if (r->n_completion >= r->max_completion) {
        sched_end(s, now, r, REQUEST_FINISH_LENGTH);
        return;
    }
    note_token(s, r, res->sample.token);
    sched_spec_offer(&r->spec, res->guesses, res->n_guess);
    if (!accept_guess(s, r, res->sample.token)) {
        refuse_guesses(s, r);
        r->next_token = res->sample.token;
        sched_set_state(s, r, SCHED_READY);
    }
}

/* A request that asks for no token has ended when all its prompt has been computed: no answer to a token says so. */
static void end_read(struct sched *s, clock_us now, const struct sched_flight *fl) {
    for (size_t p = 0; p < fl->n_parts; p++) {
        const struct sched_slot *sl = &s->slots[fl->parts[p].slot];
        struct sched_req *r = is_current(s, fl->parts[p].slot, fl->parts[p].generation) ? sl->req : NULL;
        if (r == NULL || r->request.embed || r->max_completion > 0 || r->state != SCHED_FLIGHT || sl->frame != fl->number) continue;
        r->first_token = now;
        sched_end(s, now, r, REQUEST_FINISH_LENGTH);
    }
}

static void take_vector(struct sched *s, clock_us now, struct sched_req *r, const struct result *res) {
    r->first_token = now;
    struct sched_item *it = sched_push(s, SCHED_ACTION_EVENT);
    it->event = REQUEST_VECTOR;
    it->id = r->request.id;
    it->vector = res->logits;
    it->n_vector = res->n_logits;
    sched_end(s, now, r, REQUEST_FINISH_STOP);
}

static void take_result(struct sched *s, clock_us now, const struct sched_expect *x, const struct result *res) {
    if (!is_current(s, x->slot, x->generation)) return;
    struct sched_req *r = s->slots[x->slot].req;
    if ((res->flags & RESULT_FAILED) != 0) {
        struct err why;
        err_set(&why, ERR_ENGINE, "%.*s", (int)res->text_len, res->text != NULL ? res->text : "");
        if (r != NULL) sched_fail(s, now, r, &why);
        else sched_eval_end(s, false, &why);
    } else if (r != NULL && (res->flags & RESULT_VECTOR) != 0) {
        take_vector(s, now, r, res);
    } else if (r != NULL) {
        if ((res->flags & RESULT_SCORED) != 0) push_score(s, r, &res->score);
        if ((res->flags & RESULT_SAMPLED) != 0) take_sample(s, now, r, res);
    }
}

static void take_eval(struct sched *s, const struct sched_flight *fl) {
    if (s->eval_state != SCHED_EVAL_RUNNING || fl->n_parts == 0 || !is_current(s, 0, fl->parts[0].generation) || s->slots[0].req != NULL)
        return;
    struct sched_item *it = sched_push(s, SCHED_ACTION_LOGITS);
    it->id = s->eval.id;
    it->batch = fl->batch;
    if (++s->eval_answered == s->eval.n_batches) sched_eval_end(s, false, NULL);
}

err_code sched_tokens(struct sched *s, clock_us now, uint32_t number, uint32_t n_results, uint16_t n_trace, const uint8_t *payload,
                      size_t len, uint32_t hop_us, struct err *e) {
    struct sched_flight *fl = oldest(s);
    if (fl == NULL || fl->number != number)
        return err_set(e, ERR_PROTOCOL, "tokens: an answer to frame %u, which is not the oldest in flight", number);
    struct bytes_reader r;
    bytes_reader_init(&r, payload, len);
    struct wire_trace traces[REQUEST_MAX_HOPS];
    if (read_results(s, fl, n_results, &r, e) != ERR_OK || read_traces(s, n_trace, &r, traces, e) != ERR_OK) return ERR_PROTOCOL;
    s->flight_first = (s->flight_first + 1) % s->config.n_credit;
    s->n_flight--;
    s->n_flight_decode -= fl->decode;
    s->n_flight_guesses -= fl->guesses;
    add_times(s, fl, traces, n_trace, hop_us);
    uint32_t guess_us = learn_guesses(s, s->results, n_results);
    if (n_trace > 0) /* the guesses are weighed apart */
        traces[n_trace - 1].compute_us -= guess_us < traces[n_trace - 1].compute_us ? guess_us : traces[n_trace - 1].compute_us;
    learn_time(s, fl, traces, n_trace, hop_us);
    for (uint32_t i = 0; i < n_results; i++) take_result(s, now, &fl->expect[s->answered[i]], &s->results[i]);
    end_read(s, now, fl);
    take_eval(s, fl);
    sched_mark_returned(s, number);
    return ERR_OK;
}

/* ---- faults ---- */

static void fault_parts(struct sched *s, clock_us now, const struct sched_flight *fl, const struct err *why) {
    for (size_t p = 0; p < fl->n_parts; p++) {
        uint32_t slot = fl->parts[p].slot;
        if (!is_current(s, slot, fl->parts[p].generation)) continue;
        if (s->slots[slot].req != NULL) sched_fail_dirty(s, now, s->slots[slot].req, why);
        else sched_eval_end(s, false, why);
    }
}

void sched_fail_flight(struct sched *s, clock_us now, const struct err *why) {
    for (uint32_t i = 0; i < s->n_flight; i++) fault_parts(s, now, &s->flights[(s->flight_first + i) % s->config.n_credit], why);
}

size_t sched_in_flight(const struct sched *s, uint64_t *ret_ids) {
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_flight; i++) {
        const struct sched_flight *fl = &s->flights[(s->flight_first + i) % s->config.n_credit];
        for (size_t p = 0; p < fl->n_parts; p++) {
            const struct sched_slot *sl = &s->slots[fl->parts[p].slot];
            if (!is_current(s, fl->parts[p].slot, fl->parts[p].generation)) continue;
            uint64_t id = sl->req != NULL ? sl->req->request.id : s->eval.id;
            size_t k = 0;
            while (k < n && ret_ids[k] != id) k++;
            if (k == n) ret_ids[n++] = id;
        }
    }
    return n;
}

/* A prefix that a request took over while the frame was on its way may have come from it, and so may the kept sequences. */
static void fault_heirs(struct sched *s, clock_us now, uint32_t number, const struct err *why) {
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        struct sched_req *r = s->slots[i].req;
        if (r != NULL && r->n_cached > 0 && (int32_t)(r->root_number - number) >= 0) sched_fail_dirty(s, now, r, why);
    }
    sched_mark_forget(s, number);
    sched_store_forget(s, number);
    sched_slot_forget(s);
}

void sched_fault_frame(struct sched *s, clock_us now, uint32_t number, const struct err *why) {
    for (uint32_t i = 0; i < s->n_flight; i++) {
        struct sched_flight *fl = &s->flights[(s->flight_first + i) % s->config.n_credit];
        if (fl->number == number) {
            fl->faulted = true;
            fault_parts(s, now, fl, why);
            fault_heirs(s, now, number, why);
        }
    }
}
