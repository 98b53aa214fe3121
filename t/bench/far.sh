#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# far.sh DIRECTORY COMMAND... - run the command while an sshd of our own on loopback lives, which the
# files in DIRECTORY lead to: billet.conf (environment far) and ssh_config (host far, a connection
# that is shared and warm). Exit status 77, and DIRECTORY/reason, when there can be no sshd.
set -eu
: "${top_srcdir:?}" "${top_builddir:?}"
directory=$1
shift
mkdir "$directory"

skip_all() {
    echo "$*" >"$directory/reason"
    exit 77
}
need() {
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 || skip_all "there is no $name"
    done
}
is_root() {
    [ "$(id -u)" -eq 0 ]
}
# What the trap of sshd.sh ends with; the status stays.
tap_exit() {
    :
}
need tar
# shellcheck source=t/lib/sshd.sh
. "$top_srcdir/t/lib/sshd.sh"

{
    ssh_driver
    printf '[environment far]\ndriver = ssh\n'
} >"$directory/billet.conf"
# shellcheck disable=SC2154 # set by sshd.sh
cat >"$directory/ssh_config" <<END
Host far
HostName 127.0.0.1
Port $port
User $user
IdentityFile $far/id
IdentitiesOnly yes
UserKnownHostsFile $far/known_hosts
BatchMode yes
LogLevel ERROR
ControlPath $far/control
END
ssh -F "$directory/ssh_config" -fNM far || skip_all "no connection can be shared"
mkdir "$far/others"
printf '%s\n' "$far" >"$directory/far"
status=0
"$@" || status=$?
ssh -F "$directory/ssh_config" -O exit far 2>/dev/null || :
exit "$status"
