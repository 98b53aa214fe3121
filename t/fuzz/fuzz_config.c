/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_config.c - any bytes as a config file: parsed, merged, resolved as an
 * environment, and written back, which must read the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/configuration_private.h"
#include "config/environment.h"
#include "config/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What the snippet of the environment says must be what the environment says. */
static void
check_round_trip(const struct billet_environment *environment)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_environment again = BILLET_ENVIRONMENT_INIT;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    billet_environment_to_snippet(to, environment);
    fclose(to);
    if (billet_parser_read("again", text, size, &document, &problems) < 0) {
        /* Quoting can lengthen a line or the file over its limit; nothing else may go wrong. */
        if (strcmp(problems.items[0].code, "too_large") != 0)
            abort();
    } else {
        if (document.count != 1 ||
            billet_environment_from_section(&document.items[0], &again, NULL) < 0 ||
            again.settings.count != environment->settings.count)
            abort();
        for (size_t i = 0; i < again.settings.count; i++)
            if (strcmp(again.settings.items[i].value, environment->settings.items[i].value) != 0)
                abort();
    }
    billet_environment_free(&again);
    billet_document_free(&document);
    billet_diagnostics_free(&problems);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_configuration *view = billet_configuration_new();
    billet_parser_read("fuzz", (const char *)bytes, length, &document, &problems);
    billet_configuration_merge(view, &document, &problems, &error);
    billet_configuration_finish(view, &problems, &error);
    for (size_t i = 0; i < billet_configuration_count(view); i++) {
        const struct billet_section *section = billet_configuration_at(view, i);
        struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
        if (strcmp(section->kind, "environment") != 0 ||
            billet_environment_from_section(section, &environment, &error) < 0)
            continue;
        billet_environment_resolve(&environment, &problems);
        check_round_trip(&environment);
        billet_environment_free(&environment);
    }
    for (size_t i = 0; i < problems.count; i++)
        if (problems.items[i].line < 0 || problems.items[i].column < 0)
            abort();
    billet_configuration_free(view);
    billet_document_free(&document);
    billet_diagnostics_free(&problems);
    return 0;
}
