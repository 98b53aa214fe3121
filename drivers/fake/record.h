/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what really happened to the pretended resources, for who checks it later: a line for
 * each effect in the file of the option record, in the order of the effects.
 *
 * Line: "TIME EVENT LEASE FENCE GENERATION TENANT RUN DETAIL", TIME in wall nanoseconds; an empty
 * text is "-". Whoever holds the record is the only one that looks at resources or changes them, so
 * that what a line says was true when it was written. Never reads the file.
 */
#ifndef FAKE_RECORD_H
#define FAKE_RECORD_H

#include <billet/driver.h>

#define FAKE_RECORD_NONE (-1)

/* Hold the record: *fd, or FAKE_RECORD_NONE when none is wanted. 0, or the class UNAVAILABLE. */
int fake_record_hold(const struct billet_call *call, int *fd, struct billet_error *error);
/* A line; 0, or the class UNAVAILABLE. Nothing without a record. */
int fake_record_say(int fd, const struct billet_call *call, const char *event, const char *detail,
                    struct billet_error *error);
/* Let go; leaves FAKE_RECORD_NONE behind. */
void fake_record_leave(int *fd);

#endif
