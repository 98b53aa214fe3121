#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shell test library itself: a failing assertion fails, a test that dies is seen, and the
# assertions about leftovers find what is left.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"

# script: run standard input as a test of its own; $output is its TAP, $status its exit status.
script() {
    {
        # shellcheck disable=SC2016
        echo '. "$top_srcdir/t/lib/tap.sh"'
        cat
    } >"$scratch/inner.t"
    status=0
    output=$(TMPDIR=${script_tmpdir:-$scratch} sh "$scratch/inner.t" 2>&1) || status=$?
}

script <<'END'
ok "a" true
is x x "b"
like "$(printf 'one\ntwo')" '^tw' "c"
unlike one two "d"
isnt x y "e"
not_ok "f" false
done_testing
END
is "$(printf '%s\n' "$output" | grep -c '^ok ')" 6 "assertions that hold print ok"
unlike "$output" '^not ok' "assertions that hold print no failure"
like "$output" '^1\.\.6$' "done_testing prints the plan"
is "$status" 0 "a test that passes exits 0"

script <<'END'
ok "a" false
is x y "b"
like one two "c"
unlike one on "d"
isnt x x "e"
not_ok "f" true
done_testing
END
is "$(printf '%s\n' "$output" | grep -c '^not ok ')" 6 "every assertion that does not hold prints not ok"
unlike "$output" '^ok ' "assertions that do not hold print no success"

# The harness must judge such a test as failed, too.
driver=$top_srcdir/core/build-aux/tap-driver.sh
if [ -f "$driver" ]; then
    cat >"$scratch/one-fails.t" <<'END'
. "$top_srcdir/t/lib/tap.sh"
pass "good"
fail "bad"
done_testing
END
    (cd "$scratch" && sh "$driver" --test-name one-fails --log-file one.log --trs-file one.trs -- \
        sh "$scratch/one-fails.t" >/dev/null 2>&1)
    like "$(cat "$scratch/one.trs")" '^:global-test-result: FAIL' "the harness calls it failed"
else
    skip 1 "the harness's driver is not beside the source"
fi

script <<'END'
ok "the output of a failing command is shown" sh -c 'echo because of this; exit 3'
done_testing
END
like "$output" 'because of this' "a failing command shows its output"
like "$output" 'status 3' "a failing command shows its status"

script <<'END'
plan 3
pass "only one"
END
isnt "$status" 0 "a test that ends before its plan is done does not exit 0"

script <<'END'
pass "one"
exit 0
END
isnt "$status" 0 "a test that ends without a plan does not exit 0"

script <<'END'
plan 1
pass "one"
pass "two"
done_testing
END
isnt "$status" 0 "more points than planned do not exit 0"

script <<'END'
pass "one"
skip 2 "not here"
done_testing
END
is "$(printf '%s\n' "$output" | grep -c '# SKIP not here')" 2 "skip stands for its points, with the reason"
like "$output" '^1\.\.3$' "skipped points count in the plan"

script <<'END'
need no-such-program-as-this
pass "not reached"
END
like "$output" '^1\.\.0 # SKIP needs the program no-such-program-as-this' "need skips the whole test"
unlike "$output" 'not reached' "nothing runs after skip_all"
is "$status" 0 "a skipped test exits 0"

script <<'END'
pass "text with # SKIP inside"
done_testing
END
unlike "$output" '# SKIP' "a description cannot become a directive"

script <<'END'
echo "$scratch"
stat -c %a "$scratch"
mkdir "$scratch/closed" && touch "$scratch/closed/file" && chmod 0 "$scratch/closed"
done_testing
END
inner=$(printf '%s\n' "$output" | sed -n 1p)
like "$inner" "^$scratch/billet-test" "the scratch directory is below TMPDIR"
is "$(printf '%s\n' "$output" | sed -n 2p)" 700 "the scratch directory is private"
not_ok "the scratch directory is gone afterwards" test -e "$inner"

# A billet of our own making shows what `billet` hands over and leaves.
mkdir "$scratch/build"
cat >"$scratch/build/billet" <<'END'
#!/bin/sh
case $1 in
environment) env ;;
fail) echo out; echo err >&2; exit 42 ;;
input) cat ;;
whoami) id -u ;;
esac
END
chmod 0755 "$scratch/build/billet" "$scratch/build"
saved_program=$billet_program
billet_program=$scratch/build/billet
billet fail
is "$stdout/$stderr/$status" "out/err/42" "billet leaves stdout, stderr and status"
echo word | billet input
is "$(cat "$scratch/stdout")" word "billet passes standard input"
billet environment
like "$stdout" "^HOME=$scratch/home\$" "billet runs with a home of its own"
like "$stdout" "^BILLET_STORE=sqlite:$scratch/state/billet\.db\$" "billet runs with a store of its own"
like "$stdout" "^BILLET_DRIVER_DIR=$top_builddir/\.libs\$" "billet finds the built modules"

unlike "$stdout" '^BILLET_CONFIG=' "billet runs without a configuration file by default"
: >"$scratch/billet.conf"
billet environment
like "$stdout" "^BILLET_CONFIG=$scratch/billet\.conf\$" "a configuration file of the test is used"
rm "$scratch/billet.conf"

