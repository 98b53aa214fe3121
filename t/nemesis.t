#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# Several billets at work on one store, for two tenants and on several machines, while processes are
# killed and stopped, the server of the store is, the clock jumps, the disk is full and drivers fail:
# what was asked, answered, recorded and really done keeps the rules of t/nemesis/rules.def. And the
# checker of that is shown to find what breaks them.
#
# NEMESIS_SECONDS, NEMESIS_SEED and NEMESIS_CLIENTS make it longer, or another; NEMESIS_KEEP is a
# directory for the histories. Stores that have a bug: one, or all of them with NEMESIS_MUTANTS=all.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
takes_long sanitizers
need_billet
need_fake
run=$top_builddir/t/nemesis-run
check=$top_builddir/t/nemesis-check
[ -x "$run" ] && [ -x "$check" ] || skip_all "needs the built programs $run and $check"

# ---- the checker ----------------------------------------------------------------------------------
good=$top_srcdir/t/nemesis/good
# verdict FILE: the rules that it breaks, on one line.
verdict() {
    "$check" "$1" >"$scratch/verdict" 2>&1
    verdict_status=$?
    verdict=$(cut -d ' ' -f 1 "$scratch/verdict" | sort -u | tr '\n' ' ')
    verdict=${verdict% }
}
verdict "$good"
is "$verdict_status/$verdict" 0/ "a good history keeps every rule"
: >"$scratch/nothing"
verdict "$scratch/nothing"
is "$verdict_status" 2 "one that says nothing is none"

# planted RULE SED DESCRIPTION: a copy of the good one, changed so.
planted=
planted() {
    sed -E "$2" "$good" >"$scratch/planted"
    if cmp -s "$good" "$scratch/planted"; then
        fail "$1: nothing was planted"
        return
    fi
    verdict "$scratch/planted"
    is "$verdict_status/$verdict" "1/$1" "$1: $3"
    planted="$planted$1
"
}
planted two-owners '/^resource 3150000000/d; s/^(resource 3300000000 using two 2.*)/resource 3210000000 exec two 2 2 blue run-9 own\n\1/' \
    "two runs use one resource"
planted stale-fence 's/^resource 3250000000 using two 1 1 blue run-2 shared/resource 3250000000 resumed two 1 1 blue run-2 fake-two/' \
    "the owner before takes it up again"
planted stale-fence 's/^resource 8050000000 removing two 3/resource 8050000000 removing two 1/' \
    "the owner before removes what is another's"
planted used-after-end '/^resource 8260000000/{p; s/8260000000 removed/8270000000 entered/}' \
    "a command comes to a resource that is gone"
planted removed-live 's/^(activity 5) 1600000000/\1 1750000000/' "a resource goes before its lease does"
planted lost '/^(lease|activity [0-9]+ [0-9]+ [a-z.]+ red) one|^activity .* red one |^resource .* one /d' \
    "what was acknowledged is not there"
planted not-final '/^activity 6 /{p; s/6 1800000000 lease.released red one 1/6 1850000000 lease.reaped red one 2/; p; s/reaped/released/}; s/^lease one (.*) 1/lease one \1 2/' \
    "a lease that ended is taken up"
planted not-final '/^activity 6 /{p; s/lease.released/lease.failed/}; s/^lease one (.*) released/lease one \1 failed/' \
    "a lease ends twice, as one and as the other"
planted missing '/^activity 2 /d' "the acquiring was not recorded"
planted missing 's/^lease one (.*) released 1/lease one \1 failed 1/' "the row says otherwise than the record"
planted doubled '/^activity 6 /{p; }' "an end is recorded twice"
planted fence-back 's/^(activity 10 .*) 2$/\1 1/' "who takes a lease up has the fence of the owner before"
planted leaked '$a left three' "a resource is left of a lease that ended"
planted leaked '$a left nine' "a resource is left of a lease that never was"
planted never-ended '/^activity (5|6) /d; /^resource 17/d; s/^lease one (.*) released/lease one \1 active/' \
    "a lease lives on"
planted over-limit 's/^(activity 21) 4800000000/\1 4300000000/' "a second is acquired beside the first"
planted other-tenant 's/^seen 2950000000 5 1 blue/seen 2950000000 4 9 red/' "one tenant sees the lease of the other"
planted other-tenant 's/^(resource 1300000000 exec one 1 1) red/\1 blue/' "one tenant uses the resource of the other"
planted taken-live 's/^unknown 4400000000 2 1 red run narrow three/fail 4700000000 2 1 red run narrow three/' \
    "a janitor takes a lease whose owner is alive"
