#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A test of the tests: without one protection some attempt succeeds, and the self-check inside the
# sandbox refuses the command. "+": further layers that hide the gap are off as well.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long sanitizers
driver=driver_sandbox_ablation.so
user=${users%% *}

# ablate LIST ATTEMPT MISSING: an attempt whose name begins so must succeed without LIST; MISSING is
# what the self-check has to name, "" where it cannot see it.
ablate() {
    BILLET_ABLATION=$1 attempt -o allow_degraded=yes >"$place/out" 2>"$place/err"
    grep -q "^not ok [0-9]* - $2" "$place/out"
    status=$?
    [ $status -eq 0 ] || sed 's/^/# /' "$place/out" "$place/err" | grep -v '# ok' | head -n 20
    ok $status "$user: without $1: $2"
    [ -n "$3" ] || return 0
    BILLET_ABLATION=$1 launch -D -- true >"$place/out" 2>&1
    is 125 $? "$user: without $1: strict refuses"
    grep -q "missing: .*$3" "$place/out"
    ok $? "$user: without $1: the refusal names $3"
}

for user in $users; do
    become $user
    BILLET_ABLATION=nothing attempt >"$place/out" 2>&1
    is 0 "$(grep -c '^not ok' "$place/out")" "$user: nothing left out, nothing escapes"
    ablate seccomp 'io_uring' seccomp
    ablate net "connect to the host's loopback" 'net namespace'
    ablate net,landlock 'connect to an abstract socket' landlock
    ablate pid 'see a process of the host' 'pid namespace'
    ablate ipc 'attach shared memory' 'ipc namespace'
    ablate env,dumpable,landlock "find the launcher's environment" 'empty environment'
    ablate fds 'find a leaked descriptor' 'closed descriptors'
    ablate keyring,seccomp "find a key in the caller's session keyring" seccomp
    ablate userns,seccomp 'unshare a user namespace' seccomp
    ablate readonly,landlock 'write to /' 'read-only root'
    ablate pids 'a fork bomb' ''
    ablate memory 'a memory bomb' ''
    ablate core 'write core files' 'resource limits'
    # What no attempt shows, since another layer covers it: the self-check sees it nevertheless.
    BILLET_ABLATION=session launch -- true >"$place/out" 2>&1
    is "125 1" "$? $(grep -c 'missing: .*new session' "$place/out")" "$user: without session: strict refuses, names it"
done

# The installed driver has no such hook.
become $user
driver=driver_sandbox.so
BILLET_ABLATION=seccomp,net,pid attempt >"$place/out" 2>&1
is 0 "$(grep -c '^not ok' "$place/out")" "the installed driver ignores BILLET_ABLATION"
! grep -q BILLET_ABLATION "$place/driver_sandbox.so"
ok $? "the installed driver does not hold its name"
plan
