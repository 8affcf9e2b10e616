/* SPDX-License-Identifier: MIT
 * What a stage child does: opens the slice that its order names, from the local file or from a peer's, and runs the stage loop.
 * The only thread that touches the model is the caller's. */
#ifndef CARAVAN_STAGE_MAIN_H
#define CARAVAN_STAGE_MAIN_H

/* Runs the child's whole life on the LOCAL link at fd; returns the process's exit status. */
int stage_main(int fd);

#endif
