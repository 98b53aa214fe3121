/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migration.h - the numbered files of sql/ENGINE as a module carries them, made by
 * embed-migrations.awk; and what tells an edited one from the one that was applied.
 */
#ifndef BILLET_STORE_MIGRATION_H
#define BILLET_STORE_MIGRATION_H

#define BILLET_CHECKSUM_SIZE 17

struct billet_migration {
    int number; /* 1, 2, ... without gaps */
    const char *name;
    const char *sql;
};

/* FNV-1a in hexadecimal: nothing depends on its strength. */
void billet_migration_checksum(const char *sql, char to[BILLET_CHECKSUM_SIZE]);

#endif
