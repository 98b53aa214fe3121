/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rules.h"

const struct billet_store_rule billet_store_rules[] = {
    {"not exactly one deployment row", "SELECT count(*) FROM deployment HAVING count(*) <> 1"},
    {"lease has ended without a time of its end, or lives with one",
     "SELECT id FROM lease WHERE (state IN ('released', 'failed')) <> (ended_ns <> 0)"},
    {"lease has ended and not exactly one end was recorded",
     "SELECT id FROM lease WHERE state IN ('released', 'failed') AND (SELECT count(*) FROM "
     "activity "
     "WHERE lease = id AND lease <> '' AND action IN ('lease.released', 'lease.failed')) <> 1"},
    {"lease ended otherwise than was recorded",
     "SELECT id FROM lease WHERE state IN ('released', 'failed') AND NOT EXISTS (SELECT 1 FROM "
     "activity WHERE lease = id AND lease <> '' AND action = 'lease.' || state)"},
    {"lease lives and an end was recorded",
     "SELECT id FROM lease WHERE state NOT IN ('released', 'failed') AND EXISTS (SELECT 1 FROM "
     "activity WHERE lease = id AND lease <> '' AND action IN ('lease.released', 'lease.failed'))"},
    {"lease is held without a name of its resource",
     "SELECT id FROM lease WHERE state IN ('active', 'retained') AND ref = ''"},
    {"lease has a fence or generation below 1",
     "SELECT id FROM lease WHERE fence < 1 OR generation < 1"},
    {"activity of a lease that is not there",
     "SELECT 'activity ' || sequence FROM activity WHERE lease <> '' AND NOT EXISTS "
     "(SELECT 1 FROM lease WHERE id = activity.lease)"},
    {"activity with a fence that its lease never had",
     "SELECT 'activity ' || sequence FROM activity JOIN lease ON lease.id = activity.lease "
     "WHERE activity.lease <> '' AND activity.fence > lease.fence"},
};

const size_t billet_store_rule_count = sizeof(billet_store_rules) / sizeof(billet_store_rules[0]);
