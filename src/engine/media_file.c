/* SPDX-License-Identifier: MIT
 * See media_file.h. Formats: PNG (W3C, third edition), JPEG (ITU T.81, annex B), GIF89a, BMP, RIFF WAVE, MPEG audio frames (ISO 11172-3).
 * */
#include "engine/media_file.h"

#include <string.h>

#include "base/mem.h"
#include "engine/media_priv.h"

static uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static uint32_t le16(const uint8_t *p) { return (uint32_t)p[1] << 8 | p[0]; }
static uint32_t le32(const uint8_t *p) { return le16(p + 2) << 16 | le16(p); }

static err_code broken(const char *format, const char *what, struct err *e) {
    return err_set(e, ERR_INVALID, "the %s file is broken: %s", format, what);
}

static err_code check_size(const char *format, uint64_t width, uint64_t height, struct err *e) {
    if (width == 0 || height == 0) return broken(format, "it has no pixels", e);
    if (width <= MEDIA_MAX_SIDE && height <= MEDIA_MAX_SIDE && width * height <= MEDIA_MAX_PIXELS) return ERR_OK;
    bool wide = width * height <= MEDIA_MAX_PIXELS;
    struct err_place most = wide ? err_place("%d in a side", MEDIA_MAX_SIDE) : err_place("%d million", MEDIA_MAX_PIXELS / 1000000);
    err_set(e, ERR_INVALID, "a picture of %llu x %llu pixels, at most %s are taken", (unsigned long long)width, (unsigned long long)height,
            most.text);
    err_hint(e, "make it smaller: models see no more than one or two million");
    return ERR_INVALID;
}

/* ---- pictures ---- */

static err_code check_png(const uint8_t *data, size_t len, struct err *e) {
    struct media_png png;
    if (!media_png_head(data, len, &png)) return broken("PNG", "its header", e);
    err_code code = check_size("PNG", png.width, png.height, e);
    if (code != ERR_OK) return code;
    return media_png_inflates(data, len, media_png_raw(&png)) ? ERR_OK : broken("PNG", "its data do not fit its size", e);
}

/* Does a marker of this code begin a frame, with its size? */
static bool is_frame(uint8_t code) { return code >= 0xC0 && code <= 0xCF && code != 0xC4 && code != 0xC8 && code != 0xCC; }

/* The decoder takes the first frame's size. */
static err_code check_jpeg(const uint8_t *data, size_t len, struct err *e) {
    for (size_t at = 2; at + 4 <= len;) {
        if (data[at] != 0xFF) return broken("JPEG", "a marker is missing", e);
        if (data[at + 1] == 0xFF) {
            at++; /* filler */
            continue;
        }
        uint8_t code = data[at + 1];
        size_t size = be16(data + at + 2);
        if (is_frame(code) && at + 9 <= len) return check_size("JPEG", be16(data + at + 7), be16(data + at + 5), e);
        if (code == 0xD9 || code == 0xDA || size < 2) break;
        at += 2 + size;
    }
    return broken("JPEG", "it has no frame", e);
}

static err_code check_gif(const uint8_t *data, size_t len, struct err *e) {
    return len < 13 ? broken("GIF", "it is cut off", e) : check_size("GIF", le16(data + 6), le16(data + 8), e);
}

static err_code check_bmp(const uint8_t *data, size_t len, struct err *e) {
    if (len < 26) return broken("BMP", "it is cut off", e);
    if (le32(data + 14) == 12) return check_size("BMP", le16(data + 18), le16(data + 20), e);
    uint32_t height = le32(data + 22);
    if (height >> 31 != 0) height = ~height + 1; /* negative: the first row is the upper one */
    return check_size("BMP", le32(data + 18), height, e);
}

/* ---- sounds ---- */

static err_code check_seconds(double seconds, struct err *e) {
    if (seconds <= MEDIA_MAX_SECONDS) return ERR_OK;
    err_set(e, ERR_INVALID, "a sound of %.0f minutes, at most %d are taken", seconds / 60, MEDIA_MAX_SECONDS / 60);
    err_hint(e, "send it in pieces");
    return ERR_INVALID;
}

/* Plain samples only: of a compressed form nobody knows here how long it lasts. */
static err_code check_wav(const uint8_t *data, size_t len, struct err *e) {
    enum { PCM = 1, FLOAT = 3, EXTENSIBLE = 0xFFFE, LEAST_RATE = 4000 };
    uint32_t per_second = 0;
    for (size_t at = 12; at + 8 <= len;) {
        size_t size = le32(data + at + 4), room = len - at - 8;
        const uint8_t *body = data + at + 8;
        if (memcmp(data + at, "fmt ", 4) == 0) {
            if (size < 16 || room < 16) return broken("WAV", "its header", e);
            uint32_t form = le16(body), rate = le32(body + 4), frame = le16(body + 12);
            if (form != PCM && form != FLOAT && form != EXTENSIBLE)
                return err_set(e, ERR_INVALID, "a WAV file of form %u: only plain samples are read", form);
            if (rate < LEAST_RATE || rate > 768000 || frame == 0 || frame > 256) return broken("WAV", "its rate of samples", e);
            per_second = rate * frame;
        } else if (memcmp(data + at, "data", 4) == 0) {
            if (per_second == 0) return broken("WAV", "samples before their form", e);
            return check_seconds((double)(size < room ? size : room) / per_second, e);
        }
        if (size > room) break;
        at += 8 + size + (size & 1);
    }
    return broken("WAV", "it has no samples", e);
}

