#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# --help, help and --version of every verb: on the output, with examples that are well formed.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
about_words
need_billet

billet --help
is "$status/$stderr" 0/ "--help succeeds"
overview=$stdout
verbs=$(printf '%s\n' "$overview" | sed -n 's/^  \([a-z]*\( [a-z]*\)\{0,1\}\)   *[A-Z].*/\1/p' | sed 's/ *$//')
for verb in run exec shell 'driver list' 'driver show' 'driver schema' 'driver probe' 'env create' 'env list' \
    'env show' 'env edit' 'env probe' 'env trust' 'env archive' 'env drain' 'env undrain' 'env delete' 'lease acquire' 'lease list' 'lease show' \
    'lease release' 'lease destroy' 'lease reap' janitor status 'audit list' 'config check' 'config show' doctor 'db status' 'db check' \
    'secret set' 'secret list' 'secret show' 'secret rotate' 'secret usage' 'secret bind' 'secret unbind' 'secret enable' \
    'secret disable' 'secret verify' 'secret rm' 'audit verify' 'key init' 'key list' 'key rotate' 'key export' 'key import'; do
    like "$verbs" "^$verb\$" "the overview has $verb"
done
saved_ifs=$IFS
IFS='
'
for verb in $verbs; do
    IFS=$saved_ifs
    # shellcheck disable=SC2086
    billet $verb --help
    is "$status/$stderr" 0/ "$verb --help succeeds"
    like "$stdout" "^usage: billet $verb" "$verb --help shows how to use it"
    like "$stdout" '^Examples:$' "$verb --help has examples"
    like "$stdout" '^See billet-[a-z]*\(1\)\.$' "$verb --help names its page"
    is "$(awk 'length > 80' "$scratch/stdout")" "" "$verb --help fits in 80 columns"
    # Each option that an example uses is one of those shown.
    is "$(awk '/^Examples:$/ { inside = 1 } /^$/ { inside = 0 }
        !inside { shown = shown " " $0; next }
        { while (match($0, /--[a-z][a-z-]+/)) { used[substr($0, RSTART, RLENGTH)]; $0 = substr($0, RSTART + RLENGTH) } }
        END { for (option in used) if (!index(shown, option)) print option }' "$scratch/stdout")" "" "$verb: its examples use options that it has"
    help=$stdout
    # shellcheck disable=SC2086
    billet help $verb
    is "$stdout" "$help" "help $verb is the same"
    # shellcheck disable=SC2086
    billet $verb --no-such-option
    like "$status" '^(2|125)$' "$verb refuses an unknown option"
    like "$stderr" "^billet: unknown option '--no-such-option' \[usage\]\$" "$verb: in one line"
    # shellcheck disable=SC2086
    billet $verb --tenant
    like "$stderr" "^billet: option '--tenant' needs a value: NAME \[usage\]\$" "$verb: an option wants its value"
    IFS='
'
done
IFS=$saved_ifs
for group in driver env lease config db; do
    billet "$group"
    is "$status/$stdout" 2/ "$group alone is bad usage"
    like "$stderr" "^usage: billet $group VERB" "$group alone shows its verbs"
    billet "$group" --help
    is "$status" 0 "$group --help succeeds"
    billet help "$group"
    is "$status" 0 "help $group succeeds"
    billet "$group" lst
    is "$status" 2 "$group with an unknown verb is bad usage"
done
billet lease lst
like "$stderr" "did you mean 'lease list'" "the nearest verb is named"
billet --version
like "$status/$stdout" '^0/billet [0-9]+\.[0-9]+.* \(driver ABI 1\.[0-9]+\)$' "--version tells version and interface"
billet help nosuch
is "$status" 2 "help of nothing is bad usage"
ok "nothing of this made a store" test ! -e "$scratch/state/billet.db"
done_testing
