/* SPDX-License-Identifier: MIT
 * See peer_clock.h. */
#include "wire/peer_clock.h"

bool peer_clock_is_due(const struct peer_clock *c, clock_us now) { return c->asked_at == 0 && now - c->last_asked >= PEER_CLOCK_EVERY_US; }

void peer_clock_asked(struct peer_clock *c, clock_us now) { c->asked_at = c->last_asked = now; }

void peer_clock_answered(struct peer_clock *c, clock_us asked_at, clock_us arrived, clock_us answered, clock_us now) {
    if (c->asked_at == 0 || asked_at != c->asked_at) return;
    c->asked_at = 0;
    c->answers++;
    int64_t held = (int64_t)(answered - arrived), trip = (int64_t)(now - asked_at) - held;
    if (held < 0 || trip < 0) return;
    clock_us known_to = c->rtt_us / 2 + (now - c->measured_at) * PEER_CLOCK_DRIFT_PPM / 1000000;
    if (c->measured_at != 0 && (clock_us)trip / 2 > known_to) return;
    c->rtt_us = (clock_us)trip;
    c->offset_us = ((int64_t)(arrived - asked_at) + (int64_t)(answered - now)) / 2;
    c->measured_at = now;
}

uint32_t peer_clock_hop_us(const struct peer_clock *c, uint64_t sent_us, clock_us now) {
    int64_t hop = (int64_t)(now - sent_us) + c->offset_us;
    return hop < 0 ? 0 : hop > UINT32_MAX ? UINT32_MAX : (uint32_t)hop;
}
