/* SPDX-License-Identifier: MIT */
#include "sched/rows.h"

static uint32_t end_of(const struct request_rows *rows) { return rows->at + rows->rows->n; }

/* How many of the rows begin at pos or before. */
static uint32_t count_until(const struct request *q, uint32_t pos) {
    uint32_t low = 0, high = q->n_rows;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (q->rows[middle].at <= pos) low = middle + 1;
        else high = middle;
    }
    return low;
}

const struct request_rows *sched_rows_at(const struct request *q, uint32_t pos) {
    uint32_t n = count_until(q, pos);
    return n > 0 && pos < end_of(&q->rows[n - 1]) ? &q->rows[n - 1] : NULL;
}

static err_code check_token(const struct request *q, uint32_t n_vocab, uint32_t pos, struct err *e) {
    int32_t token = q->tokens[pos];
    const struct request_rows *rows = sched_rows_at(q, pos);
    if (rows != NULL && token < 0 && rows->rows->ids[pos - rows->at] == token) return ERR_OK;
    if (rows != NULL || token < 0 || (n_vocab != 0 && (uint32_t)token >= n_vocab))
        return err_set(e, ERR_INVALID, "token %d is not in the vocabulary of %u", token, n_vocab);
    return ERR_OK;
}

err_code sched_rows_check(const struct request *q, uint32_t n_vocab, uint32_t n_batch, struct err *e) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < q->n_rows; i++) {
        const struct request_rows *rows = &q->rows[i];
        if (rows->at < before || rows->rows->n == 0 || rows->rows->n > q->n_tokens - rows->at)
            return err_set(e, ERR_INVALID, "rows of a picture that do not stand within the prompt");
        if (rows->rows->together && rows->rows->n > n_batch)
            return err_set(e, ERR_INVALID, "a picture of %u rows, and a batch has %u at most", rows->rows->n, n_batch);
        before = end_of(rows);
    }
    err_code code = ERR_OK;
    for (uint32_t i = 0; i < q->n_tokens && code == ERR_OK; i++) code = check_token(q, n_vocab, i, e);
    return code;
}

uint32_t sched_rows_run(const struct request *q, uint32_t pos, uint32_t *ret_start) {
    uint32_t n = count_until(q, pos);
    if (sched_rows_at(q, pos) == NULL) {
        *ret_start = n > 0 ? end_of(&q->rows[n - 1]) : 0;
        return n < q->n_rows ? q->rows[n].at : (uint32_t)q->n_tokens;
    }
    uint32_t first = n - 1, last = n - 1;
    while (first > 0 && end_of(&q->rows[first - 1]) == q->rows[first].at) first--;
    while (last + 1 < q->n_rows && end_of(&q->rows[last]) == q->rows[last + 1].at) last++;
    *ret_start = q->rows[first].at;
    return end_of(&q->rows[last]);
}

uint32_t sched_rows_chunk(const struct request *q, uint32_t pos, uint32_t n, uint32_t most) {
    const struct request_rows *first = sched_rows_at(q, pos), *last = n > 0 ? sched_rows_at(q, pos + n - 1) : NULL;
    if (first != NULL && first->rows->together) return first->rows->n <= most ? first->rows->n : 0;
    bool cut = last != NULL && last->rows->together && pos + n < end_of(last);
    return cut ? last->at - pos : n;
}

uint32_t sched_rows_shared(const struct request *q, uint32_t n) {
    const struct request_rows *rows = n > 0 ? sched_rows_at(q, n) : NULL;
    return rows != NULL ? rows->at : n;
}
