/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record_environment.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

int
billet_environment_settings_text(const struct billet_environment *environment, char **text,
                                 struct billet_error *error)
{
    cleanup_json json_t *object = billet_environment_settings_to_json(environment);
    *text = object != NULL ? billet_json_text(object) : NULL;
    return *text != NULL ? 0 : billet_error_no_memory(error);
}

const char *
billet_environment_status(const struct billet_environment *environment)
{
    return environment->status != NULL ? environment->status : BILLET_ENVIRONMENT_ACTIVE;
}

int
billet_environment_from_row(const char *const texts[7], const int64_t numbers[3],
                            const char *settings, const char *where,
                            struct billet_environment *environment, struct billet_error *error)
{
    struct billet_environment row = BILLET_ENVIRONMENT_INIT;
    char **const members[] = {&row.id,          &row.tenant, &row.name,  &row.driver,
                              &row.description, &row.status, &row.reason};
    cleanup_json json_t *object = NULL;
    row.source = strdup("store");
    bool whole = row.source != NULL;
    for (int i = 0; i < 7; i++) {
        *members[i] = strdup(texts[i]);
        whole = whole && *members[i] != NULL;
    }
    row.revision = numbers[0];
    row.created_ns = numbers[1];
    row.updated_ns = numbers[2];
    int result = whole ? billet_json_parse(settings, strlen(settings), &object, error)
                       : billet_error_no_memory(error);
    if (result == 0)
        result = billet_environment_settings_from_json(&row, object, error);
    if (result < 0) {
        billet_error_wrap(error, "environment '%s' in %s", texts[2], where);
        billet_environment_free(&row);
        return result;
    }
    *environment = row;
    return 0;
}
