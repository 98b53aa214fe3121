/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/redact.h"
#include "base/text.h"

static const char *log_program = "billet";
static int log_level = BILLET_LOG_WARNING;
static bool log_journal;

void
billet_log_setup(const char *program, int level, bool journal_prefix)
{
    log_program = program;
    log_level = level;
    log_journal = journal_prefix;
}

bool
billet_log_wants(int level)
{
    return level <= log_level;
}

static void
write_line(int level, const char *text)
{
    char line[BILLET_MESSAGE_MAX * 2 + 128];
    char clean[BILLET_MESSAGE_MAX * 2];
    billet_text_escape(clean, sizeof(clean), text);
    int length = log_journal ? snprintf(line, sizeof(line), "<%d>%s\n", level, clean)
                             : snprintf(line, sizeof(line), "%s: %s\n", log_program, clean);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nowhere left to say it */
}

void
billet_log(int level, const char *format, ...)
{
    char text[BILLET_MESSAGE_MAX * 2];
    int saved = errno;
    if (!billet_log_wants(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) >= 0) {
        billet_redact_text(text);
        write_line(level, text);
    }
    va_end(arguments);
    errno = saved;
}

void
billet_log_error(const struct billet_error *error)
{
    billet_log(BILLET_LOG_ERROR, "%s [%s]", error->message,
               error->code[0] != '\0' ? error->code : "internal");
    if (error->hint[0] != '\0')
        billet_log(BILLET_LOG_ERROR, "%s", error->hint);
}
