/* SPDX-License-Identifier: MIT
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A number is a function of key and counter alone, so a request continued on another machine draws the same ones,
 * independent of earlier draws. Not for secrets. Pure functions, any thread. */
#ifndef CARAVAN_ENGINE_PHILOX_H
#define CARAVAN_ENGINE_PHILOX_H

#include <stdint.h>

/* One block: ret = philox(counter, key). */
void engine_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4]);
/* The uniform number in [0, 1) of (seed, position, purpose): 53 random bits. */
double engine_uniform(uint64_t seed, int32_t pos, uint32_t purpose);

#endif
