#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# A resource that goes from run to run, and runs that wait for their turn.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/resources" "$scratch/one" "$scratch/two"
# configure [LINE...]: of the environments that are reused.
configure() {
    fake_configuration <<END
[environment warm]
driver = fake
directory = $scratch/resources
reuse = yes
$(printf '%s\n' "$@")
[environment cold]
driver = fake
directory = $scratch/resources
[environment here]
driver = local
reuse = yes
[environment narrow]
driver = local
max_leases = 1
[environment roomy]
driver = fake
directory = $scratch/resources
reuse = yes
max_leases = 1
END
}
configure
# lease_of OPTION...: a run that succeeds, and the lease that it had.
lease_of() {
    billet run --status-fd 9 "$@" 9>"$scratch/status"
    [ "$status" = 0 ] || diag "$stderr"
    status_line "$scratch/status" /lease/id
}
state_of() {
    billet lease show "$1" --json
    json /state
}

# ---- from run to run ----------------------------------------------------------------------------
first=$(lease_of -e warm --run-id run-1 -- true)
is "$(state_of "$first")" retained "the resource is kept"
second=$(lease_of -e warm --run-id run-2 -- true)
is "$second" "$first" "and taken up by the next run"
billet lease show "$first" --json
is "$(json /fence /generation /run | tr '\n' ' ')" "2 2 run-2 " "with a fence and a generation of its own"
like "$stdout" '"lease\.resumed"' "which the history tells"
billet audit list --lease "$first" --json
is "$(printf '%s\n' "$stdout" | grep -c '"run": "run-2"')" 4 "what the second did carries its id"
is "$(lease_of -e warm -- sh -c 'exit 0')" "$first" "again"
isnt "$(lease_of -e warm --no-reuse -- true)" "$first" "unless a run wants its own"
isnt "$(lease_of -e cold -- true)" "$first" "or is of another environment"
kept=$(lease_of -e cold --reuse -- true)
is "$(lease_of -e cold --reuse -- true)" "$kept" "a run can ask for it where the environment does not"
isnt "$(lease_of -e warm --agent other -- true)" "$first" "another agent has its own"
mine=$(lease_of -e here -w "$scratch/one" -- true)
isnt "$(lease_of -e here -w "$scratch/two" -- true)" "$mine" "and another workspace"
is "$(lease_of -e here -w "$scratch/one" -- true)" "$mine" "while the first keeps its own"

billet run -e here -w "$scratch/one" -- sh -c 'exit 3'
is "$status/$(state_of "$mine")" 3/retained "a command that fails is no reason to give it up"

# ---- two at once ------------------------------------------------------------------------------------
start_billet run -e here -w "$scratch/one" -- sleep 60
mv "$scratch/stdout" "$scratch/run.stdout"
in_use() {
    [ "$(state_of "$mine")" = active ]
}
wait_until in_use
other=$(lease_of -e here -w "$scratch/one" -- true)
isnt "$other" "$mine" "what is in use is not given away"
kill -TERM "$billet_pid"
wait "$start_job" 2>/dev/null
is "$(state_of "$mine")" retained "after a signal it is there for the next, too"

# ---- what it was made from -----------------------------------------------------------------------------
configure 'stdout = changed'
next=$(lease_of -e warm -- true)
isnt "$next" "$first" "a changed environment makes a new resource"
is "$(state_of "$first")" released "and the old one is ended"
not_ok "with what it had" test -e "$scratch/resources/fake-$first"
printf 'one' >"$scratch/value"
billet key init
billet secret set token --from-file "$scratch/value"
configure 'token = @secret:token'
billet secret bind token --environment warm --option token
with_secret=$(lease_of -e warm -- true)
is "$(lease_of -e warm -- true)" "$with_secret" "a resource made with a secret is reused"
billet secret rotate token --from-file "$scratch/value"
isnt "$(lease_of -e warm -- true)" "$with_secret" "until the secret has a new version"
configure 'max_age = 1s'
young=$(lease_of -e warm -- true)
sleep 1.1
old=$young
young=$(lease_of -e warm -- true)
isnt "$young" "$old" "one that is too old is not reused"
is "$(state_of "$old")" released "but ended"
configure

# ---- lost, and doubtful ---------------------------------------------------------------------------------
lost=$(lease_of -e warm -- true)
rm "$scratch/resources/fake-$lost"
new=$(lease_of -e warm -- true)
isnt "$new" "$lost" "a resource that is gone is replaced"
is "$(state_of "$lost")" failed "its lease says so"
configure 'script = resume:fail:unavailable'
odd=$(lease_of -e warm -- true)
billet run -e warm --status-fd 9 -- true 9>"$scratch/status"
is "$status" 0 "one that cannot be reached does not stop a run"
isnt "$(status_line "$scratch/status" /lease/id)" "$odd" "which gets another"
like "$stderr" "^billet: lease $odd is kept and not used: .*resume fails" "this is told"
is "$(state_of "$odd")" retained "and the doubtful one is kept"
configure

