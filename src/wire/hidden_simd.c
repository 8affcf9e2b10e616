/* SPDX-License-Identifier: MIT
 * See hidden_simd.h. */
#include "wire/hidden_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Every processor with AVX2 has F16C too, for which older compilers have no name. */
static bool has_f16c(void) { return __builtin_cpu_supports("avx2"); }

__attribute__((target("avx,f16c"))) static size_t put_f16c(uint8_t *out, const float *in, size_t n) {
    const __m256 top = _mm256_set1_ps(65504.0f), bottom = _mm256_set1_ps(-65504.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) { /* of a NaN and a number, min and max give their second operand: the NaN */
        __m256 v = _mm256_max_ps(bottom, _mm256_min_ps(top, _mm256_loadu_ps(in + i)));
        _mm_storeu_si128((__m128i *)(void *)(out + 2 * i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return i;
}

__attribute__((target("avx,f16c"))) static size_t get_f16c(float *out, const uint8_t *in, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + 2 * i))));
    return i;
}

size_t wire_hidden_simd_put_f16(uint8_t *out, const float *in, size_t n) { return has_f16c() ? put_f16c(out, in, n) : 0; }

size_t wire_hidden_simd_get_f16(float *out, const uint8_t *in, size_t n) { return has_f16c() ? get_f16c(out, in, n) : 0; }

#elif defined(__aarch64__)
#include <arm_neon.h>

size_t wire_hidden_simd_put_f16(uint8_t *out, const float *in, size_t n) {
    const float32x4_t top = vdupq_n_f32(65504.0f), bottom = vdupq_n_f32(-65504.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) { /* vmin and vmax pass a NaN on */
        float16x4_t a = vcvt_f16_f32(vmaxq_f32(bottom, vminq_f32(top, vld1q_f32(in + i))));
        float16x4_t b = vcvt_f16_f32(vmaxq_f32(bottom, vminq_f32(top, vld1q_f32(in + i + 4))));
        vst1q_u8(out + 2 * i, vreinterpretq_u8_f16(vcombine_f16(a, b)));
    }
    return i;
}

size_t wire_hidden_simd_get_f16(float *out, const uint8_t *in, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float16x8_t v = vreinterpretq_f16_u8(vld1q_u8(in + 2 * i));
        vst1q_f32(out + i, vcvt_f32_f16(vget_low_f16(v)));
        vst1q_f32(out + i + 4, vcvt_f32_f16(vget_high_f16(v)));
    }
    return i;
}

#else

size_t wire_hidden_simd_put_f16(uint8_t *out, const float *in, size_t n) {
    (void)out, (void)in, (void)n;
    return 0;
}

size_t wire_hidden_simd_get_f16(float *out, const uint8_t *in, size_t n) {
    (void)out, (void)in, (void)n;
    return 0;
}

#endif
