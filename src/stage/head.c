/* SPDX-License-Identifier: MIT
 * The head's part of a ring: takes requests from the node, computes what the scheduler decides, takes answers from the tail, and sends
 * events to the node. In a one-stage ring the answers come directly from the stage core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/hash.h"
#include "stage/loop_priv.h"
#include "stage/tokenize.h"

/* Tokens from one mark to the next in a long text. Each costs a copy of the state, and ends a batch. */
enum { MARK_EVERY = 256 };
/* Sequences of fewer tokens are computed as fast as they are read from a disk; or the wait for all stages' consent takes as long. */
enum { DISK_LEAST = 256, MEMORY_LEAST = 64 };
enum { MEDIA_KEPT = 64 << 20 /* bytes of rows of pictures that are kept for later requests */ };

static clock_us head_clock(void *user) {
    (void)user;
    return clock_now();
}

static bool no_progress(void *user, uint32_t percent, const struct stage_fetch *fetch) {
    (void)user;
    (void)percent;
    (void)fetch;
    return true;
}

/* Loads the whole draft model in this process, with a sequence for each of the big model's sequences. */
static err_code open_draft(struct stage_loop *l, stage_open_fn open, void *user, struct err *e) {
    struct stage_order *order = MEM_NEW(struct stage_order);
    struct engine small = {0};
    *order = l->order;
    snprintf(order->path, sizeof(order->path), "%s", l->order.draft);
    order->model[0] = order->source_host[0] = order->mmproj[0] = '\0';
    order->find_mmproj = false;
    order->n_adapters = 0;
    order->first = order->end = 0;
    order->load.n_ctx = l->engine.info.n_ctx_seq;
    order->load.exact = order->load.mtp = false;
    err_code code = open(user, order, no_progress, NULL, &small, e);
    free(order);
    if (code == ERR_OK && (code = draft_create(&l->engine, &small, head_clock, NULL, &l->draft, e)) != ERR_OK) small.ops->close(small.self);
    if (code != ERR_OK && e != NULL) err_prefix(e, "draft model \"%s\"", l->order.draft);
    return code;
}

/* Would the bits depend on what was copied or taken back before? Then each request under --exact computes all of its positions, once. */
static bool starts_anew(const struct stage_loop *l) { return l->order.load.exact && l->engine.info.cells_move; }

/* Speculation needs positions that can be taken back. */
static err_code prepare_guesses(struct stage_loop *l, stage_open_fn open, void *user, struct sched_config *c, struct err *e) {
    const struct engine_info *info = &l->engine.info;
    c->n_draft = l->order.options.n_draft < info->n_rewind ? l->order.options.n_draft : info->n_rewind;
    c->draft_always = l->order.options.draft_always;
    c->draft_alone = info->rewind_alone;
    c->draft_once = info->n_rewind < info->n_ctx_seq;
    c->n_guess = l->order.load.mtp ? info->n_guess : 0;
    if (starts_anew(l)) {
        c->n_draft = c->n_guess = 0;
        log_info("stage", "--exact: this model has a sliding window, so nothing is guessed, and nothing is taken over from other requests");
    } else if (c->n_draft < l->order.options.n_draft) {
        log_info("stage", "speculation: %u tokens ahead, not %u: this model keeps a state instead of the past%s", c->n_draft,
                 l->order.options.n_draft, c->draft_always ? "" : "; --speculate N keeps copies of it, where libllama can");
    }
    if (l->order.draft[0] == '\0' || c->n_draft == 0) return ERR_OK;
    err_code code = open_draft(l, open, user, e);
    if (code == ERR_OK) c->drafter = draft_drafter(l->draft);
    return code;
}

