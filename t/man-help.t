#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# --help, the table of verbs and the pages say the same. What --help is like by itself: t/help.t.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
about_words
need_billet

billet --help
is "$status" 0 "billet --help succeeds"
is "$stderr" "" "and has nothing to say on standard error"
printf '%s\n' "$stdout" | sed -n 's/^  \([a-z]\{2,\}\( [a-z]\{1,\}\)\{0,1\}\)  .*/\1/p' >"$scratch/verbs"
isnt "$(wc -l <"$scratch/verbs" | tr -d ' ')" 0 "there are verbs"

# wide FILE: lines of more than 80 columns.
wide() {
    awk 'length > 80' "$1"
}
# long_options FILE: the long options that a page documents: in .It lines that begin with Fl.
long_options() {
    sed -n '/^\.It Fl/p' "$1" | grep -o 'Fl -[a-z-]*' | sed 's/Fl -/--/' | sort -u
}
# in_help NAME: the long options of a section of the help in $scratch/stdout.
in_help() {
    awk -v section="$1" '/^[A-Z]/ { inside = index($0, section) == 1 } inside' "$scratch/stdout" |
        grep -o -e '--[a-z][a-z-]*' | sort -u
}

is "$(wide "$scratch/stdout")" "" "billet --help has no more than 80 columns"
like "$stdout" '^See billet\(1\)\.$' "billet --help ends with its page"
while read -r verb; do
    # shellcheck disable=SC2086 # two words are meant
    billet $verb --help </dev/null
    unlike "$(awk '/^Examples:$/ { inside = 1; next } inside && /^  /' "$scratch/stdout")" \
        '^  billet +-' "$verb --help: each example names its verb"
    page=$(tail -1 "$scratch/stdout" | sed -n 's/^See \(.*\)(\([1-8]\))\.$/\1.\2/p')
    if [ ! -f "$top_srcdir/man/$page" ]; then
        fail "$verb: its page $page exists"
        continue
    fi
    pass "$verb: its page $page exists"
    # shellcheck disable=SC2016
    ok "$verb: is in the synopsis of $page" sh -c \
        'sed -n "/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p" "$1" | grep -Eq "^\.Nm billet $2\$"' \
        sh "$top_srcdir/man/$page" "$verb"
    [ -f "$scratch/$page" ] || long_options "$top_srcdir/man/$page" >"$scratch/$page"
    in_help Options >"$scratch/options"
    is "$(grep -Fxv -f "$scratch/$page" "$scratch/options")" "" "$verb: $page tells of each of its options"
    cat "$scratch/options" >>"$scratch/$page.had"
done <"$scratch/verbs"

# And back: what a page tells of, some verb of that page has.
for had in "$scratch"/*.had; do
    page=$(basename "$had" .had)
    is "$(grep -Fxv -f "$had" "$scratch/$page")" "" "$page tells of no option that no verb has"
done

# Common options and billet(1).
billet run --help
is "$(long_options "$top_srcdir/man/billet.1" | grep -Fxv -e --version)" "$(in_help Common)" \
    "billet(1) tells of the options that every verb has, and of no other"
billet --version
is "$status" 0 "billet --version succeeds"
# shellcheck disable=SC2013
for verb in $(sed 's/ .*//' "$scratch/verbs" | sort -u); do
    ok "billet(1) names $verb" grep -Eq "^\\.It Cm (.* )?$verb( |\$)" "$top_srcdir/man/billet.1"
    case $verb in
    run | exec | shell | doctor | push | pull | janitor | status) continue ;;
    esac
    billet "$verb" --help
    is "$status" 0 "$verb --help succeeds"
    list=$(sed -n "s/^$verb //p" "$scratch/verbs" | sort | tr '\n' ' ')
    is "$(sed -n "/^\\.It Cm $verb\$/,/^\\.Xr/p" "$top_srcdir/man/billet.1" | tr -d '\n' |
        sed 's/.*: \(.*\); see.*/\1/' | tr -d , | tr ' ' '\n' | sort | tr '\n' ' ')" "$list" \
        "billet(1) names each verb of $verb"
done

# In the other order it is the same.
billet help run
is "$stdout" "$(isolated "$billet_program" run --help)" "billet help VERB is VERB --help"
billet help nosuch
isnt "$status" 0 "billet help of no verb fails"

# What messages and pages tell people to run exists. Secrets have no verbs yet.
{
    cat "$scratch/verbs"
    sed 's/ .*//' "$scratch/verbs" | sort -u
    printf 'secret set\nsecret list\n'
} >"$scratch/exist"
(cd "$top_srcdir" && cat core/*/*.[ch] core/*/*.def drivers/*/*.[ch] man/*.[1-8] man/*.in) |
    sed -n '/^ \*/!p' | tr '\n' ' ' | sed 's/" *"//g' |
    grep -oE "['\"; ]billet (driver|env|lease|config|db|secret|vault|key) [a-z]+" |
    sed 's/^.billet //' | sort -u >"$scratch/mentioned"
ok "commands are mentioned" grep -Fxq "lease reap" "$scratch/mentioned"
is "$(grep -Fxv -f "$scratch/exist" "$scratch/mentioned")" "" "each command that is mentioned exists"

# The words that a choice has in the help are those that the verb takes.
for mode in in_place bind overlay copy; do
    ok "billet-run(1) tells of the mode $mode" grep -Eq "^\\.It Cm .*$mode" "$top_srcdir/man/billet-run.1"
done
done_testing