BILLET_CONFIG=/somewhere
export BILLET_CONFIG
script <<'END'
is "${BILLET_CONFIG-unset}" unset "x"
done_testing
END
unset BILLET_CONFIG
like "$output" '^ok 1' "variables of the caller's billet are dropped"

if is_root; then
    # A build directory that the user cannot reach is copied for it.
    mkdir -p "$scratch/closed/.libs"
    cat >"$scratch/closed/billet" <<'END'
#!/bin/sh
echo "$(id -u) $BILLET_DRIVER_DIR"
cat "$BILLET_DRIVER_DIR/driver_x.so"
END
    chmod 0755 "$scratch/closed/billet"
    echo module >"$scratch/closed/.libs/driver_x.so"
    open_build=$top_builddir
    top_builddir=$scratch/closed
    script_tmpdir=${TMPDIR:-/tmp}
    script <<'END'
need_user
as_user billet
echo "$stdout"
done_testing
END
    top_builddir=$open_build
    script_tmpdir=
    if printf '%s\n' "$output" | grep -q SKIP; then
        skip 2 "no way to be an ordinary user here"
    else
        like "$output" '^[1-9][0-9]* .*/billet-build\.[^/]*/\.libs$' "a closed build directory is copied for the user"
        like "$output" '^module$' "with its modules"
    fi
fi

if user_ready; then
    # The program above is in a private directory: copy it to where the user can read.
    cp "$scratch/build/billet" "$user_scratch/program"
    chmod 0755 "$user_scratch/program"
    billet_program=$user_scratch/program
    as_user billet whoami
    isnt "$stdout" 0 "as_user billet is not root"
    as_user billet environment
    like "$stdout" "^HOME=$user_scratch/home\$" "as_user billet has the user's home"
    # shellcheck disable=SC2016
    ok "the user owns its directory" as_user sh -c 'touch "$1/home/x" && rm "$1/home/x"' sh "$user_scratch"
    if is_root; then
        not_ok "the user cannot look into root's scratch directory" as_user ls "$scratch"
    else
        skip 1 "the tests run as one user"
    fi
else
    skip 4 "$tap_reason"
fi
billet_program=$saved_program

# Leftovers: each assertion must find a planted one.
is "$(left_processes)" "" "no process is left at the start"
env PLANTED="$scratch/" sleep 60 &
planted=$!
sleep 0.1
like "$(left_processes)" "^$planted " "a process of this test is found by its environment"
kill "$planted"
wait "$planted" 2>/dev/null
is "$(left_processes)" "" "a process that has ended is not"
is "$(left_mounts)" "" "no mount is left at the start"
if is_root && mkdir "$scratch/mount" && mount -t tmpfs none "$scratch/mount" 2>/dev/null; then
    like "$(left_mounts)" "$scratch/mount" "a mount below the scratch directory is found"
    umount "$scratch/mount"
else
    skip 1 "mounting needs root in this mount namespace"
fi
# A store whose billet tells of a live lease.
: >"$scratch/state/billet.db"
cat >"$scratch/build/billet" <<'END'
#!/bin/sh
echo '{"format_version":"1.0","leases":[{"id":"01890000-0000-7000-8000-000000000001","state":"active"},'
echo '{"id":"01890000-0000-7000-8000-000000000002","state":"released"}]}'
END
billet_program=$scratch/build/billet
is "$(left_leases | grep -c .)" 1 "a live lease is found, a released one is not"
env BILLET_LEASE_ID=01890000-0000-7000-8000-000000000002 sleep 60 &
planted=$!
sleep 0.1
like "$(left_processes)" "^$planted " "a process of a released lease is found by its id"
kill "$planted"
wait "$planted" 2>/dev/null
printf '#!/bin/sh\nexit 125\n' >"$scratch/build/billet"
isnt "$(left_leases)" "" "a store that cannot be read is not taken for an empty one"
rm "$scratch/state/billet.db"
if is_root && user_ready; then
    as_user touch "$user_scratch/state/billet.db"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "\\"state\\":\\"retained\\" $(id -u)"\n' >"$user_scratch/program"
    chmod 0755 "$user_scratch/program"
    billet_program=$user_scratch/program
    is "$(left_leases)" "\"state\":\"retained\" $tap_uid" "the user's store is read as the user"
    rm "$user_scratch/state/billet.db"
fi
billet_program=$saved_program

# Totals
cat >"$scratch/summary" <<'END'
# TOTAL: 9
# PASS:  3
# SKIP:  2
# XFAIL: 1
# FAIL:  1
# XPASS: 1
# ERROR: 1
END
. "$top_srcdir/t/lib/totals.sh"
is "$(totals "$scratch/summary")" "4 passed, 3 failed, 2 skipped" "totals count errors as failed"
not_ok "totals fail when something failed" totals "$scratch/summary"
printf '# TOTAL: 2\n# PASS:  2\n# SKIP:  0\n# XFAIL: 0\n# FAIL:  0\n# XPASS: 0\n# ERROR: 0\n' >"$scratch/good"
is "$(totals "$scratch/good" "$scratch/good")" "4 passed, 0 failed, 0 skipped" "totals are summed"
ok "totals succeed when nothing failed" totals "$scratch/good"
: >"$scratch/nothing"
not_ok "a run without any test is a failure" totals "$scratch/nothing"

done_testing
