#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Two machines with one PostgreSQL: environments, limits and resources that both can reach are shared,
# one cleans up after the other, and what only one can reach waits for it. A machine here is a host
# name, a machine id and a boot id of its own.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/pgsql.sh"
need_billet
need_fake
need_root
need unshare mount md5sum
built_program=$billet_program

# make_machine NAME: a billet that is on it, in a directory of its own.
make_machine() {
    mkdir "$scratch/$1"
    tap_home "$scratch/$1"
    echo "$1$1$1$1$1$1$1$1" | md5sum | cut -c 1-32 >"$scratch/$1/machine-id"
    boot "$1"
    cat >"$scratch/$1/billet" <<END
#!/bin/sh
exec unshare --uts --mount --propagation private sh -c '
    echo $1 >/proc/sys/kernel/hostname && mount --bind $scratch/$1/boot_id /proc/sys/kernel/random/boot_id || exit 99
    [ ! -f /etc/machine-id ] || mount --bind $scratch/$1/machine-id /etc/machine-id || exit 99
    exec $built_program "\$@"' sh "\$@"
END
    chmod 0755 "$scratch/$1/billet"
    configure "$1"
}
# boot NAME: it was started (again).
boot() {
    cat /proc/sys/kernel/random/uuid >"$scratch/$1/boot_id"
}
configure() {
    cat >"$scratch/$1/billet.conf" <<END
[driver fake]
enabled = yes
[environment far]
driver = fake
directory = $scratch/resources
record = $scratch/record
script = exec:delay:200ms
[environment slow]
driver = fake
directory = $scratch/resources
record = $scratch/record
script = exec:delay:60s
max_leases = 1
END
}
# at NAME: from now on billet is on that machine.
at() {
    tap_base=$scratch/$1
    billet_program=$scratch/$1/billet
}
mkdir "$scratch/resources" "$scratch/work"
cd "$scratch/work" || exit 1
make_machine a
make_machine b
at a
billet --version
[ "$status" = 0 ] || skip_all "cannot make a machine here: $stderr"
need_pgsql
store_is_elsewhere=yes
store_url() {
    pgsql_url postgres owner
}
state_of() {
    billet lease show "$1" --json
    json /state
}
# expire: as if a day had passed for the store.
expire() {
    pgsql postgres "UPDATE billet.lease SET expires_ns = 1 WHERE state NOT IN ('released', 'failed')"
}
decision() {
    printf '%s\n' "$stdout" | awk -v id="$1" '$1 == id { $1 = $2 = ""; print }' | sed 's/^ *//'
}
# die: the machine loses its power with the billet that runs there: nothing of it goes on.
die() {
    # It must not see the end of its children, and begin to end its lease.
    kill -STOP "$billet_pid"
    for pid in $(children_of "$billet_pid") "$billet_pid"; do
        kill -KILL "$pid"
    done
    wait "$start_job" 2>/dev/null
}
billet db migrate
is "$status" 0 "one machine makes the tables"

# ---- what is shared -----------------------------------------------------------------------------
billet env create ours -d fake --option "directory=$scratch/resources" --option reuse=yes
at b
billet env list --json
like "$stdout" '"name": "ours"' "the other has its environments"
at a
start_billet run -e slow -- true
mv "$scratch/stdout" "$scratch/run.stdout"
wait_until live_in slow
lease=$(json /leases/0/id)
owner=$billet_pid
owner_job=$start_job
at b
billet lease release "$lease"
is "$status" 125 "what another machine uses is not released here"
like "$stderr" '\[lease_busy\]' "for it is in use"
billet lease reap --all
is "$(decision "$lease")" "kept its owner is out of sight" "nor reaped"
start_billet run -e slow -- true
mv "$scratch/stdout" "$scratch/waiter.stdout"
wait_until grep -q 'waiting: 1 leases' "$scratch/stderr"
is "$?" 0 "the limit holds on both together"
mv "$scratch/stderr" "$scratch/waiter.stderr"
waiter=$billet_pid
waiter_job=$start_job
billet_pid=$owner start_job=$owner_job

# ---- a machine that dies: what the other can reach ----------------------------------------------------
die
billet janitor --once --all
is "$(decision "$lease")" "kept its owner is out of sight" "a machine that is not seen is not taken for dead"
pgsql postgres "UPDATE billet.lease SET expires_ns = 1 WHERE id = '$lease'"
billet janitor --once
is "$(decision "$lease")" "reaped its owner is out of sight and its time ran out" "until its time is over"
not_ok "its resource is gone" test -e "$scratch/resources/fake-$lease"
is "$(state_of "$lease")" failed "and the lease has ended"
billet_pid=$waiter
wait_until live_in slow
is "$?" 0 "and who waited has its place"
kill -TERM "$waiter"
wait "$waiter_job" 2>/dev/null

