/* SPDX-License-Identifier: MIT
 * How much data a PNG file holds. A decoder unpacks all of it, whatever the header says of the picture's size, so a small file could fill
 * the memory. The data are a zlib stream (RFC 1950, 1951) that is cut into chunks. Its codes are read here, and the bytes that they stand
 * for are counted. */
#include <string.h>

#include "base/mem.h"
#include "engine/media_priv.h"

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

enum { FIRST_CHUNK = 8, HEAD_SIZE = 13, CHUNK_FRAME = 12 /* length, name, checksum */ };

bool media_png_head(const uint8_t *data, size_t len, struct media_png *ret) {
    const uint8_t *chunk = data + FIRST_CHUNK;
    if (len < FIRST_CHUNK + CHUNK_FRAME + HEAD_SIZE || be32(chunk) != HEAD_SIZE || memcmp(chunk + 4, "IHDR", 4) != 0) return false;
    *ret = (struct media_png){
        .width = be32(chunk + 8), .height = be32(chunk + 12), .depth = chunk[16], .color = chunk[17], .interlaced = chunk[20] != 0};
    return ret->depth >= 1 && ret->depth <= 16 && ret->color <= 6;
}

static uint64_t rows_size(const struct media_png *png, uint64_t width, uint64_t height) {
    static const uint8_t channels[] = {1, 1, 3, 1, 2, 1, 4};
    return width == 0 ? 0 : height * (1 + (width * png->depth * channels[png->color] + 7) / 8);
}

uint64_t media_png_raw(const struct media_png *png) {
    static const uint8_t first_x[] = {0, 4, 0, 2, 0, 1, 0}, step_x[] = {8, 8, 4, 4, 2, 2, 1};
    static const uint8_t first_y[] = {0, 0, 4, 0, 2, 0, 1}, step_y[] = {8, 8, 8, 4, 4, 2, 2};
    uint64_t sum = 0;
    if (!png->interlaced) return rows_size(png, png->width, png->height);
    for (size_t i = 0; i < ARRAY_LEN(first_x); i++) { /* Adam7 */
        uint64_t width = ((uint64_t)png->width + step_x[i] - 1 - first_x[i]) / step_x[i];
        uint64_t height = ((uint64_t)png->height + step_y[i] - 1 - first_y[i]) / step_y[i];
        sum += rows_size(png, width, height);
    }
    return sum;
}

/* ---- the stream's bits ---- */

struct bits {
    const uint8_t *data;
    size_t len, at, chunk_end; /* the next byte is at `at`, within the data of a chunk */
    uint32_t held;
    unsigned n_held;
    bool over;                 /* bits were wanted that are not there */
};

/* Goes to the data of the next IDAT chunk; false: there is none. */
static bool next_chunk(struct bits *b, size_t chunk) {
    for (; chunk + CHUNK_FRAME <= b->len;) {
        size_t size = be32(b->data + chunk), room = b->len - chunk - 8;
        bool wanted = memcmp(b->data + chunk + 4, "IDAT", 4) == 0;
        b->at = chunk + 8;
        b->chunk_end = b->at + (size < room ? size : room);
        if (wanted && size > 0) return true;
        if (size > room || memcmp(b->data + chunk + 4, "IEND", 4) == 0) return false;
        chunk += CHUNK_FRAME + size;
    }
    return false;
}

static uint8_t next_byte(struct bits *b) {
    if (b->at >= b->chunk_end && !next_chunk(b, b->chunk_end + 4)) {
        b->over = true;
        return 0;
    }
    return b->data[b->at++];
}

static uint32_t take(struct bits *b, unsigned n) {
    while (b->n_held < n) {
        b->held |= (uint32_t)next_byte(b) << b->n_held;
        b->n_held += 8;
    }
    uint32_t v = b->held & ((1u << n) - 1);
    b->held >>= n;
    b->n_held -= n;
    return v;
}

/* ---- Huffman codes, in canonical order ---- */

enum { MAX_BITS = 15, MAX_LITERALS = 288, MAX_DISTANCES = 32, END_OF_BLOCK = 256 };

struct codes {
    uint16_t count[MAX_BITS + 1]; /* codes of each length */
    uint16_t symbol[MAX_LITERALS];
};

static void make_codes(struct codes *c, const uint8_t *lengths, size_t n) {
    uint16_t at[MAX_BITS + 1] = {0};
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < n; i++) c->count[lengths[i]]++;
    c->count[0] = 0;
    for (int i = 1; i < MAX_BITS; i++) at[i + 1] = (uint16_t)(at[i] + c->count[i]);
    for (size_t i = 0; i < n; i++)
        if (lengths[i] != 0) c->symbol[at[lengths[i]]++] = (uint16_t)i;
}

