# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2086
# rotation.sh - billet key rotate, killed at its system calls, while somebody reads secrets. After
# tap.sh and verbs.sh; the store is what store_url says, and is there.

# The readers' account is in files: they run in the background. Each secret in turn, its value compared.
read_for_ever() {
    reads=0
    while [ ! -e "$scratch/enough" ]; do
        for reader_name in s1 s2 s3 s4 s5 s6; do
            if ! isolated "$billet_program" secret show "$reader_name" --to-fd 3 \
                3>"$scratch/read" >/dev/null 2>"$scratch/read.err" ||
                ! cmp -s "$scratch/read" "$scratch/value.$reader_name"; then
                echo "$reader_name: $(cat "$scratch/read.err")" >>"$scratch/failed-reads"
            fi
            reads=$((reads + 1))
        done
    done
    echo "$reads" >"$scratch/reads"
}

# A keyring with one key, and six secrets of two versions under it; those of the keyring before go.
new_keyring() {
    if [ "$keyrings" -gt 0 ]; then
        for name in $secrets; do
            billet secret rm "$name"
            [ "$status" = 0 ] || fail "$name stays: $stderr"
        done
        rm "$tap_base/keyring"
    fi
    keyrings=$((keyrings + 1))
    billet key init
    [ "$status" = 0 ] || fail "no keyring is made: $stderr"
    first=$stdout
    for name in $secrets; do
        printf 'the value of %s, %d' "$name" "$keyrings" >"$scratch/value.$name"
        billet secret set "$name" --from-file "$scratch/value.$name"
        printf 'the second value of %s, %d' "$name" "$keyrings" >"$scratch/value.$name"
        isolated "$billet_program" secret rotate "$name" <"$scratch/value.$name" >/dev/null 2>&1
    done
}

# What holds when nobody reads any more.
end_keyring() {
    : >"$scratch/enough"
    wait "$reader"
    rm "$scratch/enough"
    all_reads=$((all_reads + $(cat "$scratch/reads")))
    billet key list --json
    is "$(grep -c '"state": "active"' "$scratch/stdout")" 1 "keyring $keyrings: one key is active"
    unlike "$(grep -B 3 '"state": "active"' "$scratch/stdout")" "$first" "which is not the first"
    billet secret verify
    is "$stdout" "12 open, 0 do not" "every secret opens"
}

# rotation_crashes POINTS [--every-call]: the calls that change something, or with the option all system
# calls, are numbered, and so many of them, spread evenly, are points; "all": each. A point makes two keys,
# of which a keyring holds 256: after a hundred points another takes its place.
rotation_crashes() {
    crash_at=$top_builddir/t/crash-at
    [ -x "$crash_at" ] || skip_all "needs t/crash-at, which make check builds"
    secrets="s1 s2 s3 s4 s5 s6"
    keyrings=0 all_reads=0
    new_keyring
    tap_run isolated "$crash_at" count ${2:+"$2"} "$billet_program" key rotate
    like "$stdout" '^ended with 0 after [1-9][0-9]*$' "a rotation that nobody disturbs"
    calls=${stdout##* }
    [ "$1" = all ] && step=1 || step=$(((calls + $1 - 1) / $1))
    # Which of them changes from run to run.
    point=$((1 + $$ % step))
    read_for_ever &
    reader=$!
    kills=0 points=0
    while [ "$point" -le "$calls" ]; do
        if [ "$points" -gt 0 ] && [ $((points % 100)) -eq 0 ]; then
            end_keyring
            new_keyring
            read_for_ever &
            reader=$!
        fi
        points=$((points + 1))
        tap_run isolated "$crash_at" "$point" ${2:+"$2"} "$billet_program" key rotate
        killed=$stdout
        case $killed in
        "killed at "*) kills=$((kills + 1)) ;;
        "ended with 0 "*) ;;
        *) fail "the call $point of a rotation: $killed $stderr" ;;
        esac
        billet secret verify
        [ "$stdout" = "12 open, 0 do not" ] || fail "$killed, point $point: $stdout $stderr"
        billet key rotate
        [ "$status" = 0 ] || fail "$killed, point $point: the next rotation fails: $stderr"
        # A key that was only replaced says that the one before was not left half-way.
        billet key list --json
        [ "$(grep -c '"state": "decrypt"' "$scratch/stdout")" = 0 ] || fail "$killed, point $point: it does not complete"
        point=$((point + step))
    done
    end_keyring
    ok "killed at $kills points of $calls" test "$kills" -ge 3
    is "$(head -n 5 "$scratch/failed-reads" 2>/dev/null)" "" "no read failed meanwhile"
    ok "of $all_reads" test "$all_reads" -gt "$kills"
    billet audit verify
    is "$status" 0 "and every read is on record"
}
