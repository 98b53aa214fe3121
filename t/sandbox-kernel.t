#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# On a kernel that lacks something a sandbox is refused with the reason, or it is as tight as ever.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long

become ordinary
$as "$place/without" acct true || skip_all "system calls cannot be left out here"

# lacking CALLS [OPTION]...: status and the first line of "true" in a workspace.
lacking() {
    calls=$1
    shift
    $as "$place/without" "$calls" "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" \
        -w "$work" -t 20000 "$@" -- true >"$place/out" 2>&1
    status=$?
}
# refused CALLS PATTERN: class 3 (unavailable), one line, in which PATTERN stands.
refused() {
    lacking "$1"
    is "125 1" "$status $(grep -c "class 3: .*$2" "$place/out")" "$user: without $1: refused, $2"
    [ "$status" -eq 125 ] || sed 's/^/# /' "$place/out"
}

for user in $users; do
    become $user
    for call in landlock_create_ruleset landlock_add_rule landlock_restrict_self; do
        refused $call 'missing: landlock'
        lacking $call -o allow_degraded=yes
        is "0 1" "$status $(grep -c 'degraded, without: landlock' "$place/out")" \
            "$user: without $call: allow_degraded goes on and says so"
    done
    refused prctl '(sandbox_'
    refused pidfd_open sandbox_start_failed
    refused close_range sandbox_start_failed
    refused pivot_root sandbox_start_failed
    refused umount2 sandbox_start_failed
    refused setsid sandbox_start_failed
    if [ $user = root ]; then
        refused mount_setattr 'sandbox_idmap_unsupported.*Linux 5.12'
        refused open_tree 'sandbox_idmap_unsupported'
        refused move_mount 'mount the workspace'
        refused setgroups 'user id'
    fi
    # Where there is another way, it is no weaker.
    for calls in seccomp openat2,clone3,statx,faccessat2 keyctl,add_key,request_key; do
        lacking $calls
        is 0 $status "$user: without $calls: it runs"
        as="$as $place/without $calls"
        attempt >"$place/out" 2>&1
        is "0 0" "$? $(grep -c '^not ok' "$place/out")" "$user: without $calls: and nothing escapes"
        become $user
    done
    is "" "$(launch list)" "$user: no lease is left"
done
plan
