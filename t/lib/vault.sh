# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
# (SC2034: the test reads what is set here; SC2154: the test and tap.sh set it)
# vault.sh - vaults in tests: references that are resolved, how that fails, the stand-ins of t/vault
# and the services' own clients; after verbs.sh.

# says STATUS CODE NAME: how the last command failed, with nothing of a value or a provider's text:
# $canary, LEAKED, and the words of $kept.
says() {
    for said in "$canary" LEAKED ${kept-}; do
        case $stderr in
        *"$said"*)
            is "$stderr" "no value" "$3"
            return
            ;;
        esac
    done
    case $status:$stderr in
    "$1:billet: "*"[$2]"*) pass "$3" ;;
    *) is "$status: $stderr" "$1: ... [$2]" "$3" ;;
    esac
}

# resolves REFERENCE: in an environment of its own; the value goes to the file out.
resolves() {
    cp vaults.conf "$scratch/billet.conf"
    printf '\n[environment one]\ndriver = local\nenv.X = "%s"\n' "$1" >>"$scratch/billet.conf"
    rm -f out
    billet run -e one --env OUT="$scratch/work/out" -- sh -c 'printf %s "$X" >"$OUT"'
}

# need_client PROGRAM MODULE: skip the whole test without that stand-in or the service's own client.
# Sets $python.
need_client() {
    [ -x "$top_builddir/t/vault/$1" ] || skip_all "needs the stand-in, which is not built"
    python=
    for try in /usr/bin/python3 python3; do
        if "$try" -c "import $2" >/dev/null 2>&1; then
            python=$try
            break
        fi
    done
    [ -n "$python" ] || skip_all "needs $2 for python3"
}

# start_fake PROGRAM ENTRY...: with its files port and log here. Sets $fake and $address.
start_fake() {
    fake_program=$top_builddir/t/vault/$1
    shift
    "$fake_program" port log "$@" >/dev/null 2>&1 &
    fake=$!
    wait_until test -s port || {
        fail "the stand-in listens"
        done_testing
        exit
    }
    address=http://127.0.0.1:$(cat port)
}

# client_points ARGUMENT...: client.py says "ok TEXT" or "not ok TEXT", a line each.
client_points() {
    "$python" -W ignore client.py "$@" >said 2>client.errors
    is "$?" 0 "the client runs to its end"
    while read -r verdict name; do
        case $verdict in
        ok) pass "$name" ;;
        not) fail "$name" ;;
        esac
    done <said
    [ -s client.errors ] && diag "$(tail -n 3 client.errors)"
    kill "$fake" 2>/dev/null
    wait "$fake" 2>/dev/null
}
