#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# The janitor: resources whose lease has ended, what it leaves alone and why, stores that were
# restored, clocks that jump, environments that cannot be cleaned up, and the loop.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
need sqlite3
mkdir "$scratch/resources"
fake_configuration <<END
[environment fake]
driver = fake
directory = $scratch/resources
END
resources=$scratch/resources

# stray: a resource of a lease that ended, old enough to be judged; its lease is $lease.
stray() {
    held_lease -e fake
    cp -p "$resources/fake-$lease" "$scratch/kept"
    billet lease release "$lease"
    mv "$scratch/kept" "$resources/fake-$lease"
    touch -d '10 minutes ago' "$resources/fake-$lease"
}
# decision REF: what the last billet said of it.
decision() {
    printf '%s\n' "$stdout" | awk -v ref="$1" '$1 == ref { $1 = $2 = ""; print }' | sed 's/^ *//'
}

# ---- the sweep ------------------------------------------------------------------------------------
stray
gone=$lease
held_lease -e fake
held=$lease
touch -d '10 minutes ago' "$resources/fake-$lease"
billet lease reap --sweep --dry-run --all
is "$status/$(decision "fake-$gone")" "0/would remove its lease has ended" "a resource without a lease is found"
is "$(decision "fake-$lease")" "kept its lease lives" "one with a lease is kept"
ok "a dry run removes nothing" test -e "$resources/fake-$gone"
not_ok "and remembers nothing" test -e "$scratch/state/janitor.json"
billet lease reap --all
is "$(decision "fake-$gone")" "" "a reap without --sweep asks no driver"
billet janitor --once --json
is "$status/$(json /removed /findings/0/decision /findings/0/id | tr '\n' ' ')" "0/1 removed fake-$gone " \
    "the janitor removes it"
not_ok "it is gone" test -e "$resources/fake-$gone"
ok "and the other is there" test -e "$resources/fake-$lease"
billet lease show "$gone"
like "$stdout" 'lease\.swept' "the lease tells of it"
stray
touch "$resources/fake-$lease"
billet janitor --once --all
is "$(decision "fake-$lease")" "kept it is too young to be judged" "a young one is left alone"
rm "$resources/fake-$lease"

# ---- what is not ours, or not understood ------------------------------------------------------------
billet db status --json
ours=$(json /deployment)
# labelled NAME DEPLOYMENT LEASE: an old resource that carries them.
labelled() {
    printf 'deployment=%s\nlease=%s\nfence=1\ngeneration=1\n' "$2" "$3" >"$resources/fake-$1"
    touch -d '10 minutes ago' "$resources/fake-$1"
}
labelled foreign 01a21000-b6bd-7c89-bab1-b60a04055858 01a21000-b74b-7782-9095-eeb9a635b8fc
billet janitor --once --all
is "$status/$(decision fake-foreign)" "0/kept it is of another deployment" "one of another deployment is kept"
labelled unknown "$ours" 01a21000-b74b-7782-9095-eeb9a635b8fc
labelled broken "$ours" ../../etc
billet janitor --once
is "$status" 1 "what somebody should look at is a finding"
is "$(decision fake-unknown)" "unknown the store knows no such lease: it may be an older copy" \
    "a lease that the store does not know is no reason to remove anything"
is "$(decision fake-broken)" "malformed its label cannot be read" "nor is a label that cannot be read"
ok "all are there" test -e "$resources/fake-unknown" -a -e "$resources/fake-broken" -a -e "$resources/fake-foreign"
rm "$resources/fake-unknown" "$resources/fake-broken" "$resources/fake-foreign"

# ---- too many at once ---------------------------------------------------------------------------------
for lease in 1 2 3 4 5 6; do
    stray
done
billet janitor --once
is "$status" 1 "six of a handful are too many at once"
is "$(decision "fake-$lease")" "held back too many at once have no live lease: look before they go" "and are held back"
ok "all of them" test -e "$resources/fake-$lease"
billet lease reap --sweep --all-at-once
is "$status/$(printf '%s\n' "$stdout" | grep -c ' removed ')" 0/6 "until somebody has looked"
stray
sed -i '/^directory/a script = list:fail:unavailable' "$scratch/billet.conf"
billet janitor --once
is "$status" 1 "a driver that cannot be asked is a finding"
like "$stdout" '^fake +fake +not asked +.*list fails' "which says why"
ok "and nothing is removed" test -e "$resources/fake-$lease"
sed -i '/^script/d' "$scratch/billet.conf"
billet janitor --once
not_ok "the next pass goes on" test -e "$resources/fake-$lease"

