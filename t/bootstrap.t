#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bootstrap installs only what is missing, only as root, and says what it would take otherwise.
# Package tools of our own making answer here; nothing of the machine is asked or changed.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"

mkdir "$scratch/bin"
for tool in apt-get dpkg-query id; do
    cat >"$scratch/bin/$tool" <<'END'
#!/bin/sh
case ${0##*/} in
id) echo "$PRETEND_UID" ;;
apt-get) echo "$*" >>"$PRETEND_LOG" && : >"$PRETEND_LOG.installed" ;;
dpkg-query)
    # The last argument is the package.
    for package; do :; done
    if [ "$package" = "$PRETEND_MISSING" ] && [ ! -e "$PRETEND_LOG.installed" ]; then
        exit 1
    fi
    printf installed
    ;;
esac
END
    chmod 0755 "$scratch/bin/$tool"
done

# bootstrap UID MISSING-PACKAGE ARGUMENT...: sets $status, $stdout, $stderr; $asked is what was asked
# of apt-get.
bootstrap() {
    uid=$1
    missing=$2
    shift 2
    rm -f "$scratch/log" "$scratch/log.installed"
    tap_run env -u SKIP_DEPS -u CONFIGURE_FLAGS BUILD_DIRECTORY="$scratch/build" \
        PATH="$scratch/bin:$PATH" PRETEND_UID="$uid" PRETEND_MISSING="$missing" \
        PRETEND_LOG="$scratch/log" sh "$top_srcdir/bootstrap" "$@"
    asked=$(cat "$scratch/log" 2>/dev/null)
}

bootstrap 0 none deps
is "$status/$asked" "0/" "root with everything there: nothing is asked of apt-get"
bootstrap 1000 none deps
is "$status/$asked" "0/" "an ordinary user with everything there: the same"

bootstrap 0 libjansson-dev deps
is "$status" 0 "root with a package missing: it is installed"
is "$(printf '%s\n' "$asked" | sed -n 1p)" "update" "the lists are updated first"
is "$(printf '%s\n' "$asked" | sed -n 2p)" "install -y --no-install-recommends libjansson-dev" \
    "only what is missing is installed"

bootstrap 1000 libjansson-dev deps
isnt "$status" 0 "an ordinary user with a package missing: an error"
is "$asked" "" "nothing is asked of apt-get"
is "$(printf '%s\n' "$stderr" | grep -c .)" 1 "one line says so"
like "$stderr" 'missing packages: libjansson-dev; as root: apt-get install .* libjansson-dev' \
    "the line names the package and the command"

bootstrap 1000 libjansson-dev demo
isnt "$status" 0 "an ordinary user cannot build without what the build needs"
like "$stderr" 'missing packages: libjansson-dev;' "demo names the package, too"

bootstrap 0 none
is "$status" 0 "without arguments: the help"
like "$stdout" '^usage: ' "the help begins with the usage"
bootstrap 0 none no-such-command
is "$status" 2 "an unknown command is refused"
is "$asked" "" "and nothing is asked of apt-get"

done_testing
