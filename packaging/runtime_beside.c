/* SPDX-License-Identifier: MIT
 * Where a bundle has what comes with the program: in the folder of its loader. */
#include "os/runtime.h"

const char os_backends_dir[] = "ggml/" CARAVAN_BACKENDS_NAME;
const char os_ca_bundle[] = "ca-certificates.crt";