/* Where turns begin and end, a model has control tokens. */
static void find_turns(struct stage_loop *l, struct sched_config *c) {
    uint8_t *turns = mem_calloc(c->n_vocab, 1);
    for (uint32_t i = 0; i < c->n_vocab; i++) {
        buf_clear(&l->piece);
        turns[i] = l->engine.ops->piece(l->engine.self, (int32_t)i, &l->piece);
    }
    c->turns = l->turns = turns;
}

/* What an earlier process has left. */
static void on_stored(void *user, uint64_t key, const int32_t *tokens, uint32_t n, uint32_t n_prompt, bool mark) {
    struct stage_loop *l = user;
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] >= 0 && (uint32_t)tokens[i] >= l->engine.info.n_vocab) return;
    const struct sched_stored x = {
        .key = key, .n = n, .n_prompt = n_prompt, .mark = mark, .tokens = (int32_t *)(uintptr_t)tokens /* it copies them */};
    sched_store_add(l->sched, &x);
}

/* The stores have a file for each key; the head's have the tokens, too. */
static void note_stored(struct stage_loop *l, const struct sched_action *a) {
    for (size_t i = 0; i < a->n_ops && l->prefixes != NULL; i++) {
        if (a->ops[i].kind != ENGINE_OP_SAVE && a->ops[i].kind != ENGINE_OP_KEEP) continue;
        const struct sched_stored *x = sched_store_find(l->sched, a->ops[i].key);
        if (x != NULL) prefixes_note(l->prefixes, x->key, x->tokens, x->n, x->n_prompt);
    }
}

/* Under --exact a sequence must come back bit by bit. Those of models with a window do not: their marks aren't exact either. */
static bool stores(const struct stage_loop *l) {
    const struct engine_info *info = &l->engine.info;
    return l->prefixes != NULL && !starts_anew(l) && (!l->order.load.exact || info->can_remove || info->can_mark);
}

err_code stage_head_create(struct stage_loop *l, stage_open_fn open, void *user, struct err *e) {
    const struct engine_info *info = &l->engine.info;
    if (l->order.n_stage > REQUEST_MAX_HOPS)
        return err_set(e, ERR_LIMIT, "a ring of %u stages, at most %d", l->order.n_stage, REQUEST_MAX_HOPS);
    struct sched_config config = {.n_stage = l->order.n_stage,
                                  .n_seq = info->n_seq,
                                  .n_ctx_seq = info->n_ctx_seq,
                                  .n_ctx = info->n_ctx,
                                  .n_batch = info->n_batch,
                                  .n_vocab = info->n_vocab,
                                  .n_queue = l->order.n_queue,
                                  .n_credit = l->order.n_credit,
                                  .exact = l->order.load.exact,
                                  .can_remove = info->can_remove,
                                  .mark_every = info->can_mark ? MARK_EVERY : 0,
                                  .mark_whole = info->mark_whole,
                                  .store_least = stores(l)        ? DISK_LEAST
                                                 : starts_anew(l) ? 0
                                                                  : MEMORY_LEAST,
                                  .store_lasts = stores(l),
                                  .prefix_cache = l->order.options.prefix_cache && !starts_anew(l),
                                  .latency_us = l->order.options.latency_ms * 1000};
    if (info->pooling != ENGINE_POOL_NONE) { /* every row of a text must be computed and pooled: no kept prefix can replace it */
        config.embeds = true;
        config.at_once = info->at_once;
        config.prefix_cache = false;
        l->order.options.n_draft = 0;
    }
    uint32_t most = config.embeds && config.at_once && config.n_batch < config.n_ctx_seq ? config.n_batch : config.n_ctx_seq;
    if (config.mark_every > 0 && config.prefix_cache) find_turns(l, &config);
    err_code code = prepare_guesses(l, open, user, &config, e);
    l->media = media_create(&l->engine, l->order.path, MEDIA_KEPT);
    if (code == ERR_OK) code = tokenizer_create(&l->engine, l->media, l->watch, most, TOKENIZER_MAX_BYTES, &l->tokenizer, e);
    if (code != ERR_OK) return code;
    l->sched = sched_create(&config);
    if (stores(l)) prefixes_list(l->prefixes, on_stored, l);
    return ERR_OK;
}

