/* SPDX-License-Identifier: MIT
 * Fuzzes a linked peer's messages about the membership: MEMBERS frames and sealed records. The first byte chooses. After any bytes the
 * table stays bounded and sorted, and another core understands this core's messages. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "members/membership.h"
#include "members/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear(const uint8_t *data, size_t size) {
    struct membership *m = membership_create(7, 1, 0), *other = membership_create(9, 1, 0);
    struct membership_action a;
    struct err e = {0};
    clock_us next;
    uint64_t last = 0;
    const struct member *k;
    struct buf out;
    buf_init(&out, 1 << 16);
    membership_link_up(m, 1, 9, 1);
    membership_link_up(other, 1, 7, 1);
    if (membership_hear(m, 2, 9, data, size, &e) != ERR_OK && e.text[0] == '\0') abort();
    membership_tick(m, 3, &next);
    for (size_t i = 0; (k = membership_get(m, i)); last = k->id, i++)
        if (k->id <= last || i >= MEMBERSHIP_MAX) abort();
    while (membership_next_action(m, &a)) {
        if (a.kind != MEMBERSHIP_SEND || a.n_ids > 0) continue; /* an answer about ids has their order */
        buf_clear(&out);
        membership_write(m, &a, &out);
        if (membership_hear(other, 4, 7, out.data, out.len, &e) != ERR_OK) abort();
    }
    buf_done(&out);
    membership_free(m);
    membership_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct record_seal seal;
    if (size == 0) return 0;
    if (data[0] & 1) hear(data + 1, size - 1);
    else if (record_open(data + 1, size - 1, &seal, NULL) == ERR_OK && seal.text_len > size) abort();
    return 0;
}
