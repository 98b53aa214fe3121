#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The driver in billet-driver(3) compiles against the installed headers, alone, and works.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
need_billet
need mandoc make col
compiler=${CC:-cc}
command -v "$compiler" >/dev/null 2>&1 || compiler=gcc
command -v "$compiler" >/dev/null 2>&1 || skip_all "needs a C compiler"

# As a reader copies it out of the page.
mandoc -T ascii "$top_builddir/man/billet-driver.3" | col -bx |
    awk '/driver_hello\.c - / { inside = 1 } /^ *Built and tried/ { inside = 0 } inside' \
        >"$scratch/driver_hello.c"
isnt "$(wc -l <"$scratch/driver_hello.c" | tr -d ' ')" 0 "the page shows a driver"

# The headers, as installed.
ok "the headers can be installed" make -s -C "$top_builddir" install-billetincludeHEADERS \
    DESTDIR="$scratch/root" includedir=/usr/include MAKEFLAGS= MFLAGS=
headers=$scratch/root/usr/include
ok "the entry of all is installed" test -f "$headers/billet/driver.h"
for standard in gnu17 c99; do
    ok "it compiles as $standard without a warning" "$compiler" -std="$standard" -D_POSIX_C_SOURCE=200809L \
        -Wall -Wextra -Werror -fPIC -I"$headers" -c -o "$scratch/driver_hello.o" "$scratch/driver_hello.c"
done
for header in driver host option types version; do
    printf '#include <billet/%s.h>\n#include <billet/%s.h>\nint nothing;\n' $header $header \
        >"$scratch/alone.c"
    ok "billet/$header.h stands alone" "$compiler" -std=c99 -Wall -Wextra -pedantic -Werror \
        -I"$headers" -fsyntax-only "$scratch/alone.c"
done
ok "it links with nothing of billet" "$compiler" -shared -Wl,-z,defs -o "$scratch/driver_hello.so" \
    "$scratch/driver_hello.o"

set -- --set driver.hello.enabled=yes --set "driver.hello.path=$scratch/driver_hello.so" \
    --set environment.hello.driver=hello
billet driver show hello "$@"
like "$stdout" '^State: +ready$' "billet accepts it"
like "$stdout" '^Provides: +Environments that greet commands\.$' "and reads its table"
billet driver schema hello "$@" --format conf
like "$stdout" '^#greeting = hello$' "its options come out of its table"
billet run "$@" -e hello -- world
is "$status" 0 "a run in its environment succeeds"
like "$stdout" '^hello, world, on lease [0-9a-f-]{36}$' "and its exec was called"
billet run "$@" --set environment.hello.greeting=salve -e hello -- world
like "$stdout" '^salve, world' "its option reaches it"
billet run "$@" --set environment.hello.greting=salve -e hello -- world
is "$status" 125 "an option that it does not have is refused"
like "$stderr" "did you mean 'greeting'" "with the nearest one"
billet run "$@" -e hello -w "$scratch" -- world
like "$stderr" 'unsupported_environment' "a workspace is refused, for it takes none"
nothing_left "the driver of the page"
done_testing
