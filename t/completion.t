#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The completion files ask billet and offer what it says. First a billet of our
# own making answers, then the real one.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
about_words
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
# ---- the real billet -------------------------------------------------------------------------------
if [ ! -x "$billet_program" ]; then
    skip 1 "needs the built program $billet_program"
    done_testing
fi

# offers WORD...: what billet complete prints, names only, sorted and joined.
offers() {
    isolated "$billet_program" complete -- "$@" 2>"$scratch/complaint" | sed 's/	.*//' | sort | tr '\n' ' '
}
# described NAME WORD...: the description that it prints for NAME.
described() {
    wanted=$1
    shift
    isolated "$billet_program" complete -- "$@" | sed -n "s/^$wanted	//p"
}

billet --help
printf '%s\n' "$stdout" | sed -n 's/^  \([a-z]\{2,\}\( [a-z]\{1,\}\)\{0,1\}\)  .*/\1/p' >"$scratch/verbs"
is "$(offers '')" "$(sed 's/ .*//' "$scratch/verbs" | { cat && echo help; } | sort -u | tr '\n' ' ')" \
    "the first word is a verb"
for group in driver env lease config db; do
    is "$(offers "$group" '')" "$(sed -n "s/^$group //p" "$scratch/verbs" | sort | tr '\n' ' ')" \
        "$group: its verbs"
done
unlike "$stdout" '^  complete' "billet complete is not in the help"
while read -r verb; do
    # shellcheck disable=SC2086 # two words are meant
    is "$(offers $verb --)" "$(isolated "$billet_program" $verb --help |
        sed -n 's/^  \(-[a-zA-Z],\|   \) \(--[a-z-]*\).*/\2/p' | sort | tr '\n' ' ')" \
        "$verb: its options are those of its help"
done <"$scratch/verbs"

# Before there is a store.
is "$(offers run -e '')" "local sandbox " "environments that are built in"
is "$(offers exec '')" "" "no leases where there is no store"
is "$(offers env delete '')" "" "nothing to delete"
not_ok "and none was made" test -e "$scratch/state/billet.db"
is "$(offers nosuch '')$(offers env nosuch '')$(offers)" "" "nothing for what is no verb"
is "$(cat "$scratch/complaint")" "" "and no complaint"
printf '[store]\nurl = nonsense\nnosuch\n' >"$scratch/billet.conf"
is "$(offers exec '')" "" "a broken configuration offers nothing"
is "$(cat "$scratch/complaint")" "" "and no complaint"
isolated "$billet_program" complete -- exec '' 2>/dev/null
is "$?" 0 "and it is no failure"
rm "$scratch/billet.conf"

# Live names.
billet env create tests --driver local --description 'for tests' --option env.CI=yes
billet lease acquire -e local
lease=$stdout
is "$(offers run -e '')" "local sandbox tests " "environments of the store"
is "$(described tests run --environment '')" "for tests" "with their descriptions"
is "$(offers env edit '')" "tests " "only what is in the store can be edited"
is "$(offers env drain '')$(offers env undrain '')" "local sandbox tests local sandbox tests " \
    "any environment can be drained"
for verb in exec shell 'lease show' 'lease release' 'lease destroy'; do
    # shellcheck disable=SC2086 # two words are meant
    is "$(offers $verb '')" "$lease " "$verb: the live lease"
done
like "$(described "$lease" exec '')" '^retained local' "with state and environment"
is "$(offers lease release "$lease" '')" "" "not once more"
billet lease release "$lease"
is "$(offers lease release '')" "" "not when it has ended"
is "$(offers lease show '')" "$lease " "but it can be shown"
like " $(offers driver show '')" ' local ' "drivers"
is "$(described local driver show '')" ready "with their states"
is "$(offers env edit tests --unset '')" "env.CI " "settings that can be taken back"
like "$(offers env edit tests --option '')" 'pids_max= .*timeout= ' "keys of core and of the driver"
like "$(offers env create new --driver local --option '')" 'pids_max= ' "keys of the driver that is named"
is "$(offers env create new --driver local --option workspace=)" \
    "workspace=bind workspace=copy workspace=in_place workspace=overlay " "words of a choice behind a key"
is "$(offers env create new --option reuse=)" "reuse=no reuse=yes " "yes and no behind a key"
is "$(offers env create new --option reuse =)$(offers env create new --option reuse = y)" "no yes no yes " \
    "also where bash parts words at the equals sign"
is "$(offers driver schema local --format=)" "--format=conf --format=json-schema --format=man " \
    "words of an option behind an equals sign"
is "$(offers driver schema local --format = '')" "conf json-schema man " "parted by bash"
is "$(offers env edit tests --status '')" "active archived drained " "statuses"
is "$(offers run --workspace-mode '')" "bind copy in_place overlay " "workspace modes"
like " $(offers config show --set '')" ' billet\.lease_ttl= .*store\.url= ' "settings"
is "$(offers run -it -e '')" "local sandbox tests " "letters may be joined"

# What the shell itself completes.
is "$(offers run -w '')" ":directories " "a workspace is a directory"
is "$(offers env probe --draft '')$(offers config check '')" ":files :files " "a draft is a file"
is "$(offers run -- '')$(offers run '')$(offers run -e local -- make '')" ":command 2 :command 1 :command 4 " \
    "run: a command line of its own"
is "$(offers exec "$lease" -- '')$(offers exec -n "$lease" -- ls '')" ":command 3 :command 4 " \
    "exec: a command line of its own after the lease"

# Through bash itself.
cat >"$scratch/bin/billet" <<END
#!/bin/sh
exec env HOME='$scratch/home' XDG_CONFIG_HOME='$scratch/config' XDG_STATE_HOME='$scratch/state' \\
    BILLET_STATE_DIR='$scratch/state' BILLET_RUNTIME_DIR='$scratch/runtime' \\
    BILLET_STORE='$(store_url)' BILLET_DRIVER_DIR='$BILLET_DRIVER_DIR' \\
    BILLET_STORE_DIR='$BILLET_STORE_DIR' BILLET_LIBEXEC_DIR='$BILLET_LIBEXEC_DIR' '$billet_program' "\$@"
END
is "$(candidates '' run -e t)" "tests " "bash offers a live name"
is "$(candidates '' driver schema local --format = c)" "conf " "bash offers a word behind an equals sign"
is "$(candidates '' driver schema local --format =)" "conf json-schema man " "right behind it, too"
done_testing
