# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# setup.sh - for the sandbox's tests: a directory that every user can reach, with the driver and its
# programs; how to run as an ordinary user; skipping with a reason.
set -u
builddir=${top_builddir:-.}

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# As in t/lib/tap.sh; with the word sanitizers not beside those either.
takes_long() {
    [ -z "${BILLET_REPEATED:-}" ] || skip_all "takes long, and was tested before"
    [ -z "$*" ] || [ -z "${BILLET_SANITIZERS:-}" ] || skip_all "takes long beside sanitizers"
    [ -z "${BILLET_SANITIZERS:-}" ] || export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}

number=0
failures=0
ok() { # ok STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failures=$((failures + 1))
    fi
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}
plan() { echo "1..$number"; }
# is WANTED GOT NAME
is() {
    if [ "$1" = "$2" ]; then ok 0 "$3"; else
        echo "# wanted: $1"
        echo "# got: $2" | head -c 400
        echo
        ok 1 "$3"
    fi
}

# processes_with ARGUMENT: of the whole machine, those that have it among theirs, one pid a line; launch
# and what looks for it are none of them.
processes_with() {
    # In brackets it does not find the argument of grep itself.
    grep -lzx -e "[${1%"${1#?}"}]${1#?}" /proc/[0-9]*/cmdline 2>/dev/null | while IFS=/ read -r _ _ pid _; do
        case $(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline") in
        '' | */launch*) ;;
        *) echo "$pid" ;;
        esac
    done 2>/dev/null
}

[ -f "$builddir/.libs/driver_sandbox.so" ] || skip_all "driver sandbox is not built"
command -v bwrap >/dev/null 2>&1 || skip_all "bubblewrap is not installed"
place=$(mktemp -d "${TMPDIR:-/tmp}/billet-sandbox.XXXXXX") || exit 1
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
chmod 0755 "$place"
for file in .libs/driver_sandbox.so .libs/driver_sandbox_ablation.so billet-sandbox-init \
    t/escape/launch t/escape/lure t/escape/escape t/escape/burden t/escape/without \
    t/escape/knock; do
    cp "$builddir/$file" "$place/" || exit 1
done
chmod 0755 "$place"/*
mkdir "$place/host"

# The users to test as: root's sandboxes have a user id of their own, others the caller's.
if [ "$(id -u)" = 0 ]; then
    users=root
    if command -v setpriv >/dev/null 2>&1; then users="root ordinary"; fi
else
    users=ordinary
fi

# For user $1: a runtime directory, a workspace, and in $as the way to become it.
become() {
    as=
    runtime=$place/runtime-$1
    work=$place/work-$1
    mkdir -p "$runtime" "$work"
    chmod 0700 "$runtime"
    if [ "$(id -u)" = 0 ]; then
        chown 65534:65534 "$work"
        if [ "$1" = ordinary ]; then
            as='setpriv --reuid=65534 --regid=65534 --clear-groups'
            chown 65534:65534 "$runtime" "$place/host"
        else
            chown 0:0 "$place/host"
        fi
    fi
    cp "$place/escape" "$place/burden" "$work/"
}

driver=driver_sandbox.so
launch() {
    $as "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" "$@"
}
# The attempts in a small sandbox; more options for launch as arguments.
attempt() {
    $as "$place/lure" "$place/host" "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" \
        -D -w "$work" -t 120000 -o memory_max=256MiB -o pids_max=128 -o tmp_size=32MiB \
        -e "LURE_FILE={FILE}" -e "LURE_DIRECTORY={DIRECTORY}" -e "LURE_PORT={PORT}" \
        -e "LURE_SOCKET={SOCKET}" -e "LURE_SHM={SHM}" -e "LURE_PID={PID}" -e "LURE_SECRET_A={A}" \
        -e "LURE_SECRET_B={B}" -e LURE_FILL_MIB=64 -e LURE_PIDS=200 -e LURE_MEMORY_MIB=400 \
        "$@" -- /work/escape
}
become ordinary
if [ "$users" = ordinary ] || [ "$users" = "root ordinary" ]; then
    reason=$(launch -- true 2>&1) || case $reason in
    *namespace* | *"uid map"*) skip_all "no user namespaces here: $(echo "$reason" | head -n 1)" ;;
    esac
fi
