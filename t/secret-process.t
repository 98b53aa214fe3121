#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The processes that have a secret, against others of the same user: none reads their memory or environment,
# none traces them. And what billet does where memory cannot be locked.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
[ -z "${BILLET_SANITIZERS:-}" ] || skip_all "sanitizers look into their own process, and lock no memory"
need_billet
need_user
cd "$user_scratch" || exit 1
printf 'a-secret-of-a-user' >value
chmod 0644 value
as_user billet key init
as_user billet secret set token --from-file value
is "$status" 0 "an ordinary user has a secret"
as_user billet env create keeper -d local --option env.TOKEN=@secret:token
as_user billet secret bind token --environment keeper --option env.TOKEN

# billet and its driver host while a command has the value.
tap_base=$user_scratch isolated_as_user "$billet_program" run -e keeper -w "$user_scratch" -- \
    sh -c 'echo ready; exec sleep 1151' >ready 2>errors &
job=$!
ok "a command has the value" wait_until grep -qs ready ready
workload=$(grep -als '^sleep.1151.$' /proc/[0-9]*/cmdline | cut -d / -f 3 | head -n 1)
parent=$workload
while parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$parent/status" 2>/dev/null) && [ "${parent:-1}" -gt 1 ]; do
    case $(tr '\000' ' ' <"/proc/$parent/cmdline") in
    billet-driver-host*) host=$parent ;;
    *"/billet run "*) core=$parent ;;
    esac
done
ok "both processes are found" test -n "${host:-}" -a -n "${core:-}"
ok "the command's own memory can be read by its user" as_user head -c 1 "/proc/$workload/environ"
for process in "${core:-0}" "${host:-0}"; do
    name=$(head -n 1 "/proc/$process/comm")
    not_ok "SEC-83: nobody of the same user reads the environment of $name" \
        as_user sh -c 'cat "/proc/$1/environ" 2>/dev/null | grep -q .' sh "$process"
    not_ok "SEC-83: nor its memory" as_user sh -c ': <"/proc/$1/mem"' sh "$process"
    not_ok "SEC-83: nor its descriptors" as_user ls "/proc/$process/fd/"
    if command -v strace >/dev/null 2>&1; then
        tap_run as_user timeout 10 strace -qq -p "$process"
        like "$stderr" 'Operation not permitted' "SEC-83: nor traces it"
    else
        skip 1 "needs strace"
    fi
done
kill "$workload"
wait "$job" 2>/dev/null

# Root may lock whatever the limit is.
tap_base=$user_scratch
without_locks() {
    tap_run isolated_as_user sh -c 'ulimit -l 0 && exec "$@"' sh "$billet_program" "$@"
}
without_locks run -e keeper -w "$user_scratch" -- sh -c 'test "$TOKEN" = a-secret-of-a-user'
is "$status" 0 "SEC-84: a secret is used where memory cannot be locked"
is "$(printf '%s\n' "$stderr" | grep -c 'memory cannot be locked: a secret may reach swap')" 1 "SEC-84: and that is said once"
printf '[secrets]\nrequire_mlock = yes\n' >billet.conf
chmod 0644 billet.conf
without_locks run -e keeper -w "$user_scratch" -- true
is "$status" 125 "SEC-84: require_mlock refuses"
like "$stderr" 'memory cannot be locked.*\[[a-z_]+\]' "SEC-84: and says why"
tap_run isolated_as_user "$billet_program" run -e keeper -w "$user_scratch" -- true
is "$status/$stderr" 0/ "and not where it can"
done_testing
