/* SPDX-License-Identifier: Apache-2.0 */
/* main.c of billet-guest: finds the subcommand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/assets.h"
#include "guest/files.h"
#include "guest/guest.h"
#include "guest/serve.h"

static int guest_version(int argc, char **argv);

static const struct guest_command commands[] = {
    {"asset-find", "CACHE PLACE (ID LEAF NAME)...", "link to what is in the cache of assets",
     guest_asset_find},
    {"asset-put", "CACHE PLACE ID LEAF NAME", "put standard input into the cache of assets",
     guest_asset_put},
    {"end", "LEASE [DIRECTORY [FLAGS [PATTERN...]]]",
     "kill what carries BILLET_LEASE_ID=LEASE in its environment; then as manifest", guest_end},
    {"keep", "DIRECTORY KEPT", "put a directory away for a later take", guest_keep},
    {"manifest", "DIRECTORY [FLAGS [PATTERN...]]", "print what a directory holds", guest_manifest},
    {"receive", "DIRECTORY", "bring a directory up to date from standard input", guest_receive},
    {"send", "DIRECTORY", "print an archive of the paths on standard input", guest_send},
    {"serve", "NONCE", "run commands for the other end of standard input and output", guest_serve},
    {"take", "KEPT DIRECTORY", "make what was put away the directory; then as manifest",
     guest_take},
    {"version", "", "print the version of this program", guest_version},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int
guest_version(int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return GUEST_EXIT_USAGE;
    printf("billet-guest %s\n", GUEST_VERSION);
    return fflush(stdout) == 0 ? 0 : GUEST_EXIT_FAILED;
}

static void
usage(FILE *to)
{
    fprintf(to, "usage: billet-guest COMMAND\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %s%s%s\n          %s\n", commands[i].name,
                commands[i].arguments[0] != '\0' ? " " : "", commands[i].arguments,
                commands[i].text);
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return fflush(stdout) == 0 ? 0 : GUEST_EXIT_FAILED;
    }
    for (size_t i = 0; argc >= 2 && i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argc >= 2)
        fprintf(stderr, "billet-guest: no command is called %s\n", argv[1]);
    usage(stderr);
    return GUEST_EXIT_USAGE;
}
