/* SPDX-License-Identifier: MIT
 * The table of an error's fields (err.h), apart from err.c, since the functions that walk such tables return errors themselves. */
#define MESSAGES_ERR
#include "base/field_tables.h"
#undef MESSAGES_ERR
