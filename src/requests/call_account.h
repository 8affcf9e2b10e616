/* SPDX-License-Identifier: MIT
 * What a call's key may ask and use up: admitted before the work begins, settled and counted when the call ends. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_ACCOUNT_H
#define CARAVAN_REQUESTS_CALL_ACCOUNT_H

#include "requests/call_priv.h"

/* Notes the key under which the call is counted: at the end of the call its exchange may be gone. */
void call_account_open(struct call *call);
/* The model of this name; "": the only one that the call's key may ask. Errors as of gateway_find_for(). */
err_code call_account_find(const struct call *call, const char *name, const struct backend_model **ret, struct err *e);
/* May the call's key ask this model? ERR_FORBIDDEN. */
err_code call_account_may_ask(const struct call *call, const char *model, struct err *e);
/* Claims the most that the call can use up of its key's quotas: tokens, and money in millionths. Once; a call that goes on elsewhere has
 * its claim. ERR_QUOTA: a quota is used up. */
err_code call_account_admit(struct call *call, uint32_t n_ctx, int64_t money, struct err *e);
/* The same for an upstream, with the most tokens that it may take. */
err_code call_account_admit_most(struct call *call, int64_t tokens, int64_t money, struct err *e);
/* May the key's requests leave the cluster? */
bool call_account_may_leave(const struct call *call);
/* The call ends: its claim is settled, and it is counted. */
void call_account_settle(struct call *call, bool failed);

#endif
