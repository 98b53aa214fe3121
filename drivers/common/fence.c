/* SPDX-License-Identifier: Apache-2.0 */
#include "fence.h"

#include <inttypes.h>
#include <string.h>

#include "fail.h"

int
billet_fence_refuse(const struct billet_identity *identity, uint64_t fence,
                    struct billet_error *error)
{
    billet_fail(error, BILLET_CLASS_AUTH, "lease_fenced",
                "the resource of lease %.64s has an owner with fence %" PRIu64
                ", of whom the store does not know",
                identity->lease, fence);
    return billet_fail_hint(error, "the store was brought back from an older copy; the resource is "
                                   "removed when the lease's time is over");
}

int
billet_fence_check(const struct billet_identity *identity, bool shared, uint64_t fence,
                   const char *run, struct billet_error *error)
{
    if (fence < identity->fence || (fence == identity->fence &&
                                    (shared || strncmp(run, identity->run, BILLET_FENCE_RUN) == 0)))
        return 0;
    return billet_fence_refuse(identity, fence, error);
}