# abandoned: a lease whose command runs, $lease; kill_it kills its billet.
abandoned() {
    start_billet run -e local -- sleep 60
    mv "$scratch/stdout" "$scratch/run.stdout"
    wait_until live_in local
    lease=$(json /leases/0/id)
}

kill_it() {
    kill -KILL "$billet_pid"
    wait "$start_job" 2>/dev/null
}

# ---- a store that was restored ---------------------------------------------------------------------------
billet lease release "$held"
abandoned
store=$scratch/state/billet.db
sqlite3 "$store" ".backup '$scratch/yesterday.db'"
billet run -e fake -- true
billet run -e fake -- true
billet janitor --once
is "$status" 0 "a pass that remembers how far the store is"
sqlite3 "$store" ".restore '$scratch/yesterday.db'"
kill_it
billet janitor --once --all
is "$status" 1 "a restored store is a finding"
like "$stdout" '^[0-9a-f-]+ +- +restored +the store lacks what had happened' "and is told"
is "$(decision "$lease")" "kept the store was restored: what it says of older leases may be past" \
    "it ends no lease by what is in it"
billet janitor --once --all
is "$status/$(decision "$lease")" "0/kept the store was restored: what it says of older leases may be past" \
    "nor does the next pass"
old=$lease
abandoned
young=$lease
lease=$old
kill_it
billet janitor --once
is "$(decision "$young")" "reaped its owner is gone" "leases that began later are ended as ever"
sed -i 's/"restored_ns":[0-9]*/"restored_ns":1/' "$scratch/state/janitor.json"
billet janitor --once
is "$(decision "$lease")" "reaped its owner is gone" "after an hour the old ones are, too"

# ---- a clock that jumps -----------------------------------------------------------------------------------
held_lease -e fake --ttl 1h
billet janitor --once
# As if it had been ten years earlier then: the same for the store as a jump of ten years ahead.
offset=$("$json_get" /offset_ns <"$scratch/state/janitor.json")
sqlite3 "$store" "UPDATE lease SET expires_ns = expires_ns - 315360000000000000 WHERE id = '$lease'"
sed -i "s/\"offset_ns\":$offset/\"offset_ns\":$((offset - 315360000000000000))/" "$scratch/state/janitor.json"
billet lease reap --dry-run
is "$(decision "$lease")" "would reap its held time ended" "a lease looks expired after a jump"
billet janitor --once --all
is "$status/$(decision "$lease")" "1/kept it is held" "which the janitor notices, and gives it the time that it had left"
like "$stdout" ' clock +the store.s clock jumped ahead by' "and tells of"
billet janitor --once --all
is "$status/$(decision "$lease")" "0/kept it is held" "once"
billet lease release "$lease"

# ---- an environment that cannot be cleaned up ----------------------------------------------------------------
billet env create stuck --driver fake --option "directory=$resources" --option 'script=release:fail:unavailable destroy:fail:unavailable'
billet run -e stuck -- true
for lease in 2 3 4 5 6; do
    billet lease reap --now
done
is "$status" 1 "a cleanup that fails is a finding"
like "$stdout" '^stuck +- +drained +the resource of lease .* cannot be removed' "after some the environment is drained"
billet run -e stuck -- true
is "$status" 125 "and takes no new lease"
like "$stderr" "environment 'stuck' is drained: the resource of lease .*environment_inactive" "the reason is told"
billet env undrain stuck
billet env show stuck --json
is "$status/$(json /status)" 0/active "an operator can let it go on"
billet env undrain stuck
is "$status" 0 "twice"
billet env drain stuck --reason 'new disk'
billet run -e stuck -- true
refused 125 "environment 'stuck' is drained: new disk" environment_inactive \
    "'billet env edit stuck --status active' makes it usable" "or drain it"
