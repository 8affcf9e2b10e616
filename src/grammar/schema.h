/* SPDX-License-Identifier: MIT
 * JSON Schema to a grammar in GBNF, for structured output: what the grammar lets the model write fits the schema. Draft 2020-12 (and
 * draft 7's `definitions` and tuple `items`). Pure, any thread; time and size are bounded whatever the schema is.
 *
 * Said in the grammar: type, enum, const, nullable; properties, required, additionalProperties, patternProperties, propertyNames,
 * minProperties/maxProperties (objects without declared properties); items, prefixItems, minItems, maxItems; minLength, maxLength, pattern
 * (regular expressions without back references and word borders, look-ahead only at their beginning), format (format.h; others are
 * annotations), all of them at once; minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (where few states do); anyOf, allOf,
 * oneOf (where it can be shown that no value fits two branches), $ref and $defs inside the document, recursive too. What can't be said
 * (not, if, uniqueItems, contains, ...) is refused by name and place, or left out where the caller checks it afterwards (check.h);
 * nothing is ignored. Keywords that JSON Schema doesn't know are annotations, as its specification says.
 *
 * The text: properties in the schema's order, additional ones after them; little white space; a character is escaped only where it must
 * be; integers have at most 18 digits; numbers with bounds have no exponent and at most 16 decimals. */
#ifndef CARAVAN_GRAMMAR_SCHEMA_H
#define CARAVAN_GRAMMAR_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct schema_options {
    /* What people mean rather than what the specification says: an object that doesn't speak of additionalProperties has none beside its
     * properties, and keywords imply the type that they are for. The grammar then allows less, never more. */
    bool closed;
    /* What several schemas may cost together, of which this one's cost is taken: ERR_LIMIT where it isn't enough. NULL: it stands alone.
     * One alone may cost SCHEMA_BUDGET / 2. */
    uint64_t *budget;
    /* NULL: what can't be said is refused. Else it is left out, the grammar allows more than the schema, and *ret_partial is set: the value
     * has to be checked. A schema that is too big for a grammar is left out in part, too. */
    bool *ret_partial;
};

enum { SCHEMA_BUDGET = 1200000 };

/* Appends the grammar (its start is "root") to out, which gbnf_check accepts. Errors name the place in the schema as a JSON
 * pointer: ERR_UNSUPPORTED (a keyword that can't be expressed), ERR_INVALID (not a schema, or one that nothing fits), ERR_LIMIT. */
err_code schema_to_gbnf(yyjson_val *schema, const struct schema_options *options, struct buf *out, struct err *e);

/* The grammar of any JSON object. */
void schema_any_object(struct buf *out);

#endif
