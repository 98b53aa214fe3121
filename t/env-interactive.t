#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# What asks at a terminal, and never without one: env create --interactive, env delete.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" "$scratch/resources" && cd "$scratch/work" || exit 1
fake_configuration </dev/null

on_terminal env create asked --interactive <<END
expect driver: 
send fake
expect fake: 
expect Where the pretended resources are kept
expect directory: 
send $scratch/resources
expect script: 
send
expect exit_code [0]: 
send 256
expect exit_code
expect 255
expect exit_code [0]: 
send five
expect exit_code [0]: 
send 5
expect one of: line, hex, stdin, nothing
expect print [line]: 
send loud
expect print [line]: 
send nothing
expect stdout: 
send
expect record: 
send
expect a reference: @secret:NAME
expect token: 
send plain text
expect token: 
send
END
is "$status" 0 "each option of the driver is asked for, until the answer fits"
like "$stdout" '^asked$' "and the environment is made"
billet env show asked --json
is "$(json /driver /settings/directory /settings/exit_code /settings/print)" "fake
$scratch/resources
5
nothing" "with the answers"
is "$(json /settings/script)" "" "and without what was left empty"
billet run -e asked -- true
is "$status" 5 "it works"

on_terminal env create half --driver fake --interactive --option "directory=$scratch/resources" <<'END'
expect script: 
type ^D
END
is "$status" 125 "the end of input gives up"
like "$stdout" 'billet: nothing was saved \[not_confirmed\]$' "and says so"
billet env show half
is "$status" 125 "nothing was saved"
on_terminal env create half --driver fake --interactive <<'END'
expect directory: 
type ^C
END
is "$status" 130 "so does Ctrl-C"
billet env show half
is "$status" 125 "and nothing was saved then"
on_terminal env create half --driver nosuch --interactive <<'END'
END
is "$status" 125 "a driver that there is not ends it at once"
on_terminal env create half --driver fake --interactive --option "directory=$scratch/resources" <<'END'
expect script: 
send acquire:delay:1s
expect exit_code [0]: 
hangup
END
isnt "$status" 99 "a lost terminal ends it"
isnt "$status" 0 "without success"
billet env show half
is "$status" 125 "and without saving"

start=$(now)
billet env create half --driver fake --interactive </dev/null
refused 2 "--interactive needs a terminal" usage "use --option KEY=VALUE or --file FILE" \
    "without a terminal nothing is asked"
within 2 "$start" "and nothing is waited for"

on_terminal env delete asked <<'END'
expect Delete it? [y/N] 
send n
END
is "$status" 125 "an answer of no deletes nothing"
billet env show asked
is "$status" 0 "it is still there"
on_terminal env delete asked <<'END'
expect Delete it? [y/N] 
send
END
is "$status" 125 "no answer is no"
on_terminal env delete asked <<'END'
expect Delete it? [y/N] 
send y
END
is "$status" 0 "an answer of yes deletes it"
billet env show asked
is "$status" 125 "then it is gone"
nothing_left "at the end"
done_testing
