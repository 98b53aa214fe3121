#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every example works. In pages a display after the line
#     .\" run     is run: its lines that begin with "$ ", as one script;
#     .\" conf    passes billet config check.
# Examples of --help are run each for itself, in a project with a stored environment and a lease.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
about_words
need_billet
need make

project=$scratch/project
mkdir -p "$scratch/bin" "$project" "$scratch/home/kit"
printf '#!/bin/sh\necho built by the kit\n' >"$scratch/home/kit/build"
chmod 0755 "$scratch/home/kit/build"
printf 'all:\n\t@echo built\ncheck: all\n\t@echo checked\n' >"$project/Makefile"
printf '#!/bin/sh\necho tested\n' >"$project/test.sh"
chmod 0755 "$project/test.sh"
# The tool under its own name, isolated.
cat >"$scratch/bin/billet" <<END
#!/bin/sh
exec env HOME='$scratch/home' XDG_CONFIG_HOME='$scratch/config' XDG_STATE_HOME='$scratch/state' \\
    XDG_RUNTIME_DIR='$scratch/runtime' BILLET_STORE='$(store_url)' NO_COLOR=1 \\
    BILLET_STATE_DIR='$scratch/state' BILLET_RUNTIME_DIR='$scratch/runtime' \\
    BILLET_CONFIG='$scratch/billet.conf' BILLET_KEYRING='$scratch/keyring' BILLET_DRIVER_DIR='$BILLET_DRIVER_DIR' \\
    BILLET_STORE_DIR='$BILLET_STORE_DIR' BILLET_LIBEXEC_DIR='$BILLET_LIBEXEC_DIR' \\
    '$billet_program' "\$@"
END
chmod 0755 "$scratch/bin/billet"
cat >"$scratch/billet.conf" <<'END'
[environment build1]
driver = local
END
# Not the first one, for what carries "=$scratch/" in its environment counts as left behind.
PATH=/nonexistent:$scratch/bin:$PATH
export PATH

# try SCRIPT: run it in the project, as a reader would type it. What it asks for is in
# $scratch/dialogue, when there is one: on a terminal then.
try() {
    status=0
    if [ -s "$scratch/dialogue" ]; then
        (cd "$project" && HOME=$scratch/home timeout 60 "$top_builddir/t/lib/on-terminal" "$scratch/dialogue" /bin/sh -e "$1") \
            </dev/null >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    else
        (cd "$project" && HOME=$scratch/home timeout 60 sh -e "$1") </dev/null >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    fi
}
# tried SCRIPT WANTED NAME: it ended with one of the statuses WANTED.
tried() {
    case " $2 " in
    *" $status "*) pass "$3" ;;
    *)
        fail "$3"
        diag "status $status, not $2, from:"
        diag "$(cat "$1")"
        diag "$(cat "$scratch/stdout" "$scratch/stderr")"
        ;;
    esac
}

sandbox=no
if (cd "$project" && "$scratch/bin/billet" run -e sandbox -w . -- true) \
    >/dev/null 2>&1; then
    sandbox=yes
fi

# ---- pages: one file a display -------------------------------------------------------------------

# displays PAGE MARK: writes them to $scratch/display.1 ..., roff taken off.
displays() {
    rm -f "$scratch"/display.*
    awk -v to="$scratch/display." -v mark="$2" '
        $0 == ".\\\" " mark { marked = 1; next }
        marked && /^\.Bd/ { inside = 1; marked = 0; file = to (++count); next }
        inside && /^\.Ed/ { inside = 0; close(file); next }
        inside { gsub(/\\\(dq/, "\""); gsub(/\\e/, "\\"); gsub(/\\&/, ""); print > file }
        marked && !/^\./ { exit 3 }' "$1"
}

runs=0
configurations=0
for page in "$top_srcdir"/man/*.[1-8] "$top_srcdir"/man/*.in; do
    name=${page##*/}
    ok "$name: each mark stands before a display" displays "$page" run
    for display in "$scratch"/display.*; do
        [ -f "$display" ] || continue
        runs=$((runs + 1))
        sed -n 's/^\$ //p' "$display" >"$scratch/script"
        isnt "$(cat "$scratch/script")" "" "$name: ${display##*.}: there is something to run"
        try "$scratch/script"
        tried "$scratch/script" 0 "$name: ${display##*.}: $(head -1 "$scratch/script") ..."
    done
    displays "$page" conf
    for display in "$scratch"/display.*; do
        [ -f "$display" ] || continue
        configurations=$((configurations + 1))
        if grep -q '^\[driver fake\]' "$display" && [ ! -f "$BILLET_DRIVER_DIR/driver_fake.so" ]; then
            skip 1 "driver fake is not built here"
            continue
        fi
        cp "$display" "$scratch/example.conf"
        "$scratch/bin/billet" config check "$scratch/example.conf" >"$scratch/stdout" 2>&1
        is "$? $(cat "$scratch/stdout")" "0 " "$name: configuration ${display##*.} is without errors"
    done
