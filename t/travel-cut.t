#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# A workspace on its way to a host when the network is cut, a disk is full, or a process is killed in
# the middle: the run ends soon with one line, every file here is old or new, the next run is
# complete, and nothing stays there. The host is an sshd in a network namespace of its own.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_root
need ip unshare nsenter mount
# In namespaces of our own, so that neither link nor mount outlives the test.
if [ -z "${TRAVEL_CUT_INSIDE:-}" ]; then
    unshare --net --mount true 2>/dev/null || skip_all "there can be no network namespaces here"
    trap - EXIT
    TRAVEL_CUT_INSIDE=yes exec unshare --net --mount sh "$0"
fi
mount --make-rprivate /
ip link set lo up
unshare --net sleep 3000 &
holder=$!
in_host() { nsenter -t "$holder" -n "$@"; }
its_own() { [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
wait_until its_own
ip link add here type veth peer name there netns "$holder" 2>"$scratch/said" ||
    skip_all "no veth here: $(cat "$scratch/said")"
ip addr add 10.77.0.1/24 dev here
ip link set here up
in_host ip addr add 10.77.0.2/24 dev there
in_host ip link set there up
in_host ip link set lo up
sshd_address=10.77.0.2 sshd_through="nsenter -t $holder -n"
. "$top_srcdir/t/lib/sshd.sh"
trap 'kill "$holder" 2>/dev/null; clean_far; tap_exit' EXIT

cat >"$scratch/billet.conf" <<END
$(ssh_driver)
connect_timeout = 2s
keepalive_interval = 1s
keepalive_count = 2
[environment far]
driver = ssh
END
work=$scratch/work
mkdir "$work"
echo before >"$work/file"
head -c 3000000 /dev/urandom >"$work/large"
look() {
    (cd "$work" && find . | sort && find . -type f -exec cksum {} + | sort)
}
billet run -e far -w "$work" -- true
is "$status" 0 "the host is reached over the link"

# A guest that stops in the middle of what $far/hold names, and says so in $far/half.
guest=$(ls "$far"/home/.cache/billet/guest-*)
mv "$guest" "$far/guest"
cat >"$guest" <<END
#!/bin/sh
middle() {
    head -c 1000000
    : >$far/half
    while [ -e $far/hold ]; do sleep 0.1; done
    cat
}
case \$1/\$(cat $far/hold 2>/dev/null) in
receive/receive) middle | $far/guest "\$@" ;;
send/send) $far/guest "\$@" | middle ;;
*) exec $far/guest "\$@" ;;
esac
END
chmod 755 "$guest"

# begin WHAT: a run that stops in the middle of it; waits for that.
begin() {
    rm -f "$far/half"
    echo "$1" >"$far/hold"
    [ "$1" != receive ] || head -c 3000000 /dev/urandom >"$work/large"
    before=$(look)
    start_billet run -e far -w "$work" -- \
        sh -c 'echo changed >file; head -c 3000000 /dev/zero | tr "\0" x >large; echo made >new'
    wait_until test -e "$far/half"
}
# ended DESCRIPTION: the run has failed in time, in one line and perhaps a hint, and changed nothing.
ended() {
    start=$(now)
    finish_billet
    within 25 "$start" "$1: the run ends soon"
    rm -f "$far/hold"
    is "$status" 125 "$1: as billet's failure"
    # That the lease could not be ended either is another line.
    is "$(grep '\[[a-z_]*\]$' "$scratch/stderr" | grep -vc 'cannot remove the resource.*\[')" 1 "$1: in one line"
    [ -z "${CUT_SHOW:-}" ] || diag "$stderr"
    is "$(look)" "$before" "$1: the workspace is as it was"
}
none_there() { [ -z "$(ls "$far/leases")" ]; }
# completes DESCRIPTION: what was left is removed, and the next run does all of it.
completes() {
    reap() { billet lease reap --now && none_there; }
    ok "$1: nothing is left there" wait_until reap
    billet run -e far -w "$work" -- sh -c 'cksum <large; echo "new $1" >file' sh "$1"
    is "$status/$stdout/$(cat "$work/file")" "0/$(cksum <"$work/large")/new $1" "$1: the next run is complete"
    no_processes() { ! pgrep -f "^(/bin/sh )?$guest " >/dev/null; }
    ok "$1: no process is left there" wait_until no_processes
}
# What can only be had back is held; it is given up, for that is what the test is not about.
give_up() {
    billet lease list --json
    for lease in $(echo "$stdout" | grep -Eo '"id": *"[^"]*"' | cut -d'"' -f4); do
        billet lease destroy "$lease"
    done
}

