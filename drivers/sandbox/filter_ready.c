/* SPDX-License-Identifier: Apache-2.0 */
/* The filter that filter_write wrote down when billet was built. */
#include <errno.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "filter.h"
#include "profile.h"

static const unsigned char bytes[] = {
#include "filter_bytes.h"
};
_Static_assert(sizeof(bytes) > 8 && sizeof(bytes) % 8 == 0, "instructions of struct sock_filter");

int
sandbox_filter_make(int *fd, struct billet_error *error)
{
    int made = sandbox_memfd("billet-filter", bytes, sizeof(bytes));
    if (made < 0)
        return billet_fail_errno(error, 0, "sandbox_filter_failed", errno,
                                 "cannot hand over the system call filter");
    *fd = made;
    return 0;
}

void
sandbox_filter_begin(struct sandbox_filter *filter)
{
    (void)filter; /* nothing is worth a thread */
}

int
sandbox_filter_await(struct sandbox_filter *filter, struct billet_error *error)
{
    return filter->fd >= 0 ? 0 : sandbox_filter_make(&filter->fd, error);
}

void
sandbox_filter_free(struct sandbox_filter *filter)
{
    billet_close_fd(&filter->fd);
}