billet env drain local --reason 'new cables'
is "$status" 0 "so can one that is built in"
billet run -- true
refused 125 "environment 'local' is drained: new cables" environment_inactive \
    "'billet env undrain local' makes it usable" "nothing runs there"
billet env list
like "$stdout" '^local +local +drained ' "the list says so"
billet env show local --json
is "$(json /status /reason | tr '\n' ' ')" "drained new cables " "and what shows it"
billet status
is "$status" 1 "and the overview"
like "$stdout" '^local +new cables' "with the reason"
billet env undrain local
billet run -- true
is "$status" 0 "until it is undrained"
billet env archive local
is "$status" 125 "but what is built in cannot be archived"
billet env archive stuck
billet env undrain stuck
refused 125 "environment 'stuck' is archived" environment_inactive \
    "'billet env edit stuck --status active' brings it back" "an archived one is not undrained"
billet lease list --environment stuck --json
billet lease destroy --forget "$(json /leases/0/id)"
rm "$resources"/fake-*

# The same with one that a file defines.
saved=
[ ! -f "$scratch/billet.conf" ] || saved=$(cat "$scratch/billet.conf")
{
    printf '%s\n' "$saved"
    printf '[environment filed]\ndriver = fake\ndirectory = %s\n' "$resources"
    printf 'script = "release:fail:unavailable destroy:fail:unavailable"\n'
} >"$scratch/billet.conf"
billet run -e filed -- true
for lease in 2 3 4 5 6; do
    billet lease reap --now
done
like "$stdout" '^filed +- +drained +the resource of lease .* cannot be removed' "one of a file is drained, too"
billet run -e filed -- true
is "$status" 125 "and takes no new lease"
billet env undrain filed
billet lease list --environment filed --json
billet lease destroy --forget "$(json /leases/0/id)"
rm "$resources"/fake-* "$scratch/billet.conf"
[ -z "$saved" ] || printf '%s\n' "$saved" >"$scratch/billet.conf"

# ---- what somebody should look at -------------------------------------------------------------------------
billet status
is "$status" 0 "nothing is to be looked at"
like "$stdout" '^no lease lives$' "and no lease lives"
abandoned
billet status --json
is "$status/$(json /environments/0/environment /environments/0/active /environments/0/abandoned | tr '\n' ' ')" \
    "0/local 1 0 " "a lease in use is counted"
kill_it
billet status
is "$status" 1 "one that nobody drives is a finding"
like "$stdout" '^local +1 +0 +0 +1 +0' "and counted as abandoned"
billet lease reap
billet env create drained --driver fake
billet env drain drained --reason 'new disk'
billet status
is "$status" 1 "so is an environment that is drained"
like "$stdout" '^drained +new disk' "with its reason"
billet env delete drained --yes
billet audit list --environment drained --json
is "$status/$(json '/activities/#' /activities/1/action | tr '\n' ' ')" "0/3 environment.drained " "the audit lists what happened to it"
billet audit list --lease "$lease"
like "$stdout" 'lease\.reaped' "and to a lease"
billet audit list --since 0 --limit 2 --json
is "$(json '/activities/#' /more | tr '\n' ' ')" "2 true " "so many at a time"
last=$(json /last)
billet audit list --after "$last" --limit 1 --json
is "$(json /activities/0/sequence)" "$((last + 1))" "and goes on after"
billet audit list --limit many
is "$status" 2 "a limit is a number"
billet audit list --limit 0
is "$status" 2 "and not 0"
billet audit list --lease 00000000
is "$status" 125 "an unknown lease is told"

# ---- the loop ----------------------------------------------------------------------------------------------------
abandoned
kill_it
start_billet janitor --interval 1s
wait_until grep -q "^$lease .* reaped " "$scratch/stdout"
is "$?" 0 "a janitor that stays ends what is left"
kill -TERM "$billet_pid"
finish_billet
is "$status" 0 "and ends when it is told to"
billet janitor --interval 1ms
is "$status" 2 "an interval has bounds"
billet janitor extra
is "$status" 2 "it takes no argument"
nothing_left "all that"
billet db check
is "$stdout" "no findings" "the store is whole"
done_testing
