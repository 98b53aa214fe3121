# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# canary.sh - values that are looked for with t/lib/canary_seek.c, and where a driver host and what it
# started have them. Sourced after tap.sh and verbs.sh.

seek=$top_builddir/t/lib/canary-seek

# plant KIND...: a value for each in $sources/value.KIND, and all of them in $sources/values.
plant() {
    sources=$scratch/sources
    mkdir -m 0700 "$sources"
    for kind in "$@"; do
        part=$(od -An -N 10 -tx1 /dev/urandom | tr -d ' \n')
        value="cAn-$kind-\"q&r\\s/$part"
        printf '%s %s %s\n' "$kind" "$value" "$part" >>"$sources/values"
        printf '%s' "$value" >"$sources/value.$kind"
        chmod 0400 "$sources/value.$kind"
    done
}

# hits PATH...: what is found below them, kinds and forms and places, at most ten lines
hits() {
    "$seek" "$sources/values" "$@" 2>&1 | grep -v '^sought [0-9]' | sort -u | head -n 10
}

# in_memory HOW PID: the same of a process, --memory or --all-memory
in_memory() {
    "$seek" "$1" "$sources/values" "$2" 2>&1 | grep -v '^sought [0-9]' | sort -u | head -n 10
}

none_in_memory() {
    kill -0 "$2" && [ -z "$(in_memory "$1" "$2")" ]
}

# The command that keep_a_command starts; its environment has the values by right.
marked_sleeps() {
    grep -als '^sleep.1147.$' /proc/[0-9]*/cmdline | cut -d / -f 3
}

# descendants_of PID: at most six generations.
descendants_of() {
    generation=$1
    for _ in 1 2 3 4 5 6; do
        born=
        for parent in $generation; do
            born="$born $(children_of "$parent")"
        done
        echo "$born"
        generation=$born
    done
}

# host_keeps_nothing NAME OPTION...: of a run in that environment, whose variables are the values:
# while its command runs, no image of the driver host or of what it started would show one, but for
# the command and, with OPTION except=PROGRAM, programs of names that begin so. When the command has ended the host has
# none at all.
host_keeps_nothing() {
    name=$1
    except=${2:+${2#except=}}
    start_billet run -e "$name" -- sh -c 'echo ready; exec sleep 1147'
    if ! wait_until grep -qs ready "$scratch/stdout" || ! wait_until test -n "$(marked_sleeps)"; then
        fail "a run in $name: $(cat "$scratch/stderr")"
    fi
    host=$(children_of "$billet_pid" | head -n 1)
    is "$(tr '\000' '\n' <"/proc/$host/cmdline" | head -n 1)" billet-driver-host "$name: there is a driver host"
    is "$(in_memory --memory "$host")" "" "$name: an image of it has no value while the command runs"
    like "$(in_memory --all-memory "$host")" 'plain memory .*rw-p' "$name: though it has them, in pages of their own"
    for child in $(descendants_of "$host"); do
        case "$(tr '\000' ' ' 2>/dev/null <"/proc/$child/cmdline")" in
        "sleep 1147 " | "${except:-no such program}"*) continue ;;
        esac
        kill -0 "$child" 2>/dev/null || continue
        is "$(in_memory --memory "$child")" "" "$name: nor has one of $(cat "/proc/$child/comm"), which it started"
    done
    # Stopped, billet does not end the host, which waits for the next call.
    kill -STOP "$billet_pid"
    for left in $(marked_sleeps); do
        kill "$left"
    done
    ok "$name: it has none at all when the command has ended" wait_until none_in_memory --all-memory "$host"
    kill -CONT "$billet_pid"
    finish_billet
    is "$status" 143 "$name: the run ends"
}
