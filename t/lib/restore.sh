# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2034
# restore.sh - the drill of a machine that is lost: its store's copy and the export of its keyring,
# elsewhere. After tap.sh and verbs.sh.

# seal_some: a keyring of two keys, secrets with versions of a tenant and another, an export.
seal_some() {
    printf 'an-export-passphrase' >"$scratch/passphrase"
    printf 'the-first-of-its-values' >"$scratch/value.old"
    billet key init
    billet secret set kept --from-file "$scratch/value.old"
    billet secret set theirs --tenant other --from-file "$scratch/value.old"
    billet key rotate
    printf 'the-second-of-its-values' >"$scratch/value"
    isolated "$billet_program" secret rotate kept <"$scratch/value" >/dev/null 2>&1
    billet key export "$scratch/exported" --export-passphrase-fd 3 3<"$scratch/passphrase"
    is "$status/$stderr" 0/ "the keyring is exported"
}

# In the place of the lost machine, where the store has been restored and nothing else is.
restored() {
    not_ok "the new machine has no keyring" test -e "$tap_base/keyring"
    billet secret list
    is "$status" 0 "the restored store tells its secrets"
    billet secret verify --all
    is "$status" 125 "without the keyring none opens"
    is "$(grep -c . "$scratch/stderr")" 2 "which is said in one line, with another for what to do"
    like "$stderr" 'key_missing' "by its name"
    like "$stderr" 'billet key import' "and the remedy"
    not_ok "and no keyring was made" test -e "$tap_base/keyring"

    billet key init
    billet secret verify --all
    isnt "$status" 0 "with a keyring of another none opens"
    like "$stdout" '^0 open, 3 do not$' "and each is counted"
    billet secret show kept --to-fd 3 3>"$scratch/got"
    is "$status/$(wc -c <"$scratch/got" | tr -d ' ')" 125/0 "nor is any read"
    like "$stderr" 'key_unknown' "an error that names the reason"
    like "$stderr" 'billet key import' "and the remedy"
    rm "$tap_base/keyring"

    printf 'another-passphrase' >"$scratch/passphrase.wrong"
    billet key import "$scratch/exported" --export-passphrase-fd 3 3<"$scratch/passphrase.wrong"
    is "$status" 125 "an export does not open with another passphrase"
    not_ok "and leaves no keyring" test -e "$tap_base/keyring"
    billet key import "$scratch/exported" --export-passphrase-fd 3 3<"$scratch/passphrase"
    is "$status/$stderr" 0/ "the export becomes the keyring"
    billet secret verify --all
    is "$status/$stdout" "0/3 open, 0 do not" "every secret verifies"
    billet secret show kept --to-fd 3 3>"$scratch/got"
    ok "its value is the newest" cmp "$scratch/got" "$scratch/value"
    billet secret show kept --version 1 --to-fd 3 3>"$scratch/got"
    ok "the one before is there too" cmp "$scratch/got" "$scratch/value.old"
    billet audit verify
    is "$status" 0 "the record of uses goes on"
    billet key rotate
    billet secret verify --all
    is "$status/$stdout" "0/3 open, 0 do not" "and so does rotation"
}
