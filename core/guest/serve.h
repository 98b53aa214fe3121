/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - billet-guest serve: many commands over one stream each way, see <billet/guest.h>.
 *
 * Ends with its standard input, and takes along what its commands started, unless it was told to
 * keep that.
 */
#ifndef CORE_GUEST_SERVE_H
#define CORE_GUEST_SERVE_H

int guest_serve(int argc, char **argv);

#endif