/* ---- to the node ---- */

static uint16_t copy_piece(struct stage_loop *l, int32_t token, char *out, size_t size, bool *ret_control) {
    buf_clear(&l->piece);
    *ret_control = l->engine.ops->piece(l->engine.self, token, &l->piece);
    size_t len = l->piece.len < size ? l->piece.len : size;
    if (len > 0) memcpy(out, l->piece.data, len);
    return (uint16_t)len;
}

/* A request has ended: its numbers, for who looks at the logs of this machine. */
static void log_end(const struct request *r, const struct request_event *ev) {
    const struct log_request before = stage_loop_enter(r->name, r->trace);
    if (ev->kind == REQUEST_FAILED) {
        log_info("stage", "request failed: %s", ev->err.text);
    } else {
        const struct log_field fields[] = {
            {.name = "prompt_tokens", .number = ev->prompt_tokens},         {.name = "cached_tokens", .number = ev->cached_tokens},
            {.name = "completion_tokens", .number = ev->completion_tokens}, {.name = "queued_us", .number = (int64_t)ev->queued_us},
            {.name = "prefill_us", .number = (int64_t)ev->prefill_us},      {.name = "decode_us", .number = (int64_t)ev->decode_us}};
        log_write_fields(LOG_DEBUG, "stage", fields, ARRAY_LEN(fields), "request ended");
    }
    log_leave(&before);
}

/* Events of one answer of the tail go out together, before the next frame is computed. */
static err_code tell_event(struct stage_loop *l, const struct request_event *ev, struct err *e) {
    buf_clear(&l->message);
    request_event_encode(ev, &l->message);
    struct frame_header h = {.type = FRAME_EVENT, .epoch = l->order.epoch};
    return wire_link_join(l->local, &h, l->message.data, l->message.len, e);
}

/* The event is the scheduler's scratch memory, so the text of the tokens is written into it. */
static err_code complete_event(struct stage_loop *l, const struct sched_action *a, struct err *e) {
    struct request_event *ev = a->event;
    if (a->request != NULL && request_event_is_last(ev)) log_end(a->request, ev);
    if (ev->kind == REQUEST_TOKEN || ev->kind == REQUEST_SCORE) {
        ev->piece_len = copy_piece(l, ev->token, ev->piece, sizeof(ev->piece), &ev->control);
        for (uint8_t i = 0; i < ev->n_top; i++) {
            bool control;
            struct request_top *top = &ev->top[i];
            uint16_t len = copy_piece(l, top->token, top->piece, sizeof(top->piece), &control);
            top->piece_len = control ? 0 : (uint8_t)len;
        }
    }
    return tell_event(l, ev, e);
}

err_code stage_head_refuse(struct stage_loop *l, uint64_t id, const struct err *why, struct err *e) {
    struct request_event ev;
    request_event_init(&ev, id, REQUEST_FAILED);
    ev.err = *why;
    err_code code = tell_event(l, &ev, e);
    return code == ERR_OK ? wire_link_flush_joined(l->local, e) : code;
}

/* The tail's answer has other fields between the rows of logits: copies the rows into one array. Only for an EVAL. */
static err_code tell_logits(struct stage_loop *l, const struct sched_action *a, struct err *e) {
    const struct result *first = a->n_results > 0 ? &a->results[0] : NULL;
    struct request_logits head = {.id = a->id, .batch = a->batch, .n_rows = (uint32_t)a->n_results};
    if (first != NULL) {
        head.n_vocab = first->n_logits;
        head.pos = (uint32_t)first->pos;
    }
    uint8_t bytes[FIELD_SIZE(request_logits)];
    field_put(request_logits_fields(), &head, bytes);
    size_t row = (size_t)head.n_vocab * 4, size = row * a->n_results;
    uint8_t *rows = malloc(size > 0 ? size : 1);
    if (rows == NULL) return err_set(e, ERR_MEMORY, "no memory for %zu rows of logits", a->n_results);
    for (size_t i = 0; i < a->n_results; i++) memcpy(rows + i * row, a->results[i].logits, row);
    struct wire_part parts[2] = {{.data = bytes, .len = sizeof(bytes)}, {.data = rows, .len = size}};
    struct frame_header h = {.type = FRAME_LOGITS, .epoch = l->order.epoch};
    err_code code = wire_link_send(l->local, &h, parts, 2, e);
    free(rows);
    return code;
}

