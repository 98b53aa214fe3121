/* SPDX-License-Identifier: Apache-2.0 */
/* The deep check: the file, the references, the rules that leases keep. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/rules.h"
#include "store/sqlite.h"

/* What only this engine can ask. */
static const struct billet_store_rule rules[] = {
    {"the file is damaged",
     "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"},
    {"a row refers to one that is not there",
     "SELECT \"table\" || ' row ' || coalesce(rowid, '?') FROM pragma_foreign_key_check"},
    {"text is not JSON",
     "SELECT 'lease ' || id FROM lease WHERE (facts <> '' AND NOT json_valid(facts)) OR "
     "(configuration <> '' AND NOT json_valid(configuration)) UNION ALL "
     "SELECT 'environment ' || name FROM environment WHERE NOT json_valid(settings) UNION ALL "
     "SELECT 'activity ' || sequence FROM activity WHERE details <> '' AND NOT "
     "json_valid(details)"},
};

static int
check_rule(struct billet_store *store, const char *text, const char *sql,
           struct billet_strings *found, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = 0;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW || found->count >= BILLET_FINDINGS_MAX)
            break;
        if (!billet_strings_format(found, "%s: %s", text, sqlite_text(statement, 0))) {
            result = billet_error_no_memory(error);
            break;
        }
    }
    /* Damage that stops the check is a finding, not a failure of the check. */
    if (result == 0 && ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)) {
        if (!billet_strings_format(found, "%s: %s", text, sqlite3_errmsg(store->db)))
            result = billet_error_no_memory(error);
    } else if (result == 0 && code != SQLITE_DONE && code != SQLITE_ROW) {
        result = sqlite_error(store, code, "check the store", error);
    }
    sqlite3_finalize(statement);
    return result;
}

/* Every migration that this build knows was applied as it is now. */
static int
check_migrations(struct billet_store *store, struct billet_strings *found,
                 struct billet_error *error)
{
    for (size_t i = 0; i < sqlite_migration_count; i++) {
        char checksum[BILLET_CHECKSUM_SIZE], sql[256];
        billet_migration_checksum(sqlite_migrations[i].sql, checksum);
        snprintf(sql, sizeof(sql),
                 "SELECT %d WHERE NOT EXISTS (SELECT 1 FROM migration WHERE number = %d AND "
                 "checksum = '%s')",
                 sqlite_migrations[i].number, sqlite_migrations[i].number, checksum);
        int result = check_rule(store, "migration was not applied as it is now", sql, found, error);
        if (result < 0)
            return result;
    }
    return 0;
}

int
sqlite_check(struct billet_store *store, struct billet_strings *found, struct billet_error *error)
{
    /* One snapshot, so that a lease that changes meanwhile is no finding. */
    int result = sqlite_execute(store, "BEGIN", "check the store", error);
    for (size_t i = 0; result == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
        result = check_rule(store, rules[i].text, rules[i].sql, found, error);
    for (size_t i = 0; result == 0 && i < billet_store_rule_count; i++)
        result =
            check_rule(store, billet_store_rules[i].text, billet_store_rules[i].sql, found, error);
    if (result == 0)
        result = check_migrations(store, found, error);
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}
