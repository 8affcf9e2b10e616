/* SPDX-License-Identifier: MIT
 * See pages.h. macOS chooses the pages of a process by itself. */
#include "os/pages.h"

void pages_huge(bool on) { (void)on; }

size_t pages_give_back(void) { return 0; }