# ---- one that stands still for longer than its lease lives ----------------------------------------------
at a
start_billet run -e slow -- true
wait_until live_in slow
lease=$(json /leases/0/id)
used() {
    grep -q " exec $lease " "$scratch/record"
}
wait_until used
kill -STOP "$billet_pid"
pgsql postgres "UPDATE billet.lease SET expires_ns = 1 WHERE id = '$lease'"
at b
billet janitor --once
is "$(decision "$lease")" "reaped its owner is out of sight and its time ran out" "it is taken over"
kill -CONT "$billet_pid"
finish_billet
is "$status" 125 "the owner goes on, and ends"
like "$stderr" "resource_lost|lease_lost" "for what it had is gone"
billet lease show "$lease" --json
is "$(json /state /fence | tr '\n' ' ')" "failed 2 " "it changes nothing any more"

# ---- what only its machine can reach ------------------------------------------------------------------
at a
billet lease acquire -e local -w "$scratch/work"
held=$stdout
start_billet run -e local -- sleep 60
mv "$scratch/stdout" "$scratch/run.stdout"
wait_until live_in local
lease=$(json /leases/0/id)
command=$(left_processes | awk '$2 == "sleep" { print $1 }')
die
# shellcheck disable=SC2086
[ -z "$command" ] || kill -KILL $command 2>/dev/null
expire
at b
billet janitor --once --all
is "$(decision "$lease")" "kept its resource is on another machine" "the other leaves it"
is "$(decision "$held")" "kept its resource is on another machine" "and what is held there"
billet exec "$held" -- true
refused 125 "the resource of lease $held is on machine a" lease_elsewhere \
    "do it there; 'billet lease destroy --forget' gives up what is on a machine that never comes back" \
    "it does not run there"
billet lease release "$held"
like "$stderr" '\[lease_elsewhere\]' "nor release it"
billet lease destroy "$held"
like "$stderr" '\[lease_elsewhere\]' "nor destroy it"
is "$(state_of "$held")" retained "it is as it was"
boot a
at a
billet janitor --once --all
is "$(decision "$lease")" "reaped its owner is gone" "the machine is back: what ran before is over"
is "$(decision "$held")" "reaped its held time ended" "and what was held"
at b
is "$(state_of "$lease") $(state_of "$held")" "failed released" "the other sees it"
at a
billet lease acquire -e local
held=$stdout
at b
billet lease destroy --forget "$held"
is "$status/$(state_of "$held")" 0/failed "what never comes back is given up"

# ---- from run to run -----------------------------------------------------------------------------------
# lease_of OPTION...
lease_of() {
    billet run --status-fd 9 "$@" 9>"$scratch/status"
    status_line "$scratch/status" /lease/id
}
at a
near=$(lease_of -e local --reuse -w "$scratch/work" -- true)
far=$(lease_of -e far --reuse -w "$scratch/work" -- true)
at b
isnt "$(lease_of -e local --reuse -w "$scratch/work" -- true)" "$near" "a resource of one machine is not the other's"
is "$(state_of "$near")" retained "which leaves it alone"
is "$(lease_of -e far --reuse -w "$scratch/work" -- true)" "$far" "one that both reach goes over"
at a
is "$(lease_of -e local --reuse -w "$scratch/work" -- true)" "$near" "its own machine takes it up"

# ---- ten janitors ---------------------------------------------------------------------------------------
for count in 1 2 3 4 5 6 7 8; do
    billet lease acquire -e far
done
expire
: >"$scratch/record"
jobs=
for count in 1 2 3 4 5; do
    for name in a b; do
        at "$name"
        isolated "$billet_program" janitor --once >"$scratch/janitor.$name$count" 2>&1 &
        jobs="$jobs $!"
    done
done
# shellcheck disable=SC2086
wait $jobs
at a
billet lease reap
at b
billet lease reap
is "$(grep -c ' removed ' "$scratch/record")" 9 "ten janitors at once remove all"
is "$(awk '$2 == "removing" { print $3 }' "$scratch/record" | sort | uniq -d)" "" "and nothing twice"
is "$(ls "$scratch/resources")" "" "nothing is left"
is "$(pgsql postgres "SELECT count(*) FROM billet.lease WHERE state NOT IN ('released', 'failed')")" 0 "no lease lives"
billet db check
is "$status/$stdout" "0/no findings" "the store is whole"
wait_until no_process_left
is "$(left_processes)" "" "no process is left"
done_testing
