/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - a file of known hosts: what it says of one host, and a change of that.
 *
 * Which lines speak of a host is OpenSSH's to say (ssh-keygen -F: names may be hashed). Lines are
 * changed in a new file that takes the old one's place, so that a reader sees one or the other.
 * Form of a line: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
 */
#ifndef DRIVERS_SSH_KNOWN_H
#define DRIVERS_SSH_KNOWN_H

#include "ssh.h"

#define SSH_KEY_TYPE_MAX 64
#define SSH_KEY_BYTES_MAX 8192 /* in base64; a key of 16384 bits RSA has 2800 */
#define SSH_FINGERPRINT_MAX 64

/* One line "NAMES TYPE BASE64 ...". */
struct ssh_key {
    char name[320];
    char type[SSH_KEY_TYPE_MAX];
    char bytes[SSH_KEY_BYTES_MAX];
    char fingerprint[SSH_FINGERPRINT_MAX]; /* "SHA256:..." */
};
/* False when it is none, also one with a marker or a comment. */
bool ssh_key_read(const char *line, struct ssh_key *key);

struct ssh_known {
    int state;       /* BILLET_KEY_KNOWN, _NEW, _CHANGED: of the key that was asked for */
    bool revoked;    /* it is marked so */
    char types[256]; /* of the keys that are known of the host, commas between them */
};
/* What the file says of key->name and this key; a file that is not there says nothing. */
int ssh_known_look(const char *file, const struct ssh_key *key, struct ssh_known *known,
                   struct billet_error *error);

typedef void ssh_known_visit(const struct ssh_key *key, void *context);
/* Take the keys of name out, each of which visit (NULL: nobody) is shown, and put key (NULL: none)
 * at the end. A line that names further hosts is not taken apart: CONFIG. */
int ssh_known_change(const char *file, const char *name, const struct ssh_key *key,
                     ssh_known_visit *visit, void *context, struct billet_error *error);

#endif
