/* SPDX-License-Identifier: MIT
 * A call that a server outside of the cluster answers. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_CLOUD_H
#define CARAVAN_REQUESTS_CALL_CLOUD_H

#include "requests/call_priv.h"

/* The call ends: what runs at an upstream is cancelled, and its cost is known. */
void call_cloud_leave(struct call *call);

#endif
