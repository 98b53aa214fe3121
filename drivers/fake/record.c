/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../common/fence.h"
#include "script.h"

int
fake_record_hold(const struct billet_call *call, int *fd, struct billet_error *error)
{
    const char *path = billet_config_string(call->config, "record", NULL);
    *fd = FAKE_RECORD_NONE;
    if (path == NULL)
        return 0;
    int opened = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (opened < 0)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot open %s: %s", path,
                         strerror(errno));
    int result = billet_fence_hold(opened, error);
    if (result < 0) {
        close(opened);
        return result;
    }
    *fd = opened;
    return 0;
}

static const char *
word(const char *text)
{
    return text != NULL && text[0] != '\0' && strpbrk(text, " \t\n") == NULL ? text : "-";
}

int
fake_record_say(int fd, const struct billet_call *call, const char *event, const char *detail,
                struct billet_error *error)
{
    char line[1024];
    struct timespec now;
    const struct billet_identity *who = call->identity;
    if (fd == FAKE_RECORD_NONE)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(
        line, sizeof(line), "%lld%09ld %s %.64s %" PRIu64 " %" PRIu64 " %.128s %.128s %s\n",
        (long long)now.tv_sec, now.tv_nsec, event, word(who != NULL ? who->lease : NULL),
        who != NULL ? who->fence : 0, who != NULL ? who->generation : 0,
        word(who != NULL ? who->tenant : NULL), word(who != NULL ? who->run : NULL), word(detail));
    if (write(fd, line, (size_t)length) != length)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed",
                         "cannot write the record: %s", strerror(errno));
    return 0;
}

void
fake_record_leave(int *fd)
{
    if (*fd != FAKE_RECORD_NONE)
        close(*fd);
    *fd = FAKE_RECORD_NONE;
}
