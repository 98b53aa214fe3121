# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2030,SC2031,SC2034
# (SC2030, SC2031: the subshells mean it; SC2034: the test reads what is set here)
# tap.sh - what a user-level test (t/*.t) needs: TAP output, a private scratch directory, the built
# billet run in isolation, an ordinary user when the tests run as root, and proof that nothing is
# left behind.
#
# A test begins with:
#     . "${top_srcdir:?run it with make check}/t/lib/tap.sh"
# and ends with done_testing (or gives its count first with plan N). The harness exports top_srcdir
# and top_builddir as absolute paths. TAP is the verdict: a test whose count is complete exits 0 even
# when points failed; one that dies half-way exits non-zero.
#
# Never call an assertion inside a pipe or a subshell: it would count there and be lost.

: "${top_srcdir:?}" "${top_builddir:?}"

tap_newline='
'
tap_count=0
tap_failed=0
tap_planned=
tap_complete=no
tap_user_directory=
tap_user_build=
# The ordinary user that as_user becomes when the tests run as root.
tap_uid=${TEST_UID:-65534}

# A test starts without anything of the caller's billet.
for tap_name in $(env | sed -n 's/^\(BILLET_[A-Za-z0-9_]*\)=.*/\1/p'); do
    case $tap_name in
    BILLET_SANITIZERS | BILLET_REPEATED) ;;
    *) unset "$tap_name" ;;
    esac
done
. "$top_srcdir/t/lib/uninstalled.sh"

# With sanitizers, leaks are sought in the unit tests and in the tests of verbs that say so: the search is
# nearly half of the time of each process.
tap_asan=${ASAN_OPTIONS:-}
[ -z "${BILLET_SANITIZERS:-}" ] || export ASAN_OPTIONS="${tap_asan:+$tap_asan:}detect_leaks=0"
seeks_leaks() {
    [ -z "${BILLET_SANITIZERS:-}" ] || ASAN_OPTIONS=$tap_asan
}

# Private to this test, mode 0700, removed at the end.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/billet-test.XXXXXX") || {
    echo "Bail out! no scratch directory could be made"
    exit 1
}

tap_exit() {
    tap_status=$?
    trap - EXIT
    cd / || :
    for tap_directory in "$scratch" "$tap_user_directory" "$tap_user_build"; do
        [ -n "$tap_directory" ] || continue
        chmod -R u+rwX "$tap_directory" 2>/dev/null
        rm -rf -- "$tap_directory" || diag "could not remove $tap_directory"
    done
    if [ -n "$tap_planned" ] && [ "$tap_count" -eq "$tap_planned" ]; then
        tap_complete=yes
    fi
    if [ "$tap_complete" = yes ] && [ "$tap_status" -eq 0 ]; then
        exit 0
    fi
    if [ "$tap_complete" = no ]; then
        diag "the test ended before its last point (exit status $tap_status)"
        [ "$tap_status" -ne 0 ] || tap_status=1
    fi
    exit "$tap_status"
}
trap tap_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- TAP ----------------------------------------------------------------------------------------

diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

plan() {
    tap_planned=$1
    echo "1..$1"
}

done_testing() {
    [ -n "$tap_planned" ] || plan "$tap_count"
    if [ "$tap_count" -ne "$tap_planned" ]; then
        diag "planned $tap_planned points, ran $tap_count"
        exit 1
    fi
    [ "$tap_failed" -eq 0 ] || diag "$tap_failed of $tap_count failed"
    tap_complete=yes
    exit 0
}

# The whole test does not apply here.
skip_all() {
    echo "1..0 # SKIP $*"
    tap_complete=yes
    exit 0
}

# skip COUNT REASON...: stands for COUNT points that cannot be tried here.
skip() {
    tap_left=$1
    shift
    while [ "$tap_left" -gt 0 ]; do
        tap_count=$((tap_count + 1))
        echo "ok $tap_count # SKIP $*"
        tap_left=$((tap_left - 1))
    done
}

# tap_point RESULT DESCRIPTION...: a point in one line; a '#' would begin a TAP directive. There are
# thousands of points, so that a process for each is felt.
tap_point() {
    tap_count=$((tap_count + 1))
    tap_result=$1
    shift
    case $* in
    *#* | *"$tap_newline"*) set -- "$(printf '%s' "$*" | tr '\n#' '  ')" ;;
    esac
    printf '%s %s - %s\n' "$tap_result" "$tap_count" "$*"
}

