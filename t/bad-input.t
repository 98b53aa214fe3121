#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Bad input and faults of a run: one clear line each, the right exit status, nothing left.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

# one_line STATUS CODE DESCRIPTION: the last billet failed with that status and code, in one line and
# at most one more that is a hint, and said nothing on its output.
one_line() {
    tap_lines=$(printf '%s\n' "$stderr" | grep -c .)
    if [ "$status" = "$1" ] && [ -z "$stdout" ] && [ "$tap_lines" -le 2 ] &&
        printf '%s\n' "$stderr" | head -n 1 | grep -Eq "^billet: .*[^ ] \\[$2\\]\$"; then
        pass "$3"
    else
        fail "$3"
        diag "status $status, wanted $1 and code $2: $stdout$stderr"
    fi
}

# ---- the command line ---------------------------------------------------------------------------
billet
is "$status" 2 "no verb is bad usage"
billet runn -- true
is "$status" 2 "an unknown verb is bad usage"
like "$stderr" "^billet: unknown verb .*did you mean 'run'" "and the nearest is named"
billet run
one_line 125 usage "no command"
billet run --
one_line 125 usage "no command after --"
billet run -- ''
one_line 125 usage "an empty command"
billet run --no-such-option -- true
one_line 125 usage "an unknown option"
billet run --timeot 5s -- true
like "$stderr" "did you mean '--timeout'" "the nearest option is named"
billet run --timeout
one_line 125 usage "an option without its value"
billet run -Z -- true
one_line 125 usage "an unknown letter"
for value in '' soon -1 5x 99999999999999999999s; do
    billet run --timeout "$value" -- true
    one_line 125 usage "a time limit of '$value'"
done
billet run --keep=yes -- true
one_line 125 usage "a value for an option without one"
for value in '' x 99 -1 0 3x 99999999999; do
    billet run --status-fd "$value" -- true
    one_line 125 usage "a status descriptor of '$value'"
done
billet run --status-fd 8 -- true 8<"$top_srcdir/README.md"
one_line 125 usage "a status descriptor that is not open for writing"
for value in '' '=x' '1A=x' 'A B=x' 'A-B=x'; do
    billet run --env "$value" -- true
    one_line 125 usage "a variable '$value'"
done
long=$(printf '%0200d' 7)
for option in agent issue run-id; do
    billet run "--$option" 'a
b' -- true
    one_line 125 usage "a newline in --$option"
    billet run "--$option" "$long" -- true
    one_line 125 usage "an overlong --$option"
    billet run "--$option" '' -- true
    one_line 125 usage "an empty --$option"
done
for value in 'a b' 'a
b' '' ../x "$long"; do
    billet run --tenant "$value" -- true
    one_line 125 usage "a tenant '$(printf '%.8s' "$value")'"
    billet run -e "$value" -- true
    one_line 125 environment_not_found "an environment '$(printf '%.8s' "$value")'"
done
billet run --directory relative -- true
one_line 125 usage "a relative --directory"
billet run --directory /no/such/directory -- true
one_line 125 directory_unusable "a --directory that is not there"
billet run --workspace-mode sideways -- true
one_line 125 usage "an unknown --workspace-mode"
billet run --workspace-mode overlay -w . -- true
one_line 125 unsupported_environment "a --workspace-mode that the driver has not"
billet run --set nothing -- true
one_line 125 usage "a --set that is none"
billet run --set billet.lease_ttl=soon -- true
one_line 125 'config_[a-z_]*|value_invalid' "a --set of the wrong type"
billet run --set billet.lease_tt=60s -- true
one_line 125 'config_unknown_key' "a --set of an unknown key"
like "$stderr" "did you mean 'lease_ttl'" "which names the nearest"
billet run --config /no/such/file -- true
one_line 125 config_not_found "a --config that is not there"
billet run --store mysql://x -- true
one_line 125 'store_[a-z_]*' "a --store of no known kind"
billet run --store sqlite:relative -- true
one_line 125 'store_[a-z_]*' "a --store at no absolute path"
billet run --store "sqlite:$scratch/no/such/directory/x.db" -- true </dev/null
like "$status" '^(0|125)$' "a --store in a directory that is not there is made or refused"
billet lease list extra
one_line 2 usage "an argument too many"

