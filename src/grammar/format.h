/* SPDX-License-Identifier: MIT
 * The formats of strings that JSON Schema knows, as regular expressions. Any thread. */
#ifndef CARAVAN_GRAMMAR_FORMAT_H
#define CARAVAN_GRAMMAR_FORMAT_H

struct format {
    const char *name;
    const char *writes;  /* what a grammar may write: a part of what is allowed, of bounded length; NULL: any text */
    const char *allows;  /* what is allowed; NULL: any text */
};

/* NULL: an unknown format, which is no condition. */
const struct format *format_named(const char *name);

#endif