pass() {
    tap_point ok "$@"
}

fail() {
    tap_failed=$((tap_failed + 1))
    tap_point 'not ok' "$@"
}

# ok DESCRIPTION COMMAND...: passes when the command succeeds; its output is shown when it does not.
ok() {
    tap_text=$1
    shift
    if "$@" >"$scratch/.ok" 2>&1; then
        pass "$tap_text"
    else
        tap_status=$?
        fail "$tap_text"
        diag "status $tap_status from: $*"
        sed 's/^/#   /' "$scratch/.ok"
    fi
}

# not_ok DESCRIPTION COMMAND...: passes when the command fails.
not_ok() {
    tap_text=$1
    shift
    if "$@" >"$scratch/.ok" 2>&1; then
        fail "$tap_text"
        diag "succeeded: $*"
        sed 's/^/#   /' "$scratch/.ok"
    else
        pass "$tap_text"
    fi
}

# is GOT WANTED DESCRIPTION
is() {
    if [ "$1" = "$2" ]; then
        pass "$3"
    else
        fail "$3"
        diag "     got: $1"
        diag "expected: $2"
    fi
}

isnt() {
    if [ "$1" != "$2" ]; then
        pass "$3"
    else
        fail "$3"
        diag "did not expect: $1"
    fi
}

tap_matches() {
    grep -Eq -e "$2" <<END
$1
END
}

# like TEXT EXTENDED-REGULAR-EXPRESSION DESCRIPTION: some line of TEXT matches.
like() {
    if tap_matches "$1" "$2"; then
        pass "$3"
    else
        fail "$3"
        diag "     text: $1"
        diag "no match: $2"
    fi
}

unlike() {
    if tap_matches "$1" "$2"; then
        fail "$3"
        diag "   text: $1"
        diag "matched: $2"
    else
        pass "$3"
    fi
}

# ---- what a test needs --------------------------------------------------------------------------

# need COMMAND...: skips the test unless every command is there.
need() {
    for tap_name in "$@"; do
        command -v "$tap_name" >/dev/null 2>&1 || skip_all "needs the program $tap_name"
    done
}

# The test is about words, of code that other tests run: nothing new for sanitizers, which make each
# of its many processes slow, nor where the same was tested before (BILLET_REPEATED).
about_words() {
    [ -z "${BILLET_REPEATED:-}" ] || skip_all "is about words, which were tested before"
    [ -z "${BILLET_SANITIZERS:-}" ] || skip_all "is about words: sanitizers see the same code in other tests"
}