/* ---- from the node ---- */

/* Only embedding models return a vector, and only a model that ranks takes two texts. */
static err_code check_kind(const struct stage_loop *l, const struct request *r, struct err *e) {
    bool ranks = l->engine.info.pooling == ENGINE_POOL_RANK;
    if (r->second != NULL && !ranks) {
        err_set(e, ERR_UNSUPPORTED, "the model does not rank texts");
        err_hint(e, "load a reranking model (its file says `pooling_type` = rank)");
        return ERR_UNSUPPORTED;
    }
    if (r->embed && r->second == NULL && ranks) return err_set(e, ERR_UNSUPPORTED, "the model ranks texts: it gives no embeddings");
    return ERR_OK;
}

/* Does the request name adapters that are there, and are they other ones than usual? */
static err_code check_adapters(const struct stage_loop *l, struct request *r, struct err *e) {
    const struct engine_sampling *p = &r->sampling;
    float scales[MODEL_MAX_ADAPTERS] = {0};
    bool usual = true;
    for (uint32_t i = 0; i < p->n_lora; i++) {
        if (p->lora[i].id >= l->order.n_adapters)
            return err_set_field(e, ERR_INVALID, "lora", "there is no adapter %u: the model has %u", p->lora[i].id, l->order.n_adapters);
        scales[p->lora[i].id] = p->lora[i].scale;
    }
    for (uint32_t i = 0; i < l->order.n_adapters; i++) usual = usual && scales[i] == (float)l->order.adapters[i].scale;
    if (p->has_lora && !usual) {
        uint8_t hash[MODEL_HASH_SIZE];
        model_hash(scales, sizeof(scales), hash);
        r->variant = bytes_get_u64(hash) | 1;
    }
    return ERR_OK;
}

/* Gives a request with tokens to the scheduler. If the scheduler refuses it, tells the sender. */
static err_code take_request(struct stage_loop *l, struct request *r, err_code code, struct err *why, struct err *e) {
    uint64_t id = r->id;
    if (r->n_generated > 0) r->sampling.generated_from = (uint32_t)r->n_tokens; /* the grammar reads the replayed tokens again */
    if (code == ERR_OK) code = sched_submit(l->sched, clock_now(), r, why);
    request_done(r);
    return code == ERR_OK ? ERR_OK : stage_head_refuse(l, id, why, e);
}

/* Gives a long text to the tokenizer's thread. A suspect's text never comes here, since nothing else may be in flight beside a suspect. */
static err_code push_long(struct stage_loop *l, struct request *r, bool asks, struct err *why) {
    if (tokenizer_count(l->tokenizer) > l->order.n_queue || !tokenizer_has_room(l->tokenizer, r))
        return err_set(why, ERR_BUSY, "%zu texts are waiting already", tokenizer_count(l->tokenizer));
    tokenizer_push(l->tokenizer, r, asks);
    return ERR_OK;
}

static err_code tokenize(struct stage_loop *l, struct request *r, struct err *why) {
    stage_watch_doing(l->watch, STAGE_READS);
    stage_watch_expose(l->watch, &r->id, 1);
    err_code code = tokenizer_run(l->tokenizer, r, why);
    stage_watch_expose(l->watch, NULL, 0);
    stage_loop_computes(l);
    return code;
}

