/* SPDX-License-Identifier: MIT
 * Where the build puts what comes with the program. A bundle has a file of its own instead (packaging/runtime_beside.c). */
#include "os/runtime.h"

const char os_backends_dir[] = CARAVAN_BACKENDS_DIR;
const char os_ca_bundle[] = CARAVAN_CA_BUNDLE;
