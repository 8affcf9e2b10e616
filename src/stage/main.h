/* SPDX-License-Identifier: MIT
 * The main function of a stage child: opens the slice that its order names, from the local file or from a peer's, and runs the stage loop.
 * Only the calling thread computes with the model. */
#ifndef CARAVAN_STAGE_MAIN_H
#define CARAVAN_STAGE_MAIN_H

/* Runs the child's whole life on the LOCAL link at fd; returns the process's exit status. */
int stage_main(int fd);

#endif
