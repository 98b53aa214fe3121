/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note.h - the ELF note of a driver, read from the file's bytes before any of
 * its code may run, and judged.
 *
 * Never maps or loads the file: a hostile, truncated or growing one ends in an error, never in a
 * signal. Shape of ELF: System V ABI, chapters 4 and 5; of a note: the same, "Note Section".
 */
#ifndef BILLET_DRIVER_NOTE_H
#define BILLET_DRIVER_NOTE_H

#include <billet/driver.h>
#include <stddef.h>

/* Find the note in a file / in bytes. Also refuses a file that ends before what its headers
 * announce (code driver_truncated), since loading such a one ends in SIGBUS; driver_no_note
 * otherwise. */
int billet_driver_note_read(int fd, struct billet_note *note, struct billet_error *error);
int billet_driver_note_parse(const void *bytes, size_t length, struct billet_note *note,
                             struct billet_error *error);

/* Does the note fit this core and the name its file has? Codes driver_wrong_abi,
 * driver_name_mismatch. */
int billet_driver_note_check(const struct billet_note *note, const char *name,
                             struct billet_error *error);

#endif