/* The next symbol; -1: these bits are no code. */
static int take_symbol(struct bits *b, const struct codes *c) {
    int code = 0, first = 0, index = 0;
    for (int len = 1; len <= MAX_BITS && !b->over; len++) {
        code |= (int)take(b, 1);
        int n = c->count[len];
        if (code - first < n) return c->symbol[index + code - first];
        index += n;
        first = (first + n) << 1;
        code <<= 1;
    }
    return -1;
}

/* ---- blocks ---- */

struct deflate {
    struct bits bits;
    struct codes literals, distances;
    uint64_t n, most; /* bytes that came out */
};

static void fixed_codes(struct deflate *d) {
    uint8_t lengths[MAX_LITERALS];
    for (int i = 0; i < MAX_LITERALS; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_codes(&d->literals, lengths, MAX_LITERALS);
    memset(lengths, 5, 30);
    make_codes(&d->distances, lengths, 30);
}

/* The lengths of both codes, which are packed themselves. */
static bool dynamic_codes(struct deflate *d) {
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[MAX_LITERALS + MAX_DISTANCES] = {0};
    struct codes packed;
    size_t n_literals = take(&d->bits, 5) + 257, n_distances = take(&d->bits, 5) + 1, n = take(&d->bits, 4) + 4;
    for (size_t i = 0; i < n; i++) lengths[order[i]] = (uint8_t)take(&d->bits, 3);
    make_codes(&packed, lengths, sizeof(order));
    memset(lengths, 0, sizeof(lengths));
    for (size_t i = 0; i < n_literals + n_distances;) {
        int symbol = take_symbol(&d->bits, &packed);
        if (symbol < 0 || n_literals > MAX_LITERALS || (symbol == 16 && i == 0)) return false;
        if (symbol < 16) {
            lengths[i++] = (uint8_t)symbol;
            continue;
        }
        uint8_t again = symbol == 16 ? lengths[i - 1] : 0;
        size_t times = symbol == 16 ? 3 + take(&d->bits, 2) : symbol == 17 ? 3 + take(&d->bits, 3) : 11 + take(&d->bits, 7);
        if (i + times > n_literals + n_distances) return false;
        for (; times > 0; times--) lengths[i++] = again;
    }
    make_codes(&d->literals, lengths, n_literals);
    make_codes(&d->distances, lengths + n_literals, n_distances);
    return true;
}

static bool count_stored(struct deflate *d) {
    d->bits.held = d->bits.n_held = 0; /* the rest of the byte; no whole bytes are held */
    uint32_t len = take(&d->bits, 16);
    take(&d->bits, 16);
    d->n += len;
    for (; len > 0 && !d->bits.over; len--) next_byte(&d->bits);
    return !d->bits.over && d->n <= d->most;
}

static bool count_coded(struct deflate *d) {
    static const uint16_t base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    while (d->n <= d->most) {
        int symbol = take_symbol(&d->bits, &d->literals);
        if (symbol < 0 || symbol > END_OF_BLOCK + (int)ARRAY_LEN(base)) return false;
        if (symbol == END_OF_BLOCK) return true;
        if (symbol < END_OF_BLOCK) {
            d->n++;
            continue;
        }
        symbol -= END_OF_BLOCK + 1;
        d->n += base[symbol] + take(&d->bits, extra[symbol]);
        int distance = take_symbol(&d->bits, &d->distances);
        if (distance < 0 || distance >= 30) return false;
        if (distance >= 4) take(&d->bits, (unsigned)distance / 2 - 1);
    }
    return false;
}

bool media_png_inflates(const uint8_t *data, size_t len, uint64_t most) {
    struct deflate d = {.bits = {.data = data, .len = len}, .most = most};
    if (!next_chunk(&d.bits, FIRST_CHUNK)) return false;
    take(&d.bits, 16); /* the header of zlib */
    for (bool last = false; !last && !d.bits.over;) {
        last = take(&d.bits, 1) != 0;
        uint32_t type = take(&d.bits, 2);
        if (type == 1) fixed_codes(&d);
        if (type == 3 || (type == 2 && !dynamic_codes(&d))) return false;
        if (!(type == 0 ? count_stored(&d) : count_coded(&d))) return false;
    }
    return !d.bits.over;
}
