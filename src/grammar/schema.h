/* SPDX-License-Identifier: MIT
 * JSON Schema to a grammar in GBNF, for structured output: every value that the grammar allows fits the schema. Draft 2020-12 (and draft
 * 7's `definitions` and tuple `items`). Pure, any thread; time and size are bounded whatever the schema is.
 *
 * The grammar expresses: type, enum, const, nullable; properties, required, additionalProperties, patternProperties, propertyNames,
 * minProperties/maxProperties (objects without declared properties); items, prefixItems, minItems, maxItems; minLength, maxLength,
 * pattern (regular expressions without back references and word borders, look-ahead only at their beginning), format (format.h; others
 * are annotations), all of them at once; minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (if it needs few states);
 * anyOf, allOf, oneOf (if it can be shown that no value fits two branches), $ref and $defs inside the document, recursive too. Other
 * keywords (not, if, uniqueItems, contains, ...) are refused by name and place, or left out if the caller checks the value afterwards
 * (check.h); none is ignored. Keywords that JSON Schema doesn't know are annotations, as its specification says.
 *
 * The text: properties in the schema's order, additional ones after them; little white space; a character is escaped only if it must be;
 * integers have at most 18 digits; numbers with bounds have no exponent and at most 16 decimals. */
#ifndef CARAVAN_GRAMMAR_SCHEMA_H
#define CARAVAN_GRAMMAR_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct schema_options {
    /* What people mean rather than what the specification says: an object without additionalProperties allows only its declared
     * properties, and keywords imply the type that they are for. The grammar then allows less, never more. */
    bool closed;
    /* A common budget of several schemas, from which this one's cost is taken: ERR_LIMIT if it isn't enough. NULL: the schema is alone,
     * and may cost SCHEMA_BUDGET / 2. */
    uint64_t *budget;
    /* NULL: a condition that can't be expressed is refused. Else it is left out, the grammar allows more than the schema, and
     * *ret_partial is set: the value must be checked. A schema that is too large for a grammar is also left out in part. */
    bool *ret_partial;
};

enum { SCHEMA_BUDGET = 1200000 };

/* Appends the grammar (it starts with "root") to out; gbnf_check accepts it. Errors name the place in the schema as a JSON pointer:
 * ERR_UNSUPPORTED (a keyword that can't be expressed), ERR_INVALID (not a schema, or no value fits it), ERR_LIMIT. */
err_code schema_to_gbnf(yyjson_val *schema, const struct schema_options *options, struct buf *out, struct err *e);

/* The grammar of any JSON object. */
void schema_any_object(struct buf *out);

#endif
