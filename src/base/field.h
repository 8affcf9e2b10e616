/* SPDX-License-Identifier: MIT
 * A struct's fields as a table: its JSON and its bytes, both ways, its defaults and its documentation come from one list of rows. The
 * rows stand in tables/messages.def. base/field_structs.h makes structs of the rows, base/field_tables.h the tables that the functions
 * here walk.
 *
 * In JSON a message is an object with one member for each field, under the field's name. A member that is missing has its default,
 * unless the field is needed; an unknown member is ignored. In bytes the fields of fixed size come first, the head of the message, one
 * after another, little-endian, without gaps. Then come the parts: arrays and bytes whose counts stand in the head, those of nested
 * messages too. Some values have the same encoding in every JSON message: ids and epochs are 16 hexadecimal digits (many JSON readers
 * make a double of a number), keys and signatures are hexadecimal digits, phases and other enums are words, errors are the object {error,
 * text, hint} (err_fields). Values only; any thread. */
#ifndef CARAVAN_BASE_FIELD_H
#define CARAVAN_BASE_FIELD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"

enum field_type {
    FIELD_BOOL,
    FIELD_UINT,   /* uint8_t to uint64_t, from min to max */
    FIELD_INT,    /* int32_t or int64_t, from min to max */
    FIELD_REAL,   /* float or double, from min to max */
    FIELD_ID,     /* uint64_t; an epoch too */
    FIELD_TEXT,   /* char[], text that may be shown in several lines */
    FIELD_PATH,   /* char[], a path: any bytes but NUL */
    FIELD_LINE,   /* char[] without control characters, fit for a log */
    FIELD_CHOICE, /* char[], one of words */
    FIELD_WORD,   /* an enum, or its number in a uint8_t; in JSON one of words */
    FIELD_HEX,    /* uint8_t[] */
    FIELD_CODE,   /* err_code, by its name; an unknown name, from a newer peer, is INTERNAL */
    FIELD_STRING, /* char *, owned; NULL when missing */
    FIELD_BLOB,   /* char * and its size_t length: a string that may hold NUL; owned, NULL when missing */
    FIELD_TOKENS, /* int32_t * and its size_t count: numbers from 0; owned, NULL when missing */
    FIELD_LIST,   /* an array of such structs, at most max, and its uint32_t count */
    FIELD_OWNED,  /* a FIELD_LIST on the heap, owned; NULL when empty */
    FIELD_REALS,  /* an array of doubles, at most max, and its uint32_t count */
    FIELD_CUSTOM, /* a struct with functions of its own */
    FIELD_ZERO,   /* bytes only: this many zeros, no member of the struct */
    FIELD_OBJECT, /* a struct that has a table of its own */
    /* Parts: in bytes only. An earlier number of the same struct is the count. */
    FIELD_ARRAY, /* an array of structs that have a table of their own, at most max */
    FIELD_HEAP,  /* the same on the heap, owned; NULL when empty */
    FIELD_I32S,  /* int32_t *, owned; NULL when empty */
    FIELD_PIECE, /* char[]: text without a NUL, at most max bytes */
    FIELD_VIEW,  /* a pointer to borrowed bytes: `size` for each of the count */
    FIELD_REST   /* a pointer to borrowed bytes, and their size_t length: all bytes that are left */
};

struct field_set;
/* How a member without a table of its own is written and read. */
struct field_custom {
    void (*init)(void *value);
    void (*done)(void *value);
    yyjson_mut_val *(*write)(const void *value, yyjson_mut_doc *doc);
    err_code (*read)(void *value, yyjson_val *v, struct err *e);
};
struct field {
    const char *name;
    enum field_type type;
    bool needed;
    size_t at, size;          /* its place and bytes in the struct; for lists, bytes of one element */
    size_t count_at;          /* the place of its count or length, for types that have one */
    size_t count_size;        /* bytes of a part's count */
    int64_t min, preset;      /* preset: the default of a number, a word or a flag */
    uint64_t max;
    const char *preset_text;
    const char *const *words; /* `max` words */
    const struct field_set *(*of)(void);
    const struct field_custom *custom;
    const char *what;
    const char *count, *unit; /* parts: the count's name; the name of one element */
};
struct field_set {
    const char *name, *frame; /* the struct's name; the frame that carries it, "" if it is only a part of other messages */
    bool bytes;               /* in bytes, not in JSON */
    const char *what;
    const struct field *fields;
    size_t n_fields, size;    /* size: of the struct */
    size_t wire_size;         /* of the head, in bytes; FIELD_SIZE(set) where the set is known */
    size_t n_parts;           /* in bytes: parts, those of nested messages included */
};

/* The bytes of a message's head on the wire, and the number of its parts, as constants: FIELD_SIZE(wire_trace). One sum over the rows has
 * both (base/field_sizes.h). */
enum { FIELD_PART = 1 << 24 };
#define FIELD_SIZE(set)  (set##_layout % FIELD_PART)
#define FIELD_PARTS(set) (set##_layout / FIELD_PART)
enum { err_layout = 0 /* it has no bytes */ };

/* Sets every field to its default. The earlier contents are not freed. */
void field_init(const struct field_set *set, void *value);
/* Frees what the fields own and sets them to their defaults. */
void field_done(const struct field_set *set, void *value);

/* A new JSON object with every field. Strings are copied. */
yyjson_mut_val *field_write(const struct field_set *set, const void *value, yyjson_mut_doc *doc);
/* Reads the members that the object has into an initialised value. ERR_INVALID or ERR_LIMIT names the field; the value is then half
 * read. */
err_code field_read(const struct field_set *set, yyjson_val *obj, void *value, struct err *e);
/* Appends the message to out, as JSON or as bytes, as its table says. Of text that is not UTF-8 each wrong byte becomes "?".
 * out->failed: it doesn't fit. */
void field_encode(const struct field_set *set, const void *value, struct buf *out);
/* Initialises *ret and fills it from JSON or bytes, which are used up. ERR_FORMAT: not a JSON object; ERR_PROTOCOL: too few or too
 * many bytes, or a value in bytes that is out of range; else as field_read. *ret is untouched on failure. */
err_code field_decode(const struct field_set *set, const uint8_t *data, size_t len, void *ret, struct err *e);

/* Writes the head of a message in bytes, FIELD_SIZE of it. A value out of its field's range is a programmer's error (asserted). */
void field_put(const struct field_set *set, const void *value, uint8_t *out);
/* Reads the head of a message at the beginning of these bytes; otherwise as field_get. */
err_code field_peek(const struct field_set *set, const uint8_t *data, size_t len, void *ret, struct err *e);
/* Reads a message in bytes. Sets the members that have rows, and no others; of an array only as many elements as there are. ERR_PROTOCOL:
 * cut short, or a value that is out of range. *ret is then half read, so a message that owns memory must be initialised before. */
err_code field_get(const struct field_set *set, struct bytes_reader *r, void *ret, struct err *e);

/* The message's table in Markdown, for docs/PROTOCOL.md. */
void field_markdown(const struct field_set *set, struct buf *out);

#endif