planted taken-live '/^jump /d' "the same, and no clock had jumped"
planted no-effect '/^resource 4900000000/d' "a run succeeds without a command"
planted stuck 's/^unknown 4400000000 2 1 red run narrow three/stuck 4400000000 2 1 red run - -/' \
    "a billet neither ends nor answers"
is "$(printf '%s' "$planted" | sort -u)" "$(sed -n 's/^RULE("\([a-z-]*\)".*/\1/p' "$top_srcdir/t/nemesis/rules.def" | sort)" \
    "each rule was broken"

# ---- the run ------------------------------------------------------------------------------------------
# nemesis NAME SECONDS OPTION...
nemesis() {
    nemesis_name=$1
    nemesis_seconds=${NEMESIS_SECONDS:-$2}
    shift 2
    directory=$scratch/$nemesis_name
    mkdir -m 0700 "$directory"
    status=0
    "$run" --billet "$billet_program" --directory "$directory" --seconds "$nemesis_seconds" \
        --seed "${NEMESIS_SEED:-1}" --clients "${NEMESIS_CLIENTS:-6}" "$@" >"$scratch/said" 2>&1 || status=$?
    cat "$scratch/said"
    case $(cat "$scratch/said") in
    *'# nemesis: no server: '*)
        skip 4 "$(sed -n 's/^# nemesis: no server: //p' "$scratch/said")"
        return
        ;;
    esac
    is "$status" 0 "$nemesis_name: the run went as meant"
    ok "$nemesis_name: operations succeeded" test "$(grep -c '^ok ' "$directory/history")" -ge 10
    verdict "$directory/history"
    is "$verdict_status/$verdict" 0/ "$nemesis_name: every rule was kept"
    if [ "$verdict_status" -ne 0 ]; then
        head -n 20 "$scratch/verdict" | sed 's/^/# /'
        tail -qn 5 "$directory"/errors-* | sed 's/^/# /'
    fi
    # What is left out of a real history is found, too.
    sed '0,/^activity .* lease\.released /{/^activity .* lease\.released /d}' "$directory/history" >"$scratch/planted"
    verdict "$scratch/planted"
    is "$verdict_status/$verdict" 1/missing "$nemesis_name: a record that is left out is missed"
    [ -z "${NEMESIS_KEEP:-}" ] || cp -R "$directory" "$NEMESIS_KEEP/"
}
nemesis sqlite 5
if [ -f "$BILLET_STORE_DIR/store_pgsql.so" ] && command -v psql >/dev/null 2>&1; then
    nemesis pgsql 6 --pgsql
else
    skip 4 "needs the PostgreSQL store and psql"
fi

# ---- billets with a bug -------------------------------------------------------------------------------
# mutant NAME RULE ENOUGH DESCRIPTION: a run with such a store breaks that rule, and the checker sees
# it. After ENOUGH operations it has had its chances.
mutant() {
    directory=$scratch/mutant-$1
    mkdir -m 0700 "$directory"
    NEMESIS_MUTANT=$1 NEMESIS_STORE=$sound BILLET_STORE_DIR=$scratch/mutants \
        "$run" --billet "$billet_program" --directory "$directory" --seconds 2 --cleaning 3 --enough "$3" \
        --seed "${NEMESIS_SEED:-1}" --clients 6 >"$scratch/said" 2>&1
    status=$?
    is "$status" 0 "mutant $1: the run went as meant"
    verdict "$directory/history"
    echo "# $1: $verdict"
    ok "mutant $1: $4" grep -q "^$2 " "$scratch/verdict"
    [ "$status" -eq 0 ] || sed 's/^/# /' "$scratch/said"
    [ -z "${NEMESIS_KEEP:-}" ] || cp -R "$directory" "$NEMESIS_KEEP/"
}
if [ -f "$top_builddir/t/nemesis/.libs/mutant.so" ]; then
    sound=$BILLET_STORE_DIR/store_sqlite.so
    mkdir -m 0700 "$scratch/mutants"
    cp "$top_builddir/t/nemesis/.libs/mutant.so" "$scratch/mutants/store_sqlite.so"
    mutant unrecorded missing 15 "a step that is committed without its record is missed"
    if [ "${NEMESIS_MUTANTS:-}" = all ]; then
        mutant recorded-twice doubled 200 "a step that is recorded twice is found"
        mutant fence-kept fence-back 200 "who takes a lease up with the fence of the owner before is found"
        mutant elsewhere lost 200 "a commit that was acknowledged and is not there is missed"
        mutant all-tenants other-tenant 200 "a tenant that sees another's leases is found"
        mutant impatient taken-live 200 "a janitor that takes what is alive for expired is found"
    fi
else
    skip 2 "needs the SQLite store"
fi
is "$(left_processes)" "" "no process is left"
done_testing
