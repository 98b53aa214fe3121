/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/machine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define FACT "machine"
#define HOST_FACT "machine_host"

static uint64_t
hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

static void
read_host(char *host, size_t size)
{
    host[0] = '\0';
    if (gethostname(host, size - 1) != 0)
        host[0] = '\0';
    host[size - 1] = '\0';
}

void
billet_machine_name(char name[BILLET_MACHINE_SIZE])
{
    char id[40] = "", host[256];
    cleanup_fd int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, id, sizeof(id) - 1) : -1;
    id[got > 0 ? got : 0] = '\0';
    id[strcspn(id, " \t\n")] = '\0';
    read_host(host, sizeof(host));
    snprintf(name, BILLET_MACHINE_SIZE, "%.32s.%016" PRIx64, id[0] != '\0' ? id : "none",
             hash_of(host));
}

int
billet_machine_record(const struct billet_store *store, json_t *facts, struct billet_error *error)
{
    char name[BILLET_MACHINE_SIZE], host[BILLET_MACHINE_SIZE];
    /* A file is one machine's. Its name may change there, and nobody else ends what it has. */
    if (strcmp(billet_store_of(store)->engine, "sqlite") == 0)
        return 0;
    billet_machine_name(name);
    read_host(host, sizeof(host));
    if (json_object_set_new(facts, FACT, json_string(name)) != 0 ||
        !billet_json_set_bytes(facts, HOST_FACT, host))
        return billet_error_no_memory(error);
    return 0;
}

bool
billet_machine_is_other(const struct billet_lease *lease, char *host)
{
    char name[BILLET_MACHINE_SIZE];
    cleanup_json json_t *facts = NULL;
    /* Most leases have no such fact: no need to read the others for that. */
    if (lease->facts == NULL || strstr(lease->facts, "\"" FACT "\"") == NULL ||
        billet_json_parse(lease->facts, strlen(lease->facts), &facts, NULL) < 0)
        return false;
    billet_machine_name(name);
    const char *where = billet_json_string(facts, FACT, name);
    if (host != NULL)
        billet_text_copy(host, BILLET_MACHINE_SIZE, billet_json_string(facts, HOST_FACT, where));
    return strcmp(where, name) != 0;
}

int
billet_machine_refuse(const struct billet_lease *lease, struct billet_error *error)
{
    char host[BILLET_MACHINE_SIZE];
    if (!billet_machine_is_other(lease, host))
        return 0;
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "lease_elsewhere",
                     "the resource of lease %s is on machine %s", lease->id, host);
    return billet_error_hint(error, "do it there; 'billet lease destroy --forget' gives up what is "
                                    "on a machine that never comes back");
}
