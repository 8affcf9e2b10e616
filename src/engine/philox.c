/* SPDX-License-Identifier: MIT */
#include "engine/philox.h"

#include <string.h>

enum { ROUNDS = 10 };

void engine_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4]) {
    uint32_t c[4], k0 = key[0], k1 = key[1];
    memcpy(c, counter, sizeof(c));
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(ret, c, sizeof(c));
}

double engine_uniform(uint64_t seed, int32_t pos, uint32_t purpose) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)pos, purpose, 0, 0};
    uint32_t r[4];
    engine_philox(counter, key, r);
    uint64_t bits = ((uint64_t)r[0] << 32 | r[1]) >> 11;
    return (double)bits * 0x1.0p-53;
}
