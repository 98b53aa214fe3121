/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what billet says beside its results: one line a message on stderr,
 * control bytes escaped. Only programs log; library code returns errors.
 */
#ifndef BILLET_BASE_LOG_H
#define BILLET_BASE_LOG_H

#include <billet/host.h>
#include <stdbool.h>

/* Name before each line ("billet: ..."), lowest urgency shown (BILLET_LOG_*), <N> prefixes as
 * systemd reads them. */
void billet_log_setup(const char *program, int level, bool journal_prefix);
bool billet_log_wants(int level);
/* errno is preserved. */
void billet_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "error: message (code)" and the hint on a line of its own. */
void billet_log_error(const struct billet_error *error);

#endif