static err_code take_submit(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct err why = {0};
    struct request r;
    if (request_decode(payload, len, &r, &why) != ERR_OK) {
        uint64_t id;
        if (request_decode_id(payload, len, &id)) return stage_head_refuse(l, id, &why, e);
        struct stage_fault fault = {.err = why, .frame = -1, .seq = -1, .generation = -1};
        return stage_loop_tell_fault(l, &fault, e);
    }
    err_code code = check_kind(l, &r, &why);
    if (code == ERR_OK) code = check_adapters(l, &r, &why);
    if (code == ERR_OK && tokenizer_is_long(&r) && !r.alone) {
        code = push_long(l, &r, false, &why);
        if (code == ERR_OK) return ERR_OK;
    } else if (code == ERR_OK) {
        code = tokenize(l, &r, &why);
    }
    return take_request(l, &r, code, &why, e);
}

static err_code take_eval(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct err why = {0};
    struct request_eval ev;
    uint64_t id = 0;
    err_code code = request_eval_decode(payload, len, &ev, &id, &why);
    if (code == ERR_OK) {
        code = sched_eval(l->sched, clock_now(), &ev, &why);
        request_eval_done(&ev);
    }
    return code == ERR_OK ? ERR_OK : stage_head_refuse(l, id, &why, e);
}

static err_code answer_pieces(struct stage_loop *l, const struct tokenize_ask *ask, struct buf *answer, struct err *why) {
    size_t n = ask->n_tokens;
    uint32_t *ends = mem_calloc(n, sizeof(*ends));
    struct buf bytes;
    buf_init(&bytes, frame_max_payload(FRAME_TOKENIZED));
    for (size_t i = 0; i < n; i++) {
        l->engine.ops->piece(l->engine.self, tokenize_ask_token(ask, i), &bytes);
        ends[i] = (uint32_t)bytes.len;
    }
    tokenize_pieces_encode(ask->id, (const char *)bytes.data, ends, n, answer);
    bool failed = bytes.failed || answer->failed;
    buf_done(&bytes);
    free(ends);
    return failed ? err_set(why, ERR_LIMIT, "the text of %zu tokens is too long", n) : ERR_OK;
}

/* Sends the answer to a TOKENIZE frame: the contents of `answer`, or the error `why`. */
static err_code tell_tokenized(struct stage_loop *l, uint64_t id, err_code code, struct buf *answer, struct err *why, struct err *e) {
    if (code == ERR_OK && answer->failed) code = err_set(why, ERR_LIMIT, "the text has too many tokens");
    if (code != ERR_OK) {
        buf_done(answer);
        buf_init(answer, frame_max_payload(FRAME_TOKENIZED));
        tokenize_failure_encode(id, why, answer);
    }
    return stage_loop_tell(l, FRAME_TOKENIZED, answer->data, answer->len, e);
}

static err_code tell_tokens(struct stage_loop *l, const struct request *r, err_code code, struct err *why, struct err *e) {
    struct buf answer;
    buf_init(&answer, frame_max_payload(FRAME_TOKENIZED));
    if (code == ERR_OK) tokenize_tokens_encode(r->id, r->tokens, r->n_tokens, &answer);
    code = tell_tokenized(l, r->id, code, &answer, why, e);
    buf_done(&answer);
    return code;
}

static err_code tell_pieces(struct stage_loop *l, const struct tokenize_ask *ask, struct err *e) {
    struct err why = {0};
    struct buf answer;
    buf_init(&answer, frame_max_payload(FRAME_TOKENIZED));
    stage_watch_doing(l->watch, STAGE_READS);
    err_code code = answer_pieces(l, ask, &answer, &why);
    stage_loop_computes(l);
    code = tell_tokenized(l, ask->id, code, &answer, &why, e);
    buf_done(&answer);
    return code;
}

