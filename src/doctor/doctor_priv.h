/* SPDX-License-Identifier: MIT
 * What the judges of doctor/ share: filling in a line. */
#ifndef CARAVAN_DOCTOR_DOCTOR_PRIV_H
#define CARAVAN_DOCTOR_DOCTOR_PRIV_H

#include "doctor/doctor.h"

void doctor_say(struct doctor_line *l, enum doctor_verdict v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void doctor_hint(struct doctor_line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* gpu.c: whether there is a line. */
bool doctor_judge_gpu(const struct doctor_here *f, const struct doctor_gpu *g, struct doctor_line *l);
bool doctor_judge_no_gpu(const struct doctor_here *f, struct doctor_line *l);

#endif
