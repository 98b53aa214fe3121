# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# sshd.sh - an sshd of our own on loopback for TAP scripts; sourced after tap.sh. Skips all where
# there can be none. Leaves in $far: leases/, place/, home/ (the HOME of logins), id, hostkey, other,
# known_hosts; $user and $port. "know KEY" makes KEY the known one, and ssh_driver [KEY [DIRECTORY]]
# prints the driver's section for that key and remote directory. A test that has it elsewhere sets
# sshd_address (127.0.0.1) and sshd_through, the words of a command that runs another where the sshd
# is to be.
[ -f "$top_builddir/.libs/driver_ssh.so" ] || skip_all "the ssh driver is not built here"
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
sshd=$(command -v sshd) || skip_all "there is no sshd (Debian openssh-server)"
need ssh ssh-keygen

: "${sshd_address:=127.0.0.1}" "${sshd_through:=}"
user=$(id -un)
shell=$(getent passwd "$user" | cut -d: -f7)
case $shell in
*nologin | *false) skip_all "the user $user has no login shell" ;;
esac

umask 022
far=$(mktemp -d "${TMPDIR:-/tmp}/billet-far.XXXXXX") || skip_all "no scratch directory"
chmod 0755 "$far"
sshd_pid=
clean_far() {
    [ -z "$sshd_pid" ] || kill "$sshd_pid" 2>/dev/null
    chmod -R u+rwX "$far" 2>/dev/null
    rm -rf "$far"
}
trap 'clean_far; tap_exit' EXIT

mkdir "$far/leases" "$far/place"
mkdir -m 1777 "$far/home"
for key in hostkey other id; do
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$far/$key"
done
cp "$far/id.pub" "$far/authorized"
is_root && mkdir -p /run/sshd

# Without PAM, an sshd of an ordinary user takes accounts for locked whose passwords it cannot read.
pam=yes
is_root && pam=no

start_sshd() {
    cat >"$far/sshd_config" <<END
Port $port
ListenAddress $sshd_address
HostKey $far/hostkey
PidFile $far/pid
AuthorizedKeysFile $far/authorized
StrictModes no
UsePAM $pam
PermitRootLogin yes
PasswordAuthentication no
SetEnv HOME=$far/home
END
    # shellcheck disable=SC2086 # words
    $sshd_through "$sshd" -f "$far/sshd_config" -E "$far/log" || return 1
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if [ -s "$far/pid" ]; then
            sshd_pid=$(cat "$far/pid")
            return 0
        fi
        sleep 0.2
    done
    return 1
}
# A port that is taken makes sshd end, and another one is tried.
port=$((20000 + $$ % 20000))
tries=0
until start_sshd; do
    port=$((port + 7))
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || skip_all "sshd does not start: $(tail -n 1 "$far/log")"
done

know() {
    printf '[%s]:%s %s\n' "$sshd_address" "$port" "$(cut -d' ' -f1,2 "$far/$1.pub")" >"$far/known_hosts"
}
ssh_driver() {
    cat <<END
[driver ssh]
enabled = yes
host = $sshd_address
port = $port
user = $user
identity_file = ${1:-$far/id}
known_hosts_file = $far/known_hosts
remote_directory = ${2:-$far/leases}
END
}
know hostkey

ssh -F /dev/null -o BatchMode=yes -o LogLevel=ERROR -o UserKnownHostsFile="$far/known_hosts" \
    -i "$far/id" -p "$port" -l "$user" "$sshd_address" true 2>"$far/said" ||
    skip_all "an sshd run by this user does not let it log in: $(tail -n 1 "$far/said")"