# ---- a store that was brought back --------------------------------------------------------------------------
# Its older copy calls resources free that have gone to another run since.
store=$scratch/state/billet.db
boxes=
! isolated "$billet_program" run -e sandbox -w "$scratch/one" -- true >/dev/null 2>&1 || boxes=sandbox
for name in warm here $boxes; do
    kept=$(lease_of -e "$name" --reuse -w "$scratch/one" -- true)
    sqlite3 "$store" ".backup '$scratch/yesterday.db'"
    is "$(lease_of -e "$name" --reuse -w "$scratch/one" -- true)" "$kept" "$name: what is kept is used"
    sqlite3 "$store" ".restore '$scratch/yesterday.db'"
    billet exec "$kept" -- true
    like "$status $stderr" "^125 .*the resource of lease $kept has an owner with fence [23], of whom" \
        "$name: a store that was brought back does not enter it"
    billet run -e "$name" --reuse -w "$scratch/one" --status-fd 9 -- true 9>"$scratch/status"
    is "$status" 0 "$name: nor does it stop a run"
    isnt "$(status_line "$scratch/status" /lease/id)" "$kept" "$name: which gets another"
    like "$stderr" "^billet: lease $kept is kept and not used: the resource of lease $kept has an owner with fence [23]," \
        "$name: and says why"
    is "$(state_of "$kept")" retained "$name: the doubtful one is kept"
    billet lease release "$kept"
    is "$status/$(state_of "$kept")" 0/released "$name: and can be ended by hand"
done
[ -n "$boxes" ] || skip 7 "there is no sandbox for this user here"

# ---- where it does not go --------------------------------------------------------------------------------
if isolated "$billet_program" run -e sandbox -w "$scratch/one" -- true >/dev/null 2>&1; then
    billet run -e sandbox --reuse -w "$scratch/one" --workspace-mode overlay -- true
    refused 125 "a resource that is reused cannot have its workspace by overlay" unsupported_environment \
        "use --workspace-mode bind or in_place, or leave out reuse" "an overlay is of one run"
    box=$(lease_of -e sandbox --reuse -w "$scratch/one" -- sh -c 'echo mine >/tmp/mark')
    billet run -e sandbox --reuse -w "$scratch/one" -- cat /tmp/mark
    is "$status/$stdout" 0/mine "a sandbox goes from run to run with what is in it"
    billet lease show "$box" --json
    is "$(json /state)" retained "the same one"
else
    skip 3 "there is no sandbox for this user here"
fi

# ---- the queue ----------------------------------------------------------------------------------------------
start_billet run -e narrow -- sleep 60
mv "$scratch/stdout" "$scratch/run.stdout"
wait_until live_in narrow
holder=$billet_pid
holder_job=$start_job
isolated "$billet_program" run -e narrow -- echo turn >"$scratch/waiter" 2>"$scratch/waiter-errors" &
waiter=$!
wait_until grep -q . "$scratch/waiter-errors"
is "$(cat "$scratch/waiter-errors")" \
    "billet: waiting: 1 leases of environment 'narrow' live, and 1 may at once" "a run beyond the limit waits and says why"
is "$(cat "$scratch/waiter")" "" "it does not run"
start_billet run -e narrow -- echo never
wait_until grep -q waiting "$scratch/stderr"
kill -INT "$billet_pid"
finish_billet
is "$status/$stdout" 130/ "a signal ends the waiting"
kill -TERM "$holder"
wait "$holder_job" 2>/dev/null
wait "$waiter"
is "$?/$(cat "$scratch/waiter")" 0/turn "its turn comes"
start_billet run -e narrow -- sleep 60
mv "$scratch/stdout" "$scratch/run.stdout"
wait_until live_in narrow
kill -KILL "$billet_pid"
wait "$start_job" 2>/dev/null
start_billet run -e narrow -- echo turn
wait_until grep -q waiting "$scratch/stderr"
isolated "$billet_program" lease reap >/dev/null
finish_billet
is "$status/$stdout" 0/turn "the place of a dead run is free after a reap"
idle=$(lease_of -e roomy -- true)
is "$(lease_of -e roomy --agent other -- true)" "$(isolated "$billet_program" lease list --environment roomy --json |
    "$json_get" /leases/0/id)" "a run of another agent"
is "$(state_of "$idle")" released "has the room of what only waited to be reused"

# ---- nothing stays ----------------------------------------------------------------------------------------------
for lease in $(isolated "$billet_program" lease list --json | sed -n 's/.*"id": "\(.*\)",/\1/p'); do
    isolated "$billet_program" lease destroy "$lease"
done
nothing_left "all that"
billet db check
is "$stdout" "no findings" "the store is whole"
done_testing
