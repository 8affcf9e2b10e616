/* SPDX-License-Identifier: MIT
 * See batch.h. */
#include "trace/batch.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

/* The spans of one trace. */
struct group {
    struct list link;
    struct buf spans;
    size_t n;
};

struct trace_batch {
    char *head, *tail;
    struct list groups;     /* oldest first; the first n_sent of them are on their way */
    size_t n_spans, bytes;
    size_t n_sent, sent_spans;
    bool flying, hurries;
    clock_us ready;         /* the oldest group has waited long enough */
    clock_us not_before;    /* after a failure */
    uint32_t backoff_ms;    /* of the next failure */
    uint64_t exported, dropped, failures;
};

struct trace_batch *trace_batch_create(const char *head, const char *tail) {
    struct trace_batch *b = MEM_NEW(struct trace_batch);
    b->head = mem_strdup(head);
    b->tail = mem_strdup(tail);
    b->backoff_ms = TRACE_BATCH_FIRST_BACKOFF_MS;
    list_init(&b->groups);
    return b;
}

static void remove_first(struct trace_batch *b) {
    struct group *g = LIST_ENTRY(b->groups.next, struct group, link);
    b->n_spans -= g->n;
    b->bytes -= g->spans.len;
    list_remove(&g->link);
    buf_done(&g->spans);
    free(g);
}

void trace_batch_free(struct trace_batch *b) {
    if (b == NULL) return;
    while (!list_empty(&b->groups)) remove_first(b);
    free(b->head);
    free(b->tail);
    free(b);
}

void trace_batch_drop(struct trace_batch *b, size_t n) { b->dropped += n; }

/* The newest spans are dropped: the older ones may be on their way. */
void trace_batch_add(struct trace_batch *b, clock_us now, const struct buf *spans, size_t n) {
    if (n == 0) return;
    if (spans->failed || b->n_spans + n > TRACE_BATCH_QUEUE || b->bytes + spans->len > TRACE_BATCH_BYTES) {
        b->dropped += n;
        return;
    }
    struct group *g = MEM_NEW(struct group);
    g->n = n;
    buf_init(&g->spans, spans->len);
    buf_append(&g->spans, spans->data, spans->len);
    if (b->n_spans == b->sent_spans) b->ready = now + (clock_us)TRACE_BATCH_WAIT_MS * 1000;
    list_push_back(&b->groups, &g->link);
    b->n_spans += n;
    b->bytes += spans->len;
}

void trace_batch_hurry(struct trace_batch *b) { b->hurries = true; }

clock_us trace_batch_due(const struct trace_batch *b) {
    if (b->flying || list_empty(&b->groups)) return UINT64_MAX;
    clock_us ready = b->hurries || b->n_spans >= TRACE_BATCH_SPANS ? 0 : b->ready;
    return ready > b->not_before ? ready : b->not_before;
}

bool trace_batch_next(struct trace_batch *b, clock_us now, struct buf *out) {
    if (now < trace_batch_due(b)) return false;
    b->flying = true;
    b->n_sent = b->sent_spans = 0;
    buf_append_str(out, b->head);
    for (struct list *at = b->groups.next; at != &b->groups; at = at->next) {
        const struct group *g = LIST_ENTRY(at, struct group, link);
        if (b->n_sent > 0 && b->sent_spans + g->n > TRACE_BATCH_SPANS) break;
        if (b->n_sent > 0) buf_append_byte(out, ',');
        buf_append(out, g->spans.data, g->spans.len);
        b->n_sent++;
        b->sent_spans += g->n;
    }
    buf_append_str(out, b->tail);
    return true;
}

/* The statuses after which OTLP/HTTP wants the same spans again; 0 stands for no answer. */
static bool may_retry(int status) { return status == 0 || status == 429 || status == 502 || status == 503 || status == 504; }

static void back_off(struct trace_batch *b, clock_us now, uint32_t retry_after_s) {
    uint64_t ms = b->backoff_ms;
    if (retry_after_s > 0) ms = 1000 * (uint64_t)(retry_after_s < TRACE_BATCH_LONGEST_WAIT_S ? retry_after_s : TRACE_BATCH_LONGEST_WAIT_S);
    b->not_before = now + ms * 1000;
    b->backoff_ms = 2 * b->backoff_ms < TRACE_BATCH_LAST_BACKOFF_MS ? 2 * b->backoff_ms : TRACE_BATCH_LAST_BACKOFF_MS;
    b->n_sent = b->sent_spans = 0;
}

void trace_batch_answer(struct trace_batch *b, clock_us now, int status, uint32_t retry_after_s) {
    bool taken = status >= 200 && status < 300;
    b->flying = false;
    b->failures += !taken;
    if (may_retry(status)) {
        back_off(b, now, retry_after_s);
        return;
    }
    if (taken) b->exported += b->sent_spans;
    else b->dropped += b->sent_spans; /* it will never take them */
    for (; b->n_sent > 0; b->n_sent--) remove_first(b);
    b->sent_spans = 0;
    b->not_before = 0;
    b->backoff_ms = TRACE_BATCH_FIRST_BACKOFF_MS;
}

void trace_batch_count(const struct trace_batch *b, struct trace_batch_counts *ret) {
    *ret = (struct trace_batch_counts){.exported = b->exported, .dropped = b->dropped, .failures = b->failures, .waiting = b->n_spans};
}