# ---- sizes --------------------------------------------------------------------------------------
# Linux takes 128 KiB in one argument; more is told as E2BIG by the environment, not by billet.
large=$(head -c 131000 /dev/zero | tr '\0' x)
billet run -- sh -c 'printf %s "$1" | wc -c | tr -d " "' sh "$large"
is "$status/$stdout" 0/131000 "the largest argument of the kernel arrives"
set --
while [ $# -lt 9 ]; do set -- "$@" "$large"; done
billet run -- sh -c 'for a; do printf %s "$a"; done | wc -c | tr -d " "' sh "$@"
is "$status/$stdout" "0/1179000" "1 MiB of arguments arrives"
set --
head -c 1000000 /dev/zero | tr '\0' '\n' >"$scratch/input"
billet run -- wc -c <"$scratch/input"
is "$(printf '%s' "$stdout" | tr -d ' ')" 1000000 "1 MB of input arrives"
billet lease list --all --json
is "$(json /format_version)" 1.0 "the recorded command is cut, and the list is still JSON"
billet run -- printf '\001\377\033[31m'
is "$(od -An -tx1 <"$scratch/stdout" | tr -d ' \n')" 01ff1b5b33316d "bytes of the command arrive as they are"
billet run -- "$(printf 'no\033[31msuch\001')"
unlike "$stderr" "$(printf '\033')" "control bytes of a name do not reach the terminal in an error"
one_line 127 command_not_found "a command with control bytes"
billet lease list --all
unlike "$stdout" "$(printf '\033')" "nor in a list"

# ---- the workspace ------------------------------------------------------------------------------
billet run -w "$scratch/missing" -- true
refused 125 "workspace $scratch/missing: No such file or directory" workspace_realization_failed "" \
    "a workspace that is missing"
: >file
billet run -w file -- true
refused 125 "workspace file: Not a directory" workspace_realization_failed "" "one that is a file"
billet run -w '' -- true
one_line 125 workspace_realization_failed "one that is empty"
billet run -w "$(printf '%05000d' 1)" -- true
one_line 125 workspace_realization_failed "one whose name is too long"
mkdir 'with space' 'new
line' && ln -s 'with space' link && ln -s loop loop
billet run -w 'with space' -- pwd
is "$stdout" "$scratch/work/with space" "one with a space in its name works"
billet run -w 'new
line' -- pwd
is "$stdout" "$scratch/work/new
line" "and with a newline"
billet lease list --all
is "$status" 0 "and can be listed"
billet run -w link -- pwd
is "$stdout" "$scratch/work/with space" "a link is followed"
billet run -w loop -- true
one_line 125 workspace_realization_failed "but not for ever"
mkfifo pipe
billet run -w pipe -- true
one_line 125 workspace_realization_failed "a pipe is none"
if user_ready; then
    mkdir -p "$user_scratch/closed" && chmod 0700 "$user_scratch/closed"
    is_root || chmod 0 "$user_scratch/closed"
    as_user billet run -w "$user_scratch/closed" -- true
    one_line 125 workspace_realization_failed "one that cannot be read"
    ! is_root || chown "$tap_uid" "$user_scratch/closed"
    chmod 0755 "$user_scratch/closed"
    (cd "$user_scratch" && mkdir gone)
    as_user billet run -w "$user_scratch/closed" -- id -u
    is "$status/$stdout" "0/$(as_user id -u)" "an ordinary user needs nothing but a home"
else
    skip 2 "$tap_reason"
fi
mkdir gone
(cd gone && rmdir ../gone && isolated "$billet_program" run -- true >"$scratch/stdout" 2>"$scratch/stderr")
status=$?
stdout=$(cat "$scratch/stdout") stderr=$(cat "$scratch/stderr")
one_line 125 workspace_realization_failed "a working directory that has been removed"

# ---- no configuration at all --------------------------------------------------------------------
if user_ready; then
    as_user sh -c 'rm -rf "$1" && mkdir "$1"' sh "$user_scratch/fresh"
    tap_run isolated_as_user env -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR \
        -u BILLET_STORE -u BILLET_STATE_DIR -u BILLET_RUNTIME_DIR HOME="$user_scratch/fresh" \
        "$billet_program" run -w "$user_scratch/fresh" -- echo works
    if [ -n "$tap_user_build" ]; then
        skip 2 "the build directory is closed to the user"
    else
        is "$status/$stdout/$stderr" 0/works/ "a fresh home without any configuration works"
        ok "state is in ~/.local/state/billet" test -f "$user_scratch/fresh/.local/state/billet/billet.db"
    fi
else
    skip 2 "$tap_reason"
fi

# ---- the store ----------------------------------------------------------------------------------
broken_store() {
    tap_run isolated env BILLET_STORE="sqlite:$1" "$billet_program" run -- sh -c 'echo ran'
}
echo 'this is no database, whatever it is called, and it is longer than a header of one hundred bytes is' >"$scratch/text.db"
broken_store "$scratch/text.db"
one_line 125 'store_[a-z_]*' "a store that is no database"
mkdir "$scratch/directory.db"
broken_store "$scratch/directory.db"
one_line 125 'store_[a-z_]*|io_failed' "a store that is a directory"
ln -s /dev/null "$scratch/null.db"
broken_store "$scratch/null.db"
one_line 125 'store_[a-z_]*|io_failed|path_untrusted' "a store that is a device"
if is_root && mkdir "$scratch/small" && mount -t tmpfs -o size=600k none "$scratch/small" 2>/dev/null; then
    broken_store "$scratch/small/billet.db"
    is "$status/$stdout" 0/ran "a store on a small disk works"
    head -c 2M /dev/zero >"$scratch/small/filler" 2>/dev/null
    broken_store "$scratch/small/billet.db"
    one_line 125 'store_full|[a-z_]*' "a full disk refuses the run before it begins"
    like "$stderr" 'full|space' "and says so"
    rm "$scratch/small/filler"
    broken_store "$scratch/small/billet.db"
    is "$status/$stdout" 0/ran "with room again it goes on"
    tap_run isolated env BILLET_STORE="sqlite:$scratch/small/billet.db" "$billet_program" db check
    is "$status/$stdout" "0/no findings" "and nothing was half written"
    tap_run isolated env BILLET_STORE="sqlite:$scratch/small/billet.db" "$billet_program" lease list
    is "$(printf '%s\n' "$stdout" | grep -c .)" 1 "no lease is live"
    umount "$scratch/small"
else
    skip 6 "a small file system needs root"
fi
(
    ulimit -f 16
    tap_run isolated env BILLET_STORE="sqlite:$scratch/limited.db" "$billet_program" run -- sh -c 'echo ran'
    echo "$status" >"$scratch/limited.status"
)
is "$(cat "$scratch/limited.status")" 125 "a limit of the size of files refuses the run"
like "$(cat "$scratch/stderr")" '^billet: .* \[[a-z_]+\]$' "with one line"

# ---- the installation ---------------------------------------------------------------------------
tap_run isolated env BILLET_LIBEXEC_DIR=/no/such/directory "$billet_program" run -- true
one_line 125 '[a-z_]*' "no driver host"
tap_run isolated env BILLET_DRIVER_DIR=/no/such/directory "$billet_program" run -- true
one_line 125 '[a-z_]*' "no driver"
tap_run isolated env BILLET_STORE_DIR=/no/such/directory "$billet_program" run -- true
one_line 125 '[a-z_]*' "no store module"
nothing_left "at the end"
done_testing
