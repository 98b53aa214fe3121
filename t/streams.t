#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Streams of every kind at the edges of a run: closed, full, broken, slow, large.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

# run_plain REDIRECTIONS-AS-SHELL-TEXT ARGUMENT...: billet with descriptors of the test's own making.
run_plain() {
    redirections=$1
    shift
    status=0
    isolated sh -c "exec \"\$@\" $redirections" sh "$billet_program" "$@" \
        >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    stdout=$(tr -d '\000' <"$scratch/stdout")
    stderr=$(tr -d '\000' <"$scratch/stderr")
}

# ---- streaming ----------------------------------------------------------------------------------
mkfifo feed
start_billet run -- sh -c 'echo first; read -r line <feed; echo "$line"'
wait_until grep -q first "$scratch/stdout"
ok "output arrives while the command still runs" kill -0 "$billet_pid"
echo second >feed
finish_billet
is "$status/$stdout" "0/first
second" "and goes on"
rm feed
head -c 20000000 /dev/zero >"$scratch/large"
billet run -- sh -c 'cat; cat >&2 </dev/null' <"$scratch/large"
ok "20 MB pass through unchanged" cmp "$scratch/large" "$scratch/stdout"
billet run -- sh -c 'head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2'
is "$(wc -c <"$scratch/stdout" | tr -d ' ')/$(wc -c <"$scratch/stderr" | tr -d ' ')" 3000000/2000000 \
    "output and errors stay apart"
rm "$scratch/large"
billet run -- sh -c 'echo whole; exec >&- 2>&-; sleep 0.5'
is "$status/$stdout" 0/whole "a command that closes its output runs on to its end"
start=$(now)
billet run -- sh -c 'sleep 30 & echo parent'
is "$status/$stdout" 0/parent "what a command leaves running does not hold billet up"
within 3 "$start" "and is ended with it"
nothing_left "after a background process"

# ---- input --------------------------------------------------------------------------------------
run_plain '<&-' run -- cat
is "$status/$stdout" 0/ "a closed input is an empty one"
start=$(now)
mkfifo never
sleep 20 >never &
writer=$!
billet run -- true <never
is "$status" 0 "an input that never ends does not hold billet up"
within 5 "$start" "it ends with its command"
kill "$writer" 2>/dev/null
wait "$writer" 2>/dev/null
rm never
head -c 10000000 /dev/zero >"$scratch/large"
billet run -- head -c 5 <"$scratch/large"
is "$status/$(wc -c <"$scratch/stdout" | tr -d ' ')" 0/5 "a command need not read its input"
rm "$scratch/large"
billet run -- cat </dev/null
is "$status/$stdout" 0/ "an empty input is empty"

# ---- output -------------------------------------------------------------------------------------
start=$(now)
isolated "$billet_program" run -- yes 2>"$scratch/stderr" | head -n 1 >"$scratch/head"
is "$(cat "$scratch/head")" y "a reader that stops reading gets what it read"
within 5 "$start" "and the run ends by the broken pipe"
start=$(now)
(
    isolated "$billet_program" run -- yes 2>"$scratch/stderr"
    echo "$?" >"$scratch/yes.status"
) | head -n 1 >/dev/null
wait_until test -s "$scratch/yes.status"
is "$(cat "$scratch/yes.status")" 141 "a command that SIGPIPE ended gives 141"
nothing_left "after a broken pipe"
run_plain '>/dev/full' run -- sh -c 'echo lost || exit 9'
is "$status" 9 "a full output is the command's to see"
run_plain '>&-' run -- sh -c 'echo lost; exit 4'
is "$status" 4 "a closed output is none"
run_plain '>&- 2>&- <&-' run -- sh -c 'exit 5'
is "$status" 5 "all three may be closed"
run_plain '>&- 2>&- <&-' run -w "$scratch" -- sh -c 'echo a >work/written'
is "$(cat written)" a "and no file of billet's takes their place"
billet run -- sh -c 'ls /proc/self/fd | tr "\n" " "'
is "$stdout" "0 1 2 3 " "the command gets three descriptors and no other"
run_plain '>/dev/full' env list
refused 125 "cannot write the result: No space left on device" io_failed "" "a verb says that its result could not be written"
run_plain '>/dev/full' lease list --json
is "$status" 125 "also as JSON"
run_plain '>/dev/full' --version
isnt "$status" 0 "also the version"
run_plain '>/dev/full' run --help
isnt "$status" 0 "and help"
run_plain '2>/dev/full' run -e nowhere -- true
is "$status" 125 "a full error output does not change the status"
run_plain '2>&-' run -e nowhere -- true
is "$status" 125 "nor does a closed one"
run_plain '>/dev/full' run --json -- true
isnt "$status" 0 "a result that could not be written is no success"

# ---- status descriptor --------------------------------------------------------------------------
run_plain '9>/dev/full' run --status-fd 9 -- sh -c 'exit 3'
is "$status/$stderr" 3/ "a full status descriptor does not change the run"
mkfifo channel
sh -c 'exec <"$1"' sh channel &
run_plain '9>channel' run --status-fd 9 -- sh -c 'exit 3'
is "$status" 3 "nor does one that nobody reads any more"
rm channel
run_plain '' run --status-fd 1 -- echo data
is "$status" 0 "the status lines may share the output"
is "$(printf '%s\n' "$stdout" | grep -c '^{')" 3 "each in a line of its own"
nothing_left "at the end"
done_testing
