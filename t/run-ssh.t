#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2317
# (SC2016: the far shell expands; SC2317: called by the trap)
# billet run over SSH: a real sshd on loopback with keys of its own, as root and as an ordinary user.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/canary.sh"
need_billet
. "$top_srcdir/t/lib/sshd.sh"

# configure DIRECTORY KEY
configure() {
    cat >"$1/billet.conf" <<END
$(ssh_driver "$2")
[environment far]
driver = ssh
[environment placed]
driver = ssh
workspace = in_place
workspace_directory = $far/place
[environment hostile]
driver = ssh
host = -oProxyCommand=id
END
}
configure "$scratch" "$far/id"

billet run -e far -- sh -c 'echo out; echo err >&2; exit 7'
is "$status" 7 "the exit status is the command's"
is "$stdout" out "standard output is the command's alone"
is "$stderr" err "standard error is the command's alone"
is "$(ls "$far/leases")" "" "the lease's directory is gone after the run"

for command in true 'sleep 0.3' 'echo much' no-such-command; do
    # shellcheck disable=SC2086 # words
    billet run -e far --status-fd 9 -- $command 9>"$scratch/status"
    case $command in
    no-such-command) is "$(grep -c '"started"' "$scratch/status")" 0 "$command never starts" ;;
    *) like "$(status_line "$scratch/status" /started/pid)" '^[1-9][0-9]*$' "the start of $command is told" ;;
    esac
done
is "$(sed -n 's/^{"\(started\|exit\)".*/\1/p' "$scratch/status" | head -n 1)" exit "and so is an end alone"

billet run -e far -- sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status
# 32 and 33 are the C library's own: no program can set them.
like "$stdout" '[08]0000000$' "no signal is ignored, also none that the guest ignores"

billet run -e far -- readlink /proc/self/fd/0 </dev/null
is "$stdout" /dev/null "without an input there is the null device"
printf 'a\000b' | isolated "$billet_program" run -e far -- cat >"$scratch/copy"
is "$(od -An -c "$scratch/copy" | tr -d ' ')" 'a\0b' "input and output pass byte for byte"

billet run -e far --env 'GREETING=two  words' -- sh -c 'printf "%s|" "$GREETING" "$@"' sh 'a b' "it's" '$x'
is "$stdout" "two  words|a b|it's|\$x|" "arguments and variables arrive as they were given"

billet run -e far -- sh -c 'exit 255'
is "$status" 255 "exit status 255 is the command's, not the connection's"
billet run -e far -- no-such-command
is "$status" 127 "a command that is not there"
billet run -e far -- /etc/passwd
is "$status" 126 "a command that cannot be run"
billet run -e far -- sh -c 'kill -TERM $$'
is "$status" 143 "a command that a signal ended"
billet run -e far --timeout 500ms -- sleep 4731
is "$status" 124 "a command at its time limit"
ok "nothing of it is left" sh -c '! pgrep -fx "sleep 4731"'

isolated "$billet_program" run -e far -- sh -c 'yes; echo $? >"$1"' sh "$far/yes" 2>/dev/null | head -n 1 >"$scratch/line"
is "$(cat "$scratch/line")/$(cat "$far/yes")" y/141 "a command whose output nobody reads any more meets a closed pipe"

billet run -e placed -- sh -c 'pwd; echo made >here'
is "$stdout" "$far/place" "in place, a command starts in the directory on the host"
is "$(cat "$far/place/here")" made "and what it writes is there"

billet env probe far
is "$status" 0 "the probe of a good host passes"
like "$stdout$stderr" "authentication" "and says what it looked at"

id=$(isolated "$billet_program" lease acquire -e far 2>"$scratch/stderr" | head -n 1)
billet exec "$id" -- sh -c 'echo kept >file'
is "$status" 0 "a command on a held lease"
billet exec "$id" -- cat file
is "$stdout" kept "the next one finds what it left"
ok "the held lease has a directory on the host" test -d "$far/leases/$id"
billet lease destroy "$id"
is "$(ls "$far/leases")" "" "destroying the lease removes it"

know other
billet run -e far -- touch "$far/touched"
is "$status" 125 "a changed host key ends the run"
like "$stderr" "another one than before" "and is named"
not_ok "before anything was sent" test -e "$far/touched"
: >"$far/known_hosts"
billet run -e far -- true
like "$stderr" "is not known; nothing was sent" "an unknown host key is refused"
know hostkey

billet run -e hostile -- true
is "$status" 125 "a host that would be an option is refused"
unlike "$stdout" "uid=" "and nothing is run for it"

# The key from billet's own secrets: nothing but the store and the agent of the lease ever holds it.
sed 's|^identity_file = .*|identity = @secret:login|' "$scratch/billet.conf" >"$scratch/sealed.conf"
mv "$scratch/billet.conf" "$scratch/plain.conf" && mv "$scratch/sealed.conf" "$scratch/billet.conf"
billet key init
billet secret set login --from-file "$far/id"
is "$status" 0 "a private key is stored as a secret"
billet run -e far -- true
like "$stderr" 'secret_unbound' "it is used nowhere by itself"
billet secret bind login --environment far --option identity
billet run -e far -- sh -c 'echo "over there"'
is "$status/$stdout" "0/over there" "where it is bound, it logs in"
not_ok "SEC-87: the database does not hold it" sh -c 'cat "$1"/* | grep -aFq -e "$2"' \
    sh "$scratch/state" "$(sed -n 3p "$far/id")"
billet env probe far
is "$status" 0 "the probe uses it"
billet lease acquire -e far
lease=$stdout
billet exec "$lease" -- sh -c 'exit 6'
is "$status" 6 "a second command on a held lease too"
billet lease destroy "$lease"
is "$status/$(ls "$far/leases")" 0/ "and so does the end of the lease"
billet audit verify
is "$status" 0 "all of it is on record"

# Nor does the driver's process, longer than it must. OpenSSH's own processes hold what they are given.
if is_root && [ -x "$seek" ] && [ -z "${BILLET_SANITIZERS:-}" ]; then
    plant secret
    login=$(sed -n 3p "$far/id")
    printf 'login %s %s\n' "$login" "$(printf %s "$login" | cut -c 20-50)" >>"$sources/values"
    sed '/^\[environment far\]/a env.S = @secret:canary' "$scratch/billet.conf" >"$scratch/canary.conf"
    mv "$scratch/canary.conf" "$scratch/billet.conf"
    isolated "$billet_program" secret set canary <"$sources/value.secret" >"$scratch/said" 2>&1
    billet secret bind canary --environment far --option env.S
    host_keeps_nothing far except=ssh
else
    skip 5 "needs root to look into its memory, and no sanitizers, which keep what was freed"
fi
mv "$scratch/plain.conf" "$scratch/billet.conf"

if user_ready; then
    cp "$far/id" "$user_scratch/id"
    chmod 0600 "$user_scratch/id"
    is_root && chown "$tap_uid:$tap_uid" "$user_scratch/id"
    configure "$user_scratch" "$user_scratch/id"
    as_user billet run -e far -- sh -c 'exit 5'
    is "$status" 5 "an ordinary user runs a command there"
    as_user billet env probe far
    is "$status" 0 "and probes it"
else
    skip 2 "$tap_reason"
fi

kill "$sshd_pid"
sshd_pid=
billet run -e far -- true
is "$status" 125 "a host that does not answer ends the run"
like "$stderr" "refuses connections" "and is named"
done_testing
