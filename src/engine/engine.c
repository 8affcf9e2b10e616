/* SPDX-License-Identifier: MIT
 * The tables of fields for an engine's inputs and outputs. */
#include "engine/engine.h"

static const char *const POOLING_NAMES[] = {"none", "mean", "cls", "last", "rank"};
#define MESSAGES_BATCH
#define MESSAGES_INFO
#include "base/field_tables.h"
#undef MESSAGES_BATCH
#undef MESSAGES_INFO