done
ok "examples of pages were run" test "$runs" -gt 10
ok "examples of billet.conf(5) were checked" test "$configurations" -gt 2
# A wrong one is seen.
printf '.\\" run\n.Bd -literal\n$ billet lease show nosuch\n.Ed\n' >"$scratch/wrong.1"
displays "$scratch/wrong.1" run
sed -n 's/^\$ //p' "$scratch/display.1" >"$scratch/script"
try "$scratch/script"
isnt "$status" 0 "an example that does not work is seen"

# ---- --help --------------------------------------------------------------------------------------

printf '[environment tests]\ndriver = local\n' >"$project/tests.conf"
printf '[environment build2]\ndriver = local\n' >"$project/build1.conf"
tool=$scratch/bin/billet
# quietly COMMAND...: what is made for an example.
quietly() {
    (cd "$project" && "$@") </dev/null >"$scratch/prepared" 2>&1 || diag "$* fails: $(cat "$scratch/prepared")"
}
# a_secret NAME: one of that name, in two versions.
a_secret() {
    quietly "$tool" secret set "$1" --from-file key.pem
    quietly "$tool" secret rotate "$1" --from-file key.pem
}
# answers LINE...: to what is asked for.
answers() {
    printf '%s\n' "$@" >"$scratch/dialogue"
}
# a_passphrase: that one is chosen on the terminal.
a_passphrase() {
    answers 'expect passphrase' 'send four words of it' 'expect again' 'send four words of it'
}

# What the examples speak of: a lease, the environment tests (but where they make it), a keyring,
# secrets.
prepare() {
    find "$scratch/state" "$safe" -mindepth 1 -delete
    rm -f "$scratch/keyring" "$scratch/dialogue"
    case $1 in
    *"env create"*) printf '' >"$scratch/billet.conf" ;;
    *)
        printf '[environment build1]\ndriver = local\n' >"$scratch/billet.conf"
        quietly "$tool" env create tests --driver local --option env.CI=yes
        ;;
    esac
    case $1 in
    *"env trust"*)
        printf '[driver fake]\nenabled = yes\n[environment build1]\ndriver = fake\ndirectory = %s\n' "$safe" \
            >"$scratch/billet.conf"
        case $1 in
        *--yes*) ;;
        *--remove*) quietly "$tool" env trust build1 --yes ;;
        *) answers 'expect [y/N]' 'send y' ;;
        esac
        ;;
    esac
    case $1 in
    *"key init"*) ;;
    *"billet vault "*)
        quietly "$tool" key init
        printf '[vault corp]\ntype = hashicorp\naddress = http://127.0.0.1:%s\ntoken = @file:%s\n' \
            "$(cat "$scratch/port")" "$safe/token" >>"$scratch/billet.conf"
        printf t-root >"$safe/token" && chmod 0400 "$safe/token"
        printf '[vault cloud]\ntype = aws\nregion = eu-test-1\naddress = http://127.0.0.1:%s\n' \
            "$(cat "$scratch/aws-port")" >>"$scratch/billet.conf"
        printf 'access_key_id = AKIDROOT\nsecret_access_key = @file:%s\n' "$safe/aws" >>"$scratch/billet.conf"
        printf root/Secret+Key >"$safe/aws" && chmod 0400 "$safe/aws"
        ;;
    *"billet key "* | *"billet secret "* | *"billet audit "*) quietly "$tool" key init ;;
    esac
    case $1 in
    *"vault put"*key.pem) ;;
    *"vault put"*) answers 'expect value' 'send s3cret' 'expect again' 'send s3cret' ;;
    *"vault promote"*)
        echo new >"$safe/new"
        quietly "$tool" vault put --pending cloud team/key --from-file "$safe/new"
        ;;
    *"vault rollback"*)
        echo new >"$safe/new"
        quietly "$tool" vault put cloud team/key --from-file "$safe/new"
        ;;
    esac
    case $1 in
    *"key init --passphrase"* | *"key export"*) a_passphrase ;;
    *"key import"*)
        a_passphrase
        printf '%s\n' "$tool key export $safe/billet-keyring" >"$scratch/script"
        try "$scratch/script"
        answers 'expect passphrase' 'send four words of it'
        ;;
    *"key init"* | *"secret set"*key.pem) ;;
    *"secret set"*) answers 'expect value' 'send s3cret' 'expect again' 'send s3cret' ;;
    *"secret rotate"*)
        a_secret api-token
        answers 'expect value' 'send s3cret' 'expect again' 'send s3cret'
        ;;
    *"billet secret "* | *"billet audit "* | *"billet key "*)
        for secret in api-token old-token build1-key; do
            a_secret "$secret"
        done
        ;;
    esac
    lease=
    case $1 in
    *push*0193c1f0* | *pull*0193c1f0*)
        lease=$(cd "$project" && "$tool" lease acquire -e sandbox -w . --workspace-mode copy)
        ;;
    *0193c1f0*) lease=$(cd "$project" && "$tool" lease acquire -e local) ;;
    esac
}
safe=$scratch/safe
mkdir "$safe"
echo key >"$project/key.pem"

