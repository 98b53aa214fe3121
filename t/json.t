#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What --json and --status-fd print is what billet-json(7) says.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
need_billet
page=$top_srcdir/man/billet-json.7

# members FILE: the names of all members, but those that are names of things: settings, facts,
# details, features, configuration.
members() {
    awk '{
        line = $0
        if (skip != "") {
            if (index(line, skip) == 1)
                skip = ""
            next
        }
        if (match(line, /^ *"(settings|facts|details|features|configuration)": \{$/)) {
            indent = line
            sub(/".*/, "", indent)
            skip = indent "}"
        }
        while (match(line, /"[a-z_]+": ?[^ ]/) || match(line, /"[a-z_]+":/)) {
            name = substr(line, RSTART + 1)
            sub(/".*/, "", name)
            print name
            line = substr(line, RSTART + RLENGTH)
        }
    }' "$1" | sort -u
}
# untold FILE: those that the page does not tell of.
untold() {
    members "$1" | while read -r name; do
        grep -Eq "(^|[ (\"])$name([ ,\";)]|\$)" "$page" || echo "$name"
    done
}

printf '{\n  "settings": {\n    "odd": 1\n  },\n  "nosuch": 2, "status": 3\n}\n' >"$scratch/sample"
is "$(untold "$scratch/sample")" nosuch "a member that the page does not tell of is seen"

printf '[environment flat]\ndriver = local\nnosuch = 1\n' >"$scratch/bad.conf"
# told STATUS ARGUMENT...: the command's object is one, with a version, and the page tells of it all.
told() {
    wanted=$1
    shift
    billet "$@" --json </dev/null
    is "$status" "$wanted" "$* --json: status"
    is "$(untold "$scratch/stdout")" "" "$* --json: the page tells of each member"
    is "$(grep -c '^  "format_version": "1\.0"' "$scratch/stdout")" 1 "$* --json: has its version once"
    is "$(grep -c '^{$' "$scratch/stdout") $(grep -c '^}$' "$scratch/stdout")" "1 1" \
        "$* --json: is one object"
}
told 0 driver list
told 0 driver list --features
told 0 driver show local
told 0 driver probe local
told 0 env create tests --driver local --option timeout=1h
like "$stdout" '"revision": 1' "a new environment has revision 1"
told 0 env list --all
told 0 env show tests
told 0 env probe tests
told 0 doctor local
told 0 config check
told 1 config check "$scratch/bad.conf"
told 0 config show
told 0 db status
told 0 db check
told 0 key init
told 0 key list
echo a value for the page | isolated "$billet_program" secret set one >/dev/null
told 0 secret list
told 0 secret show one
told 0 secret verify
told 0 secret usage one
told 0 audit verify
told 0 key rotate
told 0 lease acquire -e tests
lease=$(sed -n 's/.*"lease": "\(.*\)".*/\1/p' "$scratch/stdout")
told 0 lease list
told 0 lease show "$lease"
told 0 lease reap --all
told 0 janitor --once
told 0 status
told 0 audit list
told 125 lease show nosuch-lease
told 125 lease reap --store sqlite:/nonexistent/file/for/billet.db/x?nosuch=1
billet lease release "$lease"

# run and exec: options stand before the command.
billet run --json --status-fd 3 -- sh -c 'exit 3' 3>"$scratch/lines"
is "$status" 3 "run --json: the command's status"
is "$(untold "$scratch/stdout")$(untold "$scratch/lines")" "" "run --json: the page tells of each member"
is "$(sed 's/^{"\([a-z]*\)".*/\1/' "$scratch/lines" | tr '\n' ' ')" "lease started exit " \
    "--status-fd: one line each for lease, start and end"
like "$(cat "$scratch/lines")" '^\{"lease":\{"format_version":"1\.0"' "--status-fd: the first line has the version"
like "$(cat "$scratch/lines")" '"exit":.*"origin":"command".*"code":3' "--status-fd: whose doing it was"
billet run --json --status-fd 3 -- ./nosuch 3>"$scratch/lines"
is "$(untold "$scratch/stdout")$(untold "$scratch/lines")" "" "run --json: not found"
like "$(cat "$scratch/lines")" '"errno":2' "with the reason"
billet run --json --status-fd 3 --timeout 100ms -- sleep 5 3>"$scratch/lines"
is "$(untold "$scratch/stdout")$(untold "$scratch/lines")" "" "run --json: timed out"
billet run --json --status-fd 3 -e nosuch -- true 3>"$scratch/lines"
is "$(untold "$scratch/stdout")$(untold "$scratch/lines")" "" "run --json: failed"
is "$(sed 's/^{"\([a-z]*\)".*/\1/' "$scratch/lines" | tr '\n' ' ')" "error exit " \
    "--status-fd: an error, and that the command never ran"

# What happened has a name in the table.
billet env edit tests --option timeout=2h
billet env archive tests
billet env delete tests --yes
isolated "$billet_program" env create again --driver local --option provision=true >/dev/null
billet run -e again -w "$scratch/home" -- true
billet lease list --all --json
for id in $(printf '%s\n' "$stdout" | sed -n 's/^ *"id": "\(.*\)".*/\1/p'); do
    isolated "$billet_program" lease show "$id" --json
done | sed -n 's/^ *"action": "\(.*\)".*/\1/p' | sort -u >"$scratch/actions"
like "$(tr '\n' ' ' <"$scratch/actions")" 'exec\.started.*lease\.released.*provision\.ended' "there are actions"
sed -n 's/^ACTION("\([^"]*\)".*/\1/p' "$top_srcdir/core/lease/action.def" | sort >"$scratch/known"
is "$(comm -23 "$scratch/actions" "$scratch/known")" "" "each action of a lease is in the table"
cat "$top_srcdir"/core/cli/*.c "$top_srcdir"/core/run/*.c "$top_srcdir"/core/secret/*.c "$top_srcdir"/core/lease/*.c |
    sed '/^#include/d' |
    grep -oE '"(lease|run|workspace|provision|exec|environment|probe|secret|key)\.[a-z_]+"' | tr -d '"' | sort -u \
    >"$scratch/used"
isnt "$(wc -l <"$scratch/used" | tr -d ' ')" 0 "the code names actions"
is "$(comm -23 "$scratch/used" "$scratch/known")" "" "each action that the code names is in the table"

# The level of messages that the configuration asks for.
billet run --keep -- true
like "$stderr" 'is held' "a warning is shown"
billet run --keep --set billet.log_level=error -- true
is "$stderr" "" "log_level = error hides it"
billet run --keep --set billet.log_level=error --verbose -- true
like "$stderr" 'is held' "--verbose goes before log_level"
for id in $(isolated "$billet_program" lease list --json | sed -n 's/^ *"id": "\(.*\)".*/\1/p'); do
    billet lease release "$id"
done
nothing_left "all of it"
done_testing