/* Always gives the text to the tokenizer's thread, because the answer is not urgent. */
static err_code take_tokenize(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct tokenize_ask ask;
    struct err why = {0};
    err_code code = tokenize_ask_decode(payload, len, &ask, e);
    if (code != ERR_OK) return code;
    if (ask.back) return tell_pieces(l, &ask, e);
    struct request r;
    request_init(&r);
    r.id = ask.id;
    r.add_bos = ask.bos;
    r.parse_special = ask.special;
    r.text = mem_alloc(ask.text_len + 1);
    memcpy(r.text, ask.text, ask.text_len);
    r.text_len = ask.text_len;
    code = push_long(l, &r, true, &why);
    if (code != ERR_OK) code = tell_tokens(l, &r, code, &why, e);
    request_done(&r);
    return code;
}

err_code stage_head_texts(struct stage_loop *l, struct err *e) {
    struct tokenizer_job j;
    while (tokenizer_pop(l->tokenizer, &j)) {
        err_code code;
        if (j.asks) {
            code = tell_tokens(l, &j.request, j.code, &j.err, e);
            request_done(&j.request);
        } else {
            code = take_request(l, &j.request, j.code, &j.err, e);
        }
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* The tokenizer may still have the request; then the scheduler does not know it. */
static err_code take_cancel(struct stage_loop *l, uint64_t id, struct err *e) {
    if (!tokenizer_cancel(l->tokenizer, id)) {
        sched_cancel(l->sched, clock_now(), id);
        return ERR_OK;
    }
    struct request_event ev;
    request_event_init(&ev, id, REQUEST_DONE);
    ev.finish = REQUEST_FINISH_CANCELLED;
    err_code code = tell_event(l, &ev, e);
    return code == ERR_OK ? wire_link_flush_joined(l->local, e) : code;
}

err_code stage_head_local(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct request_cancel cancel;
    switch (h->type) {
    case FRAME_SUBMIT: return take_submit(l, payload, h->payload_len, e);
    case FRAME_EVAL: return take_eval(l, payload, h->payload_len, e);
    case FRAME_TOKENIZE: return take_tokenize(l, payload, h->payload_len, e);
    case FRAME_CANCEL:
        if (field_decode(request_cancel_fields(), payload, h->payload_len, &cancel, e) != ERR_OK) return ERR_PROTOCOL;
        return take_cancel(l, cancel.id, e);
    default: return err_set(e, ERR_PROTOCOL, "a %s frame came to the head", frame_type_name(h->type));
    }
}

/* ---- from the ring ---- */

static err_code take_fault(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_fault f;
    if (stage_fault_decode(payload, len, &f, e) != ERR_OK) return ERR_PROTOCOL;
    if (f.err.field[0] == '\0') err_prefix(&f.err, "stage %u", f.stage); /* a field is the client's affair, and no stage's fault */
    if (f.frame >= 0) sched_fault_frame(l->sched, clock_now(), (uint32_t)f.frame, &f.err);
    else if (f.seq >= 0) sched_fault_seq(l->sched, clock_now(), (uint32_t)f.seq, (uint32_t)f.generation, &f.err);
    return ERR_OK;
}

static err_code take_lost(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_lost lost;
    if (stage_lost_decode(payload, len, &lost, e) != ERR_OK) return ERR_PROTOCOL;
    for (uint32_t i = 0; i < lost.n; i++) sched_lost(l->sched, clock_now(), stage_lost_key(&lost, i));
    return ERR_OK;
}

err_code stage_head_ring(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, struct err *e) {
    if (h->epoch != l->order.epoch) {
        return err_set(e, ERR_STALE, "a frame of epoch %llu in a ring of epoch %llu", (unsigned long long)h->epoch,
                       (unsigned long long)l->order.epoch);
    }
    if (h->type == FRAME_FAULT) return take_fault(l, payload, h->payload_len, e);
    if (h->type == FRAME_LOST) return take_lost(l, payload, h->payload_len, e);
    if (h->type != FRAME_TOKENS) return err_set(e, ERR_PROTOCOL, "a %s frame came to the head", frame_type_name(h->type));
    return sched_tokens(l->sched, clock_now(), h->number, h->n_tokens, h->n_trace, payload, h->payload_len, hop_us, e);
}

/* In a one-stage ring the frames that the stage core sends come back here at once. */
static err_code deliver(struct stage_loop *l, struct err *e) {
    if (l->out != NULL) return stage_loop_send(l, e);
    for (size_t i = 0; i < l->frames.n; i++) {
        const struct stage_out_frame *f = &l->frames.frames[i];
        const uint8_t *payload = f->n_parts > 0 ? f->parts[0].data : NULL;
        err_code code = stage_head_ring(l, &f->header, payload, 0, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- actions ---- */

static err_code open_sequence(struct stage_loop *l, const struct sched_action *a, struct err *e) {
    struct stage_open open = {.seq = a->seq, .generation = a->generation, .sampling = a->request->sampling};
    memcpy(open.name, a->request->name, sizeof(open.name));
    memcpy(open.trace, a->request->trace, sizeof(open.trace));
    if (l->out == NULL) stage_watch_expose(l->watch, &a->id, 1);
    stage_loop_log_open(&open);
    stage_begin_open(l->stage, &open, &l->frames);
    return deliver(l, e);
}

static err_code carry_out(struct stage_loop *l, const struct sched_action *a, struct err *e) {
    err_code code;
    size_t n;
    switch (a->kind) {
    case SCHED_ACTION_OPEN: return open_sequence(l, a, e);
    case SCHED_ACTION_FRAME:
        if ((code = wire_link_flush_joined(l->local, e)) != ERR_OK) return code;
        n = sched_in_flight(l->sched, l->in_flight);
        stage_watch_expose(l->watch, l->in_flight, n);
        note_stored(l, a);
        stage_begin(l->stage, a->number, a->ops, a->n_ops, a->tokens, a->rows, a->n_tokens, &l->frames);
        l->computed = l->computed || a->n_tokens > 0;
        code = stage_loop_tell_own_faults(l, e);
        return code == ERR_OK ? deliver(l, e) : code;
    case SCHED_ACTION_EVENT: return complete_event(l, a, e);
    case SCHED_ACTION_LOGITS: return tell_logits(l, a, e);
    default: return ERR_OK;
    }
}

err_code stage_head_pump(struct stage_loop *l, bool *ret_more, struct err *e) {
    struct sched_action a;
    *ret_more = false;
    while (!*ret_more && sched_next(l->sched, clock_now(), &a)) {
        *ret_more = a.kind == SCHED_ACTION_FRAME; /* look at the links between two frames */
        err_code code = carry_out(l, &a, e);
        if (code != ERR_OK) return code;
    }
    return wire_link_flush_joined(l->local, e);
}

/* The ring is broken. Its requests fail with UNAVAILABLE, so that they may go on in another ring. After a crash the requests that may be
 * its cause fail with CRASH. */
void stage_head_fail(struct stage_loop *l, const struct err *why) {
    struct err lost = *why;
    lost.code = ERR_UNAVAILABLE;
    if (why->code == ERR_CRASH) sched_fail_flight(l->sched, clock_now(), why);
    sched_fail_all(l->sched, clock_now(), &lost);
    for (uint64_t id; tokenizer_drop(l->tokenizer, &id);)
        if (stage_head_refuse(l, id, &lost, NULL) != ERR_OK) return;
    struct sched_action a;
    while (sched_next(l->sched, clock_now(), &a))
        if (a.kind == SCHED_ACTION_EVENT && complete_event(l, &a, NULL) != ERR_OK) return; /* the node has gone too */
    wire_link_flush_joined(l->local, NULL);
}
