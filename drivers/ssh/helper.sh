# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2013,SC2015,SC2034,SC2154,SC2209
# (SC2013: numbers; SC2015: meant so; SC2034, SC2154: set by what the driver sends; SC2209: a word)
# helper.sh - the far side of driver_ssh: POSIX sh, and a few POSIX programs, busybox's will do.
# One text, two roles. The keeper is the held session of a connection: it answers request lines and
# ends what the connection started when the connection ends. The runner is one exec.
# No comment of this file and no indentation travels. Bytes arrive in single quotes; a newline in
# them as "$billet_n".
billet_n='
'
unset CDPATH
billet_grep=

# ---- processes ----------------------------------------------------------------------------------

# The pids of what carries an entry that begins with $1 in its environment, into billet_left. The
# grep of busybox sees no further than the first NUL: there the entries become lines first.
find_labelled() {
    if [ -z "$billet_grep" ]; then
        billet_grep=lines
        ! printf 'a\0b' | grep -qsF -e b || billet_grep=files
    fi
    if [ "$billet_grep" = files ]; then
        billet_left=
        for billet_file in $(grep -lsF -e "$1" /proc/[0-9]*/environ 2>/dev/null); do
            billet_file=${billet_file#/proc/}
            billet_left="$billet_left ${billet_file%/environ}"
        done
        return
    fi
    billet_left=$(head -c 262144 /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' |
        grep -F -e '==> /proc/' -e "$1" | while IFS= read -r billet_line; do
        case $billet_line in
        '==> /proc/'*'/environ <==')
            billet_process=${billet_line#'==> /proc/'}
            billet_process=${billet_process%%/*}
            ;;
        "$1"*) printf ' %s' "$billet_process" ;;
        esac
    done)
}

# Kill what carries $1, until nothing does: 1 when something is left.
kill_labelled() {
    billet_round=0
    while :; do
        find_labelled "$1"
        [ -n "$billet_left" ] || return 0
        billet_round=$((billet_round + 1))
        [ "$billet_round" -le 60 ] || return 1
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL $billet_left 2>/dev/null
        [ "$billet_round" -le 2 ] || sleep 0.1 2>/dev/null || sleep 1
    done
}

# The fields of /proc/PID/stat after the name into billet_state, _group, _session, _foreground.
read_stat() {
    IFS= read -r billet_line 2>/dev/null <"/proc/$1/stat" || return 1
    billet_line=${billet_line##*) }
    # shellcheck disable=SC2086 # fields
    set -- $billet_line
    billet_state=$1 billet_group=$3 billet_session=$4 billet_foreground=$6
}

# Kill the session of the runner $1, but not the runner, which tells how its command ended.
kill_session() {
    read_stat "$1" || return 0
    billet_own=$billet_session
    for billet_file in /proc/[0-9]*/stat; do
        billet_process=${billet_file#/proc/}
        billet_process=${billet_process%/stat}
        [ "$billet_process" != "$1" ] || continue
        read_stat "$billet_process" 2>/dev/null || continue
        [ "$billet_session" = "$billet_own" ] && [ "$billet_state" != Z ] &&
            kill -KILL "$billet_process" 2>/dev/null
    done
    return 0
}

# The pid of the runner of exec $1 into billet_runner; the file's name carries it.
find_runner() {
    billet_runner=
    for billet_file in "$billet_dir/run/$1".*; do
        billet_runner=${billet_file##*.}
    done
    case $billet_runner in
    '' | *[!0-9]*) return 1 ;;
    esac
    grep -qsF -e "$1" "/proc/$billet_runner/cmdline"
}

# ---- keeper -------------------------------------------------------------------------------------

answer() {
    printf '%s %s %s\n' "$billet_nonce" "$billet_number" "$1" 2>/dev/null
}

lost() {
    [ -n "$billet_kept" ] || kill_labelled "BILLET_EXEC_ID=ssh-$billet_connection-"
}

place() {
    billet_root=$1
    # shellcheck disable=SC2088 # the tilde is text
    case $1 in
    '~/'*) billet_root=$HOME/${1#'~/'} ;;
    esac
    billet_dir=$billet_root/$2
}

# A failed command's own words, one line.
refuse() {
    answer "failed $(printf '%s' "$1" | tr '\n' ' ' | cut -c1-300)"
}

write_label() {
    printf '%s %s %s %s %s\n' "$1" "$2" "$3" "$(date +%s)" "$4" | cat >"$billet_dir/label.new" &&
        mv -f "$billet_dir/label.new" "$billet_dir/label"
}

# Through cat, which says why a file cannot be written.
make_lease() {
    umask 077
    mkdir -p "$billet_dir/work" "$billet_dir/run" && write_label "$1" "$2" "$3" "$4" &&
        printf '%s\n' "$billet_text" | cat >"$billet_dir/helper.new" &&
        [ "$(wc -c <"$billet_dir/helper.new")" -gt "$((${#billet_text} - 1))" ] &&
        mv -f "$billet_dir/helper.new" "$billet_dir/helper"
}

# ROOT LEASE DEPLOYMENT FENCE GENERATION RUN HOW, HOW: acquire, resume, share. Who takes it up has a
# higher fence than its label, or is the run that it names; who shares it has none that is lower.
open_lease() {
    place "$1" "$2"
    if [ "$7" != acquire ] && [ ! -e "$billet_dir/label" ]; then
        answer lost
        return
    fi
    if [ "$7" != acquire ]; then
        billet_fence=
        read -r billet_line billet_fence billet_line billet_line billet_run <"$billet_dir/label"
        if [ "${billet_fence:-0}" -gt "$4" ] || {
            [ "$7" = resume ] && [ "${billet_fence:-0}" -eq "$4" ] && [ "$billet_run" != "$6" ]
        }; then
            answer "fenced $billet_fence"
            return
        fi
    fi
    if [ "$7" = share ] && [ -e "$billet_dir/helper" ]; then
        answer "ok $billet_dir"
        return
    fi
    if billet_said=$(make_lease "$3" "$4" "$5" "$6" 2>&1); then
        billet_dir=$(cd "$billet_dir" && pwd -P) && answer "ok $billet_dir"
    else
        refuse "$billet_said"
    fi
}

remove_tree() {
    rm -rf -- "$billet_dir" 2>/dev/null && return 0
    chmod -R u+rwX -- "$billet_dir" 2>/dev/null
    rm -rf -- "$billet_dir"
}

# ROOT LEASE [DRY]
destroy_lease() {
    place "$1" "$2"
    if [ -n "$3" ]; then
        find_labelled "BILLET_LEASE_ID=$2"
        billet_said=$(printf '%s' "$billet_left" | wc -w)
        [ -e "$billet_dir" ] && answer "ok would end $billet_said processes and remove $billet_dir" ||
            answer "ok would end $billet_said processes; there is no directory"
    elif ! kill_labelled "BILLET_LEASE_ID=$2"; then
        answer "processes $billet_left"
    elif billet_said=$(remove_tree 2>&1) && [ ! -e "$billet_dir" ] && [ ! -L "$billet_dir" ]; then
        answer ok
    else
        refuse "cannot remove $billet_dir: $billet_said"
    fi
}

list_leases() {
    place "$1" x
    billet_now=$(date +%s)
    for billet_file in "$billet_root"/*; do
        [ -d "$billet_file" ] || continue
        billet_line=
        IFS= read -r billet_line 2>/dev/null <"$billet_file/label"
        answer "item ${billet_file##*/} $billet_now $billet_line"
    done
    answer ok
}

# The lock of a directory that is used in place. It is a flock of the directory itself, held by this
# shell, so it ends with the connection; without the program flock, a directory that names its owner
# by pid and time of start, taken over when that process is gone.
lock_directory() {
    cd "$1" 2>/dev/null || {
        answer "failed cannot enter $1"
        return
    }
    billet_place=$(pwd -P)
    if command -v flock >/dev/null 2>&1 && true 2>/dev/null <"$billet_place"; then
        exec 9<"$billet_place"
        if flock -n 9; then
            answer "ok $billet_place"
        else
            exec 9<&-
            answer locked
        fi
        return
    fi
    umask 077
    mkdir -p "$HOME/.billet/locks"
    billet_lock=$HOME/.billet/locks/$(printf %s "$billet_place" | cksum | tr ' ' -)
    billet_me="$$ $(cut -d' ' -f22 "/proc/$$/stat")"
    if ! mkdir "$billet_lock" 2>/dev/null; then
        read -r billet_pid billet_since 2>/dev/null <"$billet_lock/owner"
        if [ "$(cut -d' ' -f22 "/proc/$billet_pid/stat" 2>/dev/null)" = "$billet_since" ] ||
            ! mv "$billet_lock" "$billet_lock.$$" 2>/dev/null; then
            billet_lock=
            answer locked
            return
        fi
        rm -rf "$billet_lock.$$"
        mkdir "$billet_lock" 2>/dev/null || {
            billet_lock=
            answer locked
            return
        }
    fi
    echo "$billet_me" >"$billet_lock/owner"
    answer "ok $billet_place"
}

# The connection is taken for dead when no beat comes for $1 seconds.
beat() {
    [ -z "$billet_watch" ] || kill -TERM "$billet_watch" 2>/dev/null
    (
        exec 9<&-
        trap 'kill $! 2>/dev/null; exit 0' TERM
        sleep "$1" &
        wait $!
        lost
        kill -KILL $$
    ) </dev/null >/dev/null 2>&1 &
    billet_watch=$!
}

# NUMBER ID: to the foreground group of the exec's terminal, or to the runner's group.
send_signal() {
    if ! find_runner "$2" || ! read_stat "$billet_runner"; then
        answer gone
        return
    fi
    [ "$billet_foreground" -gt 0 ] && billet_group=$billet_foreground
    case $1 in
    9) kill_session "$billet_runner" ;;
    *) kill -s "$(kill -l "$1")" -- "-$billet_group" 2>/dev/null ;;
    esac
    answer ok
}

kill_exec() {
    find_runner "$1" && kill_session "$billet_runner"
    if kill_labelled "BILLET_EXEC_ID=ssh-$1"; then
        find_runner "$1" && kill_session "$billet_runner"
        answer ok
    else
        answer "processes $billet_left"
    fi
}

# ROOT: what a lease needs, one item each
look_around() {
    place "$1" "billet-probe-$$"
    for billet_program in tar flock git; do
        if command -v "$billet_program" >/dev/null 2>&1; then
            answer "item $billet_program yes"
        else
            answer "item $billet_program no"
        fi
    done
    umask 077
    if billet_said=$(mkdir -p "$billet_dir" 2>&1 && { printf '%065536d' 0 | cat >"$billet_dir/probe"; } 2>&1 &&
        [ "$(wc -c <"$billet_dir/probe")" -eq 65536 ]); then
        answer "item disk yes"
    else
        answer "item disk no $(printf '%s' "$billet_said" | tr '\n' ' ' | cut -c1-200)"
    fi
    rm -rf "$billet_dir"
    if grep -qs . /proc/self/environ; then answer "item proc yes"; else answer "item proc no"; fi
    answer "item clock $(date +%s)"
    answer "item system $(uname -sm 2>/dev/null)"
    answer ok
}

# NAME: the guest of that name in the user's cache, run once to see whether it can be.
find_guest() {
    billet_file=$HOME/.cache/billet/$1
    if [ ! -e "$billet_file" ]; then
        answer "missing $billet_file"
    elif "$billet_file" version >/dev/null 2>&1 </dev/null; then
        answer "ok $billet_file"
    else
        answer "unusable $billet_file"
    fi
}

keeper() {
    billet_connection=$1 billet_kept='' billet_watch='' billet_lock='' billet_dir='' billet_over=''
    trap '' PIPE HUP
    billet_number=0
    billet_machine=$(uname -m 2>/dev/null)
    answer "hello $(id -u) ${billet_machine:-unknown} $HOME"
    while IFS= read -r billet_request; do
        eval "set -- $billet_request"
        billet_number=$1 billet_verb=$2
        shift 2
        case $billet_verb in
        beat)
            beat "$1"
            # shellcheck disable=SC2086 # names without blanks, but for the directory's
            [ -z "$billet_over" ] || (cd "$billet_dir/run" && rm -f $billet_over)
            billet_over=
            ;;
        params) (
            umask 077
            mkfifo "$billet_dir/run/$1.in" && answer ok && exec 9<&- >/dev/null || {
                answer "failed cannot make a fifo"
                exit 0
            }
            printf '%s\n' "$2" >"$billet_dir/run/$1.in" &
        ) ;;
        # A process for each would cost more than the file: they are removed with the next beat.
        end) billet_over="$billet_over $1.*" ;;
        signal) send_signal "$1" "$2" ;;
        kill) kill_exec "$1" ;;
        open) open_lease "$@" ;;
        lock) lock_directory "$1" ;;
        stop) if kill_labelled "BILLET_LEASE_ID=$1"; then answer ok; else answer "processes $billet_left"; fi ;;
        destroy) destroy_lease "$1" "$2" "$3" ;;
        list) list_leases "$1" ;;
        look) look_around "$1" ;;
        guest) find_guest "$1" ;;
        keep)
            billet_kept=yes
            answer ok
            ;;
        *) answer "failed unknown request $billet_verb" ;;
        esac
    done
    lost
    [ -z "$billet_watch" ] || kill -TERM "$billet_watch" 2>/dev/null
    [ -z "$billet_lock" ] || rm -rf "$billet_lock"
    exit 0
}