/* Samples and bytes of an MPEG frame, layer III; false: no frame begins here. */
static bool mp3_frame(const uint8_t *h, uint32_t *ret_bytes, double *ret_seconds) {
    static const uint16_t kbits[2][15] = {{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
                                          {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};
    static const uint32_t rates[3] = {44100, 48000, 32000};
    unsigned version = h[1] >> 3 & 3, layer = h[1] >> 1 & 3, kbit = h[2] >> 4, rate = h[2] >> 2 & 3;
    if (h[0] != 0xFF || (h[1] & 0xE0) != 0xE0 || version == 1 || layer != 1 || kbit == 0 || kbit == 15 || rate == 3) return false;
    bool later = version != 3; /* MPEG 2 and 2.5 */
    uint32_t hertz = rates[rate] >> (version == 0 ? 2 : later ? 1 : 0);
    *ret_bytes = (later ? 72000u : 144000u) * kbits[later][kbit] / hertz + (h[2] >> 1 & 1);
    *ret_seconds = (later ? 576.0 : 1152.0) / hertz;
    return true;
}

static err_code check_mp3(const uint8_t *data, size_t len, struct err *e) {
    size_t at = 0, frames = 0;
    double seconds = 0;
    if (len >= 10 && memcmp(data, "ID3", 3) == 0)
        at = 10 + ((size_t)(data[6] & 127) << 21 | (size_t)(data[7] & 127) << 14 | (size_t)(data[8] & 127) << 7 | (data[9] & 127));
    while (at + 4 <= len) {
        uint32_t bytes;
        double more;
        if (!mp3_frame(data + at, &bytes, &more)) {
            at++; /* decoders look for the next frame, too */
            continue;
        }
        seconds += more;
        frames++;
        at += bytes;
    }
    return frames == 0 ? broken("MP3", "it has no frame", e) : check_seconds(seconds, e);
}

/* ---- the table of formats ---- */

static const struct {
    const char *name;
    size_t at, len;
    const char *mark;
    const char *mark_8; /* at byte 8; NULL: any */
    enum media_kind kind;
    err_code (*check)(const uint8_t *data, size_t len, struct err *e); /* NULL: the format is known, and not read */
} formats[] = {
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n", NULL, MEDIA_PICTURE, check_png},
    {"JPEG", 0, 3, "\xff\xd8\xff", NULL, MEDIA_PICTURE, check_jpeg},
    {"GIF", 0, 4, "GIF8", NULL, MEDIA_PICTURE, check_gif},
    {"BMP", 0, 2, "BM", NULL, MEDIA_PICTURE, check_bmp},
    {"WAV", 0, 4, "RIFF", "WAVE", MEDIA_SOUND, check_wav},
    {"MP3", 0, 3, "ID3", NULL, MEDIA_SOUND, check_mp3},
    {"WebP", 0, 4, "RIFF", "WEBP", MEDIA_PICTURE, NULL},
    {"AVIF", 4, 4, "ftyp", "avif", MEDIA_PICTURE, NULL},
    {"AVIF", 4, 4, "ftyp", "avis", MEDIA_PICTURE, NULL},
    {"HEIC", 4, 4, "ftyp", "heic", MEDIA_PICTURE, NULL},
    {"HEIC", 4, 4, "ftyp", "heix", MEDIA_PICTURE, NULL},
    {"AVIF or HEIC", 4, 4, "ftyp", "mif1", MEDIA_PICTURE, NULL},
    {"AVIF or HEIC", 4, 4, "ftyp", "msf1", MEDIA_PICTURE, NULL},
    {"MP4 or M4A", 4, 4, "ftyp", NULL, MEDIA_SOUND, NULL},
    {"TIFF", 0, 4, "II*\0", NULL, MEDIA_PICTURE, NULL},
    {"TIFF", 0, 4, "MM\0*", NULL, MEDIA_PICTURE, NULL},
    {"SVG", 0, 4, "<svg", NULL, MEDIA_PICTURE, NULL},
    {"XML (SVG)", 0, 5, "<?xml", NULL, MEDIA_PICTURE, NULL},
    {"PDF", 0, 5, "%PDF-", NULL, MEDIA_PICTURE, NULL},
    {"FLAC", 0, 4, "fLaC", NULL, MEDIA_SOUND, NULL},
    {"Ogg", 0, 4, "OggS", NULL, MEDIA_SOUND, NULL},
    {"WebM", 0, 4, "\x1a\x45\xdf\xa3", NULL, MEDIA_SOUND, NULL},
};

static bool has_mark(size_t i, const uint8_t *data, size_t len) {
    return len >= formats[i].at + formats[i].len && memcmp(data + formats[i].at, formats[i].mark, formats[i].len) == 0 &&
           (formats[i].mark_8 == NULL || (len >= 12 && memcmp(data + 8, formats[i].mark_8, 4) == 0));
}

static err_code not_read(const char *what, struct err *e) {
    err_set(e, ERR_INVALID, "%s", what);
    err_hint(e, "send pictures as PNG, JPEG, GIF or BMP, sounds as WAV or MP3");
    return ERR_INVALID;
}

err_code media_file_check(const uint8_t *data, size_t len, enum media_kind *ret, struct err *e) {
    if (len > MEDIA_MAX_FILE) return err_set(e, ERR_INVALID, "a file of %zu bytes, at most %d are taken", len, MEDIA_MAX_FILE);
    uint32_t bytes;
    double seconds;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (!has_mark(i, data, len)) continue;
        *ret = formats[i].kind;
        if (formats[i].check != NULL) return formats[i].check(data, len, e);
        return not_read(err_place("%s files are not read here", formats[i].name).text, e);
    }
    *ret = MEDIA_SOUND;
    if (len >= 4 && mp3_frame(data, &bytes, &seconds)) return check_mp3(data, len, e);
    return not_read("this is no picture and no sound that is known here", e);
}
