#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The completion files ask billet and offer what it says. A billet of our own making answers here.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
need bash
completion=$top_srcdir/core/cli/completion

mkdir "$scratch/bin" "$scratch/here" "$scratch/here/sub"
touch "$scratch/here/some-file"
cat >"$scratch/bin/billet" <<'END'
#!/bin/sh
printf '%s|' "$@" >>"$ANSWERS.asked"
cat "$ANSWERS"
END
chmod 0755 "$scratch/bin/billet"

# candidates ANSWER WORD...: what bash offers for the last word when billet prints ANSWER.
candidates() {
    printf '%b' "$1" >"$scratch/answers"
    : >"$scratch/answers.asked"
    shift
    # shellcheck disable=SC2016
    (cd "$scratch/here" && PATH=$scratch/bin:$PATH ANSWERS=$scratch/answers \
        bash --norc -c '
            compopt() { :; }
            source "$1"; shift
            COMP_WORDS=(billet "$@")
            COMP_CWORD=$#
            _billet
            printf "%s\n" "${COMPREPLY[@]}"' bash "$completion/billet.bash" "$@") 2>&1 | sort | tr '\n' ' '
}

ok "bash accepts the file" bash -n "$completion/billet.bash"
is "$(candidates 'local\tthis machine\nsandbox\tconfined\n' run -e '')" "local sandbox " \
    "bash offers names without their descriptions"
is "$(cat "$scratch/answers.asked")" "complete|--|run|-e||" "billet is asked with the words up to the cursor"
is "$(candidates 'local\nsandbox\n' run -e sa)" "sandbox " "bash offers only what begins with the word"
is "$(candidates ':directories\n' run -w '')" "sub " "bash offers directories"
is "$(candidates ':files\n' env probe --draft '')" "some-file sub " "bash offers files"
like "$(candidates ':command 2\n' run -- printen)" printenv "bash offers commands after --"
is "$(candidates '' run '')" " " "a billet that says nothing offers nothing"

if command -v zsh >/dev/null 2>&1; then
    ok "zsh accepts the file" zsh -n "$completion/_billet"
else
    skip 1 "needs the program zsh"
fi
# offered ANSWER LINE: what fish offers at the end of the line.
offered() {
    printf '%b' "$1" >"$scratch/answers"
    (cd "$scratch/here" && HOME=$scratch/home XDG_CONFIG_HOME=$scratch/config \
        PATH=$scratch/bin:$PATH ANSWERS=$scratch/answers fish --no-config \
        -c "source '$completion/billet.fish'; complete -C '$2'") 2>&1 | tr '\t\n' '= '
}
if command -v fish >/dev/null 2>&1; then
    ok "fish accepts the file" fish --no-execute "$completion/billet.fish"
    is "$(offered 'local\tthis machine\nsandbox\tconfined\n' 'billet run -e ')" \
        "local=this machine sandbox=confined " "fish offers names with their descriptions"
    like "$(offered ':directories\n' 'billet run -w ')" '^sub/=[^ ]* $' "fish offers directories"
    like "$(offered ':command 2\n' 'billet run -- printen')" '^printenv' "fish offers commands after --"
else
    skip 4 "needs the program fish"
fi
done_testing
