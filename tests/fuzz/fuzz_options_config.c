/* SPDX-License-Identifier: MIT
 * Fuzzes the config file's parser: any bytes give values within their ranges or an error, never a crash. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "options/option.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct options o;
    struct err e = {0};
    options_init(&o);
    err_code code = options_read_config(&o, (const char *)data, size, "fuzz", &e);
    if ((code != ERR_OK) != (e.code != ERR_OK)) abort();
    if (option_int(&o, OPT_PARALLEL) < 1 || option_int(&o, OPT_PARALLEL) > 1024) abort();
    options_done(&o);
    return 0;
}