"$top_builddir/t/vault/fake-vault" "$scratch/port" "$scratch/vault-log" 'secret:team/key={"value":"s3cret"}' >/dev/null 2>&1 &
vault=$!
"$top_builddir/t/vault/fake-aws" "$scratch/aws-port" "$scratch/aws-log" 'team/key=s3cret' >/dev/null 2>&1 &
cloud=$!
tries=100
while { [ ! -s "$scratch/port" ] || [ ! -s "$scratch/aws-port" ]; } && [ "$tries" -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done

billet --help
printf '%s\n' "$stdout" | sed -n 's/^  \([a-z]\{2,\}\( [a-z]\{1,\}\)\{0,1\}\)  .*/\1/p' >"$scratch/verbs"
{
    awk '/^Examples:$/ { inside = 1; next } inside && /^  /' "$scratch/stdout"
    while read -r verb; do
        # shellcheck disable=SC2086 # two words are meant
        isolated "$billet_program" $verb --help |
            awk '/^Examples:$/ { inside = 1; next } inside && /^  /'
    done <"$scratch/verbs"
} | sed 's/^  //' | sort -u >"$scratch/examples"
isnt "$(wc -l <"$scratch/examples" | tr -d ' ')" 0 "there are examples"
while read -r example; do
    case $example in
    *-it* | *--interactive* | *"billet shell"*)
        skip 1 "needs a terminal: $example"
        continue
        ;;
    *postgresql:*)
        skip 1 "needs a PostgreSQL server: $example"
        continue
        ;;
    *"billet vault "*)
        if [ ! -f "$BILLET_STORE_DIR/vault_hashicorp.so" ] || [ ! -f "$BILLET_STORE_DIR/vault_aws.so" ]; then
            skip 1 "billet was built without libcurl: $example"
            continue
        fi
        ;;
    *"env trust"*)
        if [ ! -f "$BILLET_DRIVER_DIR/driver_fake.so" ]; then
            skip 1 "driver fake is not built here: $example"
            continue
        fi
        ;;
    *sandbox* | *" push "* | *" pull "*)
        if [ "$sandbox" = no ]; then
            skip 1 "there is no sandbox for this user here: $example"
            continue
        fi
        ;;
    esac
    prepare "$example"
    printf '%s\n' "$example" |
        sed -e "s/0193c1f0/$lease/" -e "s|/etc/billet/billet.conf|$scratch/billet.conf|" \
            -e "s|/mnt/safe|$safe|" \
            -e "s/memory_max=[^ ]*/timeout=10m/" >"$scratch/script"
    try "$scratch/script"
    case $example in
    # What they look at is this machine's: findings are an answer, too.
    *doctor* | *probe*) tried "$scratch/script" "0 1" "$example" ;;
    *) tried "$scratch/script" 0 "$example" ;;
    esac
    for held in $("$scratch/bin/billet" lease list --json | sed -n 's/.*"id": "\(.*\)".*/\1/p'); do
        "$scratch/bin/billet" lease destroy "$held" 2>/dev/null
    done
done <"$scratch/examples"
kill "$vault" "$cloud" && wait "$vault" "$cloud" 2>/dev/null
nothing_left "the examples"
done_testing
