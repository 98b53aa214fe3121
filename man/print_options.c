/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print_options KIND - core's own keys of a [KIND] section as billet.conf(5) lists
 * them; see man/update-options.
 */
#include <stdio.h>

#include "config/configuration.h"
#include "config/option.h"

int
main(int argc, char **argv)
{
    size_t count = 0;
    const struct billet_option *options =
        argc == 2 ? billet_configuration_options(argv[1], &count) : NULL;
    if (options == NULL) {
        fprintf(stderr, "usage: print-options KIND-OF-SECTION\n");
        return 2;
    }
    billet_options_to_mdoc(stdout, options, count);
    return fflush(stdout) == 0 ? 0 : 1;
}
