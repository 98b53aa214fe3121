/* SPDX-License-Identifier: Apache-2.0 */
/* The deep check: the rules that leases keep, and the schema as this build made it. */
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/pgsql.h"
#include "store/rules.h"

/* Of a large table; one that never ends is still given up. */
#define CHECK_NS (600 * BILLET_NS_PER_SECOND)

static const struct billet_store_rule rules[] = {
    {"text is not JSON",
     "SELECT 'lease ' || id FROM lease WHERE (facts <> '' AND NOT billet.is_json(facts)) OR "
     "(configuration <> '' AND NOT billet.is_json(configuration)) UNION ALL "
     "SELECT 'environment ' || name FROM environment WHERE NOT billet.is_json(settings) UNION ALL "
     "SELECT 'activity ' || sequence FROM activity WHERE details <> '' AND NOT "
     "billet.is_json(details)"},
    {"a guard of the schema is not there or not enabled",
     "SELECT t.name FROM (VALUES ('lease_insert'),('lease_update'),('lease_delete'),"
     "('activity_update'),('environment_update'),('environment_delete'),('secret_update'),"
     "('secret_delete'),('secret_version_update'),('secret_audit_update')) AS t(name) WHERE NOT "
     "EXISTS (SELECT 1 FROM pg_trigger JOIN pg_class ON pg_class.oid=tgrelid WHERE "
     "tgname=t.name AND relnamespace='billet'::regnamespace AND tgenabled='O')"},
};

static int
query(struct billet_store *store, const char *sql, int count, const char *const *values,
      int64_t deadline_ns, PGresult **result, struct billet_error *error)
{
    int code =
        pgsql_query(store, sql, count, values, "check the store", deadline_ns, result, error);
    return code == PGSQL_LOST ? pgsql_connection_error(store, error) : code;
}

static int
check_rule(struct billet_store *store, const struct billet_store_rule *rule, int count,
           const char *const *values, int64_t deadline_ns, struct billet_strings *found,
           struct billet_error *error)
{
    cleanup_result PGresult *result = NULL;
    int code = query(store, rule->sql, count, values, deadline_ns, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        if (found->count >= BILLET_FINDINGS_MAX)
            break;
        if (!billet_strings_format(found, "%s: %s", rule->text, PQgetvalue(result, i, 0)))
            code = billet_error_no_memory(error);
    }
    return code;
}

/* Every migration that this build knows was applied as it is now. */
static int
check_migrations(struct billet_store *store, int64_t deadline_ns, struct billet_strings *found,
                 struct billet_error *error)
{
    static const struct billet_store_rule rule = {
        "migration was not applied as it is now",
        "SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM migration WHERE number=$1::integer AND "
        "checksum=$2)"};
    int code = 0;
    for (size_t i = 0; code == 0 && i < pgsql_migration_count; i++) {
        char number[16], checksum[BILLET_CHECKSUM_SIZE];
        const char *const values[] = {number, checksum};
        snprintf(number, sizeof(number), "%d", pgsql_migrations[i].number);
        billet_migration_checksum(pgsql_migrations[i].sql, checksum);
        code = check_rule(store, &rule, 2, values, deadline_ns, found, error);
    }
    return code;
}

int
pgsql_check(struct billet_store *store, struct billet_strings *found, struct billet_error *error)
{
    /* One snapshot, so that a lease that changes meanwhile is no finding. */
    static const char begin[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                "SET LOCAL statement_timeout=0;"
                                "SET LOCAL idle_in_transaction_session_timeout=0";
    int64_t deadline_ns = billet_clock_monotonic() + CHECK_NS;
    PGresult *result = NULL;
    int code = store->connection == NULL ? pgsql_connect(store, deadline_ns, error) : 0;
    if (code == 0)
        code = query(store, begin, 0, NULL, deadline_ns, &result, error);
    PQclear(result);
    for (size_t i = 0; code == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
        code = check_rule(store, &rules[i], 0, NULL, deadline_ns, found, error);
    for (size_t i = 0; code == 0 && i < billet_store_rule_count; i++)
        code = check_rule(store, &billet_store_rules[i], 0, NULL, deadline_ns, found, error);
    if (code == 0)
        code = check_migrations(store, deadline_ns, found, error);
    /* Whatever it came to, the next call begins outside of the transaction. */
    pgsql_disconnect(store);
    return code;
}
