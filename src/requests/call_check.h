/* SPDX-License-Identifier: MIT
 * Judges the finished answers of a call. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_CHECK_H
#define CARAVAN_REQUESTS_CALL_CHECK_H

#include "requests/call_priv.h"

/* Does every answer fit its schema, also where the grammar says only a part of it? *ret_fits is false if one doesn't fit or can't be
 * judged; e says why. ERR_ENGINE: the same, where the schema is strict. */
err_code call_check(const struct call *call, bool *ret_fits, struct err *e);

#endif
