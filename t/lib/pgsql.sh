# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
# (SC2034: the test reads what is set here; SC2154: tap.sh sets it)
# pgsql.sh - a PostgreSQL server of a test's own, on a UNIX socket in a directory of its own, as an
# ordinary user. After tap.sh. It ends with the test, whose EXIT trap it takes over.

pgsql_directory=

pgsql_exit() {
    pgsql_status=$?
    trap - EXIT
    if [ -n "$pgsql_directory" ]; then
        pgsql_as_server "$pgsql_programs/pg_ctl" -D "$pgsql_directory/data" -m immediate stop \
            >/dev/null 2>&1
        rm -rf -- "$pgsql_directory"
    fi
    # Not by a trap: a shell that is in one runs no other.
    (exit "$pgsql_status")
    tap_exit
}

# The server refuses to run as root. It carries no path of the test in its environment.
pgsql_as_server() {
    (
        cd "$pgsql_directory" || exit 1
        if is_root; then
            env -i PATH=/usr/bin:/bin LC_ALL=C setpriv --reuid="$pgsql_uid" --regid="$pgsql_gid" \
                --clear-groups -- "$@"
        else
            env -i PATH=/usr/bin:/bin LC_ALL=C "$@"
        fi
    )
}

# need_pgsql: start the server, or skip the whole test with the reason. Sets $pgsql_directory, which
# is the socket's. Its superuser is "owner"; everybody on the socket is believed.
need_pgsql() {
    [ -f "$BILLET_STORE_DIR/store_pgsql.so" ] || skip_all "needs the PostgreSQL store, which is not built"
    need psql
    pgsql_programs=
    for pgsql_try in /usr/lib/postgresql/*/bin /usr/libexec/postgresql* /usr/pgsql-*/bin \
        /usr/local/bin /usr/bin; do
        if [ -x "$pgsql_try/initdb" ] && [ -x "$pgsql_try/pg_ctl" ] && [ -x "$pgsql_try/postgres" ]; then
            pgsql_programs=$pgsql_try
            break
        fi
    done
    [ -n "$pgsql_programs" ] || skip_all "needs initdb of PostgreSQL"
    if is_root; then
        need setpriv
        pgsql_user=postgres
        id "$pgsql_user" >/dev/null 2>&1 || pgsql_user=nobody
        pgsql_uid=$(id -u "$pgsql_user")
        pgsql_gid=$(id -g "$pgsql_user")
    fi
    pgsql_directory=$(mktemp -d /tmp/billet-pg.XXXXXX) || skip_all "needs a directory in /tmp"
    trap pgsql_exit EXIT
    chmod 0755 "$pgsql_directory"
    ! is_root || chown "$pgsql_uid:$pgsql_gid" "$pgsql_directory"
    if ! pgsql_as_server "$pgsql_programs/initdb" -D data -A trust -U owner -E UTF8 --locale=C \
        --no-sync >"$scratch/pgsql.log" 2>&1 ||
        ! pgsql_as_server "$pgsql_programs/pg_ctl" -D data -w -t 60 -l log -o \
            "-k $pgsql_directory -c listen_addresses= -c shared_buffers=32MB" start \
            >>"$scratch/pgsql.log" 2>&1; then
        diag "$(tail -n 5 "$scratch/pgsql.log")"
        skip_all "the PostgreSQL server did not start"
    fi
}

# pgsql DATABASE SQL: run it as the owner.
pgsql() {
    psql -qAtX -h "$pgsql_directory" -U owner -d "$1" -v ON_ERROR_STOP=1 -c "$2"
}

# pgsql_url DATABASE ROLE
pgsql_url() {
    printf 'postgresql://%s@/%s?host=%s' "$2" "$1" "$pgsql_directory"
}
