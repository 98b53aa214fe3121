/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version.h - the version of the driver ABI.
 *
 * A core loads a driver when the majors are equal and the driver's lowest host
 * minor is not above the core's minor. Within a major, fields and callbacks are
 * only appended, so a driver built against an older minor keeps working.
 */
#ifndef BILLET_VERSION_H
#define BILLET_VERSION_H

#define BILLET_ABI_MAJOR 1
#define BILLET_ABI_MINOR 3

#endif
