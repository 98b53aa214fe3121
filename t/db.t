#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# billet db status and check.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

billet db status --json
is "$status" 0 "status makes the store when there is none"
is "$(json /leases_total /leases_live /environments /activities /schema)" "0
0
0
0
$(json /schema_wanted)" "which is empty and of today's schema"
is "$(stat -c %a "$scratch/state/billet.db")" 600 "and the user's alone"
deployment=$(json /deployment)
like "$deployment" '^[0-9a-f]{8}-' "it has an id of its own"
billet run -- true
billet run --keep -- true
billet env create x -d local
billet db status --json
is "$(json /leases_total /leases_live /environments /deployment)" "2
1
1
$deployment" "status counts"
billet db status
like "$stdout" '^Engine: +sqlite [0-9.]+$' "as text: the engine"
like "$stdout" "^Location: +$scratch/state/billet.db\$" "the place"
like "$stdout" '^Leases: +1 live, 2 in all$' "the leases"
billet db check
is "$status/$stdout" "0/no findings" "check finds nothing"
billet db check --json
is "$(json /ok '/findings/#')" "true
0" "as JSON, too"
billet db status extra
is "$status" 2 "status takes no argument"
billet db check extra
is "$status" 2 "nor does check"
billet db
is "$status" 2 "db alone is bad usage"
like "$stderr" '^  db status ' "and shows its verbs"

billet lease list --json
lease=$(json /leases/0/id)
billet lease release "$lease"

# Damage. Enough runs that the log has been written back to the file, which is then whole by itself.
n=0
while [ "$n" -lt 100 ] && [ "$(stat -c %s "$scratch/state/billet.db")" -lt 65536 ]; do
    billet run -- true
    n=$((n + 1))
done
cp "$scratch/state/billet.db" "$scratch/damaged.db"
billet db check --store "sqlite:$scratch/damaged.db"
is "$status/$stdout" "0/no findings" "a copy is as good as the original"
cp "$scratch/state/billet.db" "$scratch/short.db"
rm -f "$scratch"/damaged.db-*
dd if=/dev/urandom of="$scratch/damaged.db" bs=4096 seek=2 count=8 conv=notrunc 2>/dev/null
billet db check --store "sqlite:$scratch/damaged.db"
isnt "$status" 0 "a damaged one is found out"
unlike "$stdout" 'no findings' "and not called whole"
like "$stdout$stderr" '(malformed|corrupt|damaged|Tree|page)' "with what is wrong"
head -c 30000 "$scratch/state/billet.db" >"$scratch/short.db"
billet db check --store "sqlite:$scratch/short.db"
isnt "$status" 0 "so is one that was cut off"
billet run --store "sqlite:$scratch/short.db" -- true
is "$status" 125 "with which nothing runs"
like "$stderr" '^billet: .* \[[a-z_]+\]$' "and one line says so"
nothing_left "at the end"
done_testing