# takes_long [sanitizers] [core]: not again where the same was tested before, but for one that reaches
# much of core where that is counted (BILLET_REPEATED=core); nor, with the word sanitizers, where each of
# its many processes is slow.
takes_long() {
    case ${BILLET_REPEATED:-}/$* in
    /* | core/*core*) ;;
    *) skip_all "takes long, and was tested before" ;;
    esac
    case ${BILLET_SANITIZERS:+yes}/$* in
    yes/*sanitizers*) skip_all "takes too long with sanitizers" ;;
    esac
}

need_billet() {
    [ -x "$billet_program" ] || skip_all "needs the built program $billet_program"
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

need_root() {
    is_root || skip_all "needs root"
}

# User namespaces, for whoever runs the test.
need_userns() {
    need unshare
    unshare --user --map-root-user true 2>/dev/null ||
        skip_all "needs user namespaces, which this kernel or its policy refuses to uid $(id -u)"
}

# ---- billet, isolated ---------------------------------------------------------------------------

# Directories of a user of billet below DIRECTORY.
tap_home() {
    mkdir -p "$1/home" "$1/config" "$1/state" "$1/cache" "$1/runtime" &&
        chmod 0700 "$1/home" "$1/config" "$1/state" "$1/cache" "$1/runtime"
}
tap_home "$scratch"
# Where `billet` below keeps everything: the scratch directory, or under as_user the user's.
tap_base=$scratch

# The URL of the store that `billet` uses. A test with another one says store_is_elsewhere=yes and has
# a function of its own.
store_url() {
    printf 'sqlite:%s/state/billet.db' "$tap_base"
}

# isolated PROGRAM ARGUMENT...: run it with the environment of the isolated billet. When the test has written
# $tap_base/billet.conf, which is $scratch/billet.conf or under as_user $user_scratch/billet.conf, that
# file is the whole configuration; otherwise it is read from where it always is (for an ordinary user
# $tap_base/config/billet).
isolated() {
    (
        [ ! -f "$tap_base/billet.conf" ] || export BILLET_CONFIG="$tap_base/billet.conf"
        unset XDG_CONFIG_DIRS XDG_DATA_HOME
        export HOME="$tap_base/home" XDG_CONFIG_HOME="$tap_base/config" \
            XDG_STATE_HOME="$tap_base/state" XDG_CACHE_HOME="$tap_base/cache" \
            XDG_RUNTIME_DIR="$tap_base/runtime" BILLET_STORE="sqlite:$tap_base/state/billet.db" \
            BILLET_KEYRING="$tap_base/keyring" \
            BILLET_STATE_DIR="$tap_base/state" BILLET_RUNTIME_DIR="$tap_base/runtime" NO_COLOR=1
        [ -z "${store_is_elsewhere:-}" ] || BILLET_STORE=$(store_url)
        exec "$@"
    )
}

# billet ARGUMENT...: run the built program; standard input is the caller's. Leaves its output in the
# files $scratch/stdout and $scratch/stderr and in $stdout and $stderr, its exit status in $status,
# and always returns 0, so that a test says what it expects.
billet() {
    tap_run isolated "$billet_program" "$@"
}

tap_run() {
    status=0
    "$@" >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    stdout='' stderr=''
    [ ! -s "$scratch/stdout" ] || stdout=$(tr -d '\000' <"$scratch/stdout")
    [ ! -s "$scratch/stderr" ] || stderr=$(tr -d '\000' <"$scratch/stderr")
}

# ---- an ordinary user ---------------------------------------------------------------------------

# Make $user_scratch, a directory of the ordinary user's own (the scratch directory itself when the
# tests run as one). Returns 1 and sets tap_reason when there is no way to be one.
user_ready() {
    [ -z "${user_scratch:-}" ] || return 0
    if ! is_root; then
        user_scratch=$scratch
        return 0
    fi
    command -v setpriv >/dev/null 2>&1 || {
        tap_reason="needs setpriv to become an ordinary user"
        return 1
    }
    setpriv --reuid="$tap_uid" --regid="$tap_uid" --clear-groups true 2>/dev/null || {
        tap_reason="cannot become uid $tap_uid here"
        return 1
    }
    tap_user_directory=$(mktemp -d "${TMPDIR:-/tmp}/billet-user.XXXXXX") || {
        tap_reason="no directory for uid $tap_uid could be made"
        return 1
    }
    tap_home "$tap_user_directory"
    chown -R "$tap_uid:$tap_uid" "$tap_user_directory"
    if ! tap_as_user ls "$tap_user_directory" >/dev/null 2>&1; then
        tap_reason="uid $tap_uid cannot reach ${TMPDIR:-/tmp}"
        return 1
    fi
    # shellcheck disable=SC2016
    if ! tap_as_user sh -c 'cd "$1" && ls . >/dev/null && { [ ! -d .libs ] || ls .libs >/dev/null; }' \
        sh "$top_builddir" 2>/dev/null; then
        tap_copy_build || {
            tap_reason="uid $tap_uid cannot read $top_builddir, and it could not be copied"
            return 1
        }
    fi
    user_scratch=$tap_user_directory
}

# The build directory is below one that is closed to the user: give the user a copy of what runs.
tap_copy_build() {
    tap_user_build=$(mktemp -d "${TMPDIR:-/tmp}/billet-build.XXXXXX") || return 1
    mkdir "$tap_user_build/.libs" || return 1
    for tap_name in "$top_builddir"/billet "$top_builddir"/billet-* "$top_builddir"/.libs/*.so; do
        [ ! -f "$tap_name" ] || cp "$tap_name" "$tap_user_build/${tap_name#"$top_builddir"/}" || return 1
    done
    chmod -R go=u,go-w "$tap_user_build"
}

need_user() {
    user_ready || skip_all "$tap_reason"
}

tap_as_user() {
    if is_root; then
        setpriv --reuid="$tap_uid" --regid="$tap_uid" --clear-groups -- "$@"
    else
        "$@"
    fi
}

# as_user COMMAND...: run it as an ordinary user, in that user's directory when that is not the
# caller. `as_user billet ARGUMENT...` is `billet` above with the user's own home and store. Call
# need_user or user_ready first.
as_user() {
    : "${user_scratch:?call need_user first}"
    if [ "$1" = billet ]; then
        shift
        tap_saved_base=$tap_base
        tap_base=$user_scratch
        tap_run isolated_as_user "$billet_program" "$@"
        tap_base=$tap_saved_base
    else
        tap_as_user "$@"
    fi
}

isolated_as_user() {
    if [ -n "$tap_user_build" ] && [ "${1#"$top_builddir"/}" != "$1" ]; then
        tap_name=$tap_user_build/${1#"$top_builddir"/}
        shift
        set -- env BILLET_DRIVER_DIR="$tap_user_build/.libs" \
            BILLET_STORE_DIR="$tap_user_build/.libs" BILLET_LIBEXEC_DIR="$tap_user_build" \
            "$tap_name" "$@"
    fi
    if is_root; then
        isolated setpriv --reuid="$tap_uid" --regid="$tap_uid" --clear-groups -- "$@"
    else
        isolated "$@"
    fi
}

# ---- nothing left behind ------------------------------------------------------------------------

# What `billet lease list --all --json` says of every store of this test, asked as the store's owner.
# A store that cannot be read shows as a live lease, not as none.
all_leases() {
    if [ -e "$scratch/state/billet.db" ]; then
        (
            tap_base=$scratch
            isolated "$billet_program" lease list --all --json 2>&1 ||
                echo '"state":"active" (the store cannot be read)'
        )
    fi
    if [ -n "$tap_user_directory" ] && [ -e "$tap_user_directory/state/billet.db" ]; then
        (
            tap_base=$tap_user_directory
            isolated_as_user "$billet_program" lease list --all --json 2>&1 ||
                echo '"state":"active" (the store cannot be read)'
        )
    fi
}

# Ids of all leases that those stores ever knew, one a line.
lease_ids() {
    all_leases | grep -Eo '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | sort -u
}

# Processes that carry a lease of this test, or a path of its scratch directories, in their
# environment: "PID NAME" each. A process that ends meanwhile is none.
left_processes() {
    {
        lease_ids | sed 's/^/BILLET_LEASE_ID=/'
        echo "=$scratch/"
        echo "=sqlite:$scratch/"
        [ -z "$tap_user_directory" ] || printf '=%s/\n=sqlite:%s/\n' \
            "$tap_user_directory" "$tap_user_directory"
    } >"$scratch/.marks"
    # Their environment, read as this user may; one grep for all keeps the window small.
    # A test that stands in its scratch directory has it in PWD, and with it every tool it starts.
    env -u PWD -u OLDPWD grep -lF -f "$scratch/.marks" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ tap_pid _; do
        [ "$tap_pid" = "$$" ] || echo "$tap_pid $(cat "/proc/$tap_pid/comm" 2>/dev/null)"
    done
}

left_mounts() {
    grep -F -e " $scratch" ${tap_user_directory:+-e " $tap_user_directory"} /proc/self/mountinfo
}

left_cgroups() {
    lease_ids >"$scratch/.leases"
    [ -s "$scratch/.leases" ] || return 0
    find /sys/fs/cgroup -type d 2>/dev/null | grep -F -f "$scratch/.leases"
}

# Leases that are neither released nor failed.
left_leases() {
    all_leases | grep -Eo '"state": *"(acquiring|active|releasing|retained)".*'
}

# nothing_left DESCRIPTION: four points. Ending is asynchronous for processes that are being killed:
# they get five seconds.
nothing_left() {
    tap_tries=50
    while [ "$tap_tries" -gt 0 ] && [ -n "$(left_processes)" ]; do
        sleep 0.1
        tap_tries=$((tap_tries - 1))
    done
    is "$(left_processes)" "" "$1: no process is left"
    is "$(left_mounts)" "" "$1: no mount is left"
    is "$(left_cgroups)" "" "$1: no cgroup is left"
    is "$(left_leases)" "" "$1: no live lease is left"
}