# ---- runner -------------------------------------------------------------------------------------

# Can $1 be executed? 0, or the errno in billet_errno.
look_up() {
    case $1 in
    */*)
        billet_errno=2
        [ -e "$1" ] || return 1
        billet_errno=13
        [ -f "$1" ] && [ -x "$1" ]
        return
        ;;
    esac
    billet_errno=2
    [ -n "$1" ] || return 1
    set -f
    IFS=:
    for billet_at in $PATH; do
        billet_at=${billet_at:-.}/$1
        [ -f "$billet_at" ] || continue
        if [ -x "$billet_at" ]; then
            billet_errno=0
            break
        fi
        billet_errno=13
    done
    set +f
    unset IFS
    [ "$billet_errno" -eq 0 ]
}

# DIRECTORY-OF-THE-LEASE ID PLACE-OF-THE-HEADER, the last is empty: standard input.
# The header is one line of assignments and a set -- COMMAND ARGUMENT... from the driver.
runner() {
    billet_dir=$1 billet_id=$2 billet_fifo=$3
    # Reset in the command; what comes to the group is for the command only.
    trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE WINCH TSTP TTIN TTOU
    if [ -n "$billet_fifo" ]; then
        IFS= read -r billet_header <"$billet_fifo"
    else
        IFS= read -r billet_header
    fi || exit 255
    eval "$billet_header"
    billet_header=
    if ! cd -- "$billet_cd" 2>/dev/null; then
        printf '%s end directory 0\n' "$billet_nonce"
        exit 0
    fi
    if ! look_up "$billet_name"; then
        printf '%s end missing %s\n' "$billet_nonce" "$billet_errno"
        exit 0
    fi
    exec 3<&0 4>&2 5>&1
    # The shell says on its standard error when a command died by a signal: that tells 143 from 143.
    if ! true 2>/dev/null >"$billet_dir/run/$billet_id.$$"; then
        printf '%s end lost 0\n' "$billet_nonce"
        exit 0
    fi
    exec 2>"$billet_dir/run/$billet_id.$$"
    printf '%s start %s\n' "$billet_nonce" $$
    [ -n "$billet_fifo" ] || printf '%s start %s\n' "$billet_nonce" $$ >&4
    (exec "$@" <&3 >&5 2>&4 3<&- 4>&- 5>&-)
    billet_status=$?
    exec 2>/dev/null
    billet_kind=exit
    if [ "$billet_status" -gt 128 ] && [ "$billet_status" -le 192 ]; then
        if [ -s "$billet_dir/run/$billet_id.$$" ] || [ "$billet_status" -eq 130 ] ||
            [ "$billet_status" -eq 141 ]; then
            billet_kind=signal
            billet_status=$((billet_status - 128))
        fi
    fi
    [ -n "$billet_fifo" ] || printf '%s end %s %s\n' "$billet_nonce" "$billet_kind" "$billet_status" >&4
    printf '%s end %s %s\n' "$billet_nonce" "$billet_kind" "$billet_status"
    exit 0
}

# ---- which role ---------------------------------------------------------------------------------

billet_role=$1
shift
case $billet_role in
keeper)
    billet_nonce=$1
    keeper "$2"
    ;;
runner) runner "$1" "$2" "$3" ;;
esac