# ---- the network ----
cut_link() { ip link set here down; }
mend_link() { ip link set here up; }
begin receive
cut_link
ended "cut on the way there"
mend_link
completes "cut on the way there"

before=$(look)
rm -f "$far/half"
start_billet run -e far -w "$work" -- sh -c 'echo half >file; echo ready; sleep 600'
wait_until grep -q ready "$scratch/stdout"
cut_link
ended "cut under a command"
mend_link
completes "cut under a command"

begin send
cut_link
ended "cut on the way back"
mend_link
give_up
completes "cut on the way back"

# ---- killed ----
begin receive
kill -KILL "$billet_pid"
finish_billet
rm -f "$far/hold"
is "$(look)" "$before" "billet killed on the way there: the workspace is as it was"
completes "billet killed on the way there"
begin send
kill -KILL "$billet_pid"
finish_billet
rm -f "$far/hold"
is "$(look)" "$before" "billet killed on the way back: the workspace is as it was"
completes "billet killed on the way back"
sessions() { pgrep -P "$sshd_pid"; }
for way in receive send; do
    begin "$way"
    for session in $(sessions); do
        kill -KILL "$session"
    done
    ended "sshd killed in $way"
    give_up
    completes "sshd killed in $way"
done

# ---- full disks ----
mv "$far/guest" "$guest"
mkdir "$far/small"
mount -t tmpfs -o size=8m tmpfs "$far/small"
cat >>"$scratch/billet.conf" <<END
[environment full]
driver = ssh
remote_directory = $far/small
END
none_there() { [ -z "$(ls "$far/small")" ]; }
head -c 12000000 /dev/urandom >"$work/huge"
before=$(look)
billet run -e full -w "$work" -- true
is "$status" 125 "a disk that fills up on the way there ends the run"
like "$stderr" 'No space left on device.*\[' "which is said"
is "$(look)" "$before" "the workspace is as it was"
ok "and nothing is left there" none_there
rm "$work/huge"
billet run -e full -w "$work" -- sh -c 'echo kept >file; head -c 12000000 /dev/zero >huge 2>/dev/null || rm huge'
is "$status/$(cat "$work/file")" 0/kept "a disk that a command fills: what it could write comes back"
billet run -e full -w "$work" -- sh -c 'echo more >file; cat /dev/zero >huge 2>/dev/null; exit 3'
is "$status/$(cat "$work/file")" 3/more "also when it is full to the end"
ok "as much as there was" test "$(stat -c %s "$work/huge")" -gt 1000000
rm "$work/huge"
umount -l "$far/small"

mkdir "$scratch/tight"
mount -t tmpfs -o size=80m tmpfs "$scratch/tight"
work=$scratch/tight/work
mkdir "$work"
echo before >"$work/file"
before=$(look)
billet run -e far -w "$work" -- sh -c 'echo after >file; head -c 30000000 /dev/zero | tr "\0" y >huge'
is "$status" 125 "a disk that would fill up here ends the way back"
like "$stderr" '\[workspace_full\]' "which is said"
is "$(look)" "$before" "the workspace is as it was"
lease=$(echo "$stderr" | grep -Eo '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | head -n 1)
mount -o remount,size=200m "$scratch/tight"
billet pull "$lease"
is "$status/$(cat "$work/file")/$(stat -c %s "$work/huge")" "0/after/30000000" "with more room a pull has it all"
billet lease release "$lease"
umount -l "$scratch/tight"
nothing_left "after all of it"
done_testing
