#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest of 64-bit ARM, built by a cross compiler and run in qemu-user, keeps the same rules as the
# one of this machine: make check-guest-aarch64. Not part of make check: it takes half a minute.
# GUEST_CC_AARCH64: the compiler; GUEST_SOURCES: what the guest is made of.
. "${top_srcdir:?run it with make check-guest-aarch64}/t/lib/tap.sh"
compiler=${GUEST_CC_AARCH64:-aarch64-linux-gnu-gcc}
need "$compiler"
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
    skip_all "needs qemu-user (Debian qemu-user-static)"
: "${GUEST_SOURCES:?}"

cd "$top_srcdir" || exit 1
# build PROGRAM OPTION...
build() {
    program=$1
    shift
    # shellcheck disable=SC2086 # words
    "$compiler" -std=gnu17 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -Icore/guest/sodium -Iinclude -Icore \
        -DGUEST_VERSION='"0"' "$@" -static -s -o "$program" $GUEST_SOURCES
}
ok "it builds without a warning" build "$scratch/guest" -DGUEST_TEST_SUBREAPER_IS_SET
cat >"$scratch/run" <<END
#!/bin/sh
exec "$qemu" "$scratch/guest" "\$@"
END
chmod +x "$scratch/run"
is "$("$scratch/run" 2>&1 | head -n 1 | cut -d ' ' -f 1)" "usage:" "it runs, and says how it is used"
T_GUEST=$scratch/run CK_VERBOSITY=silent timeout 240 "$top_builddir/t/unit/guest_serve" >"$scratch/points"
points=$(grep -c '^ok' "$scratch/points")
isnt "$points" 0 "the rules are tried ($points points)"
is "$(grep '^not ok' "$scratch/points")" "" "and kept, each of them"
is "$(grep -c . "$scratch/points")" "$((points + 1))" "to the last one"
done_testing
