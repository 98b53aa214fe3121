dnl SPDX-License-Identifier: Apache-2.0
dnl What configure decides for billet: compiler, libraries, which drivers and stores are built.
dnl Problems are collected in billet_problems and reported together by BILLET_PROBLEMS.

AC_DEFUN([BILLET_PROBLEM], [billet_problems="$billet_problems
  $1"])

dnl ---- compiler flags and sanitizers -------------------------------------
AC_DEFUN([BILLET_COMPILER], [
AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@],
  [build with -fsanitize=LIST (address,undefined when no list is given)])],
  [], [enable_sanitizers=no])
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [stop at compiler warnings (for CI)])],
  [], [enable_werror=no])
AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage], [build for gcov])],
  [], [enable_coverage=no])

WARNING_CFLAGS="-Wall -Wextra -Wshadow -Wvla -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wno-sign-conversion -Wno-missing-field-initializers"
AS_IF([test "x$enable_werror" = xyes], [WARNING_CFLAGS="$WARNING_CFLAGS -Werror"])
SANITIZER_FLAGS=
AS_CASE([$enable_sanitizers],
  [no], [],
  [yes], [SANITIZER_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"],
  [SANITIZER_FLAGS="-fsanitize=$enable_sanitizers -fno-omit-frame-pointer"])
AS_IF([test "x$enable_coverage" = xyes], [SANITIZER_FLAGS="$SANITIZER_FLAGS --coverage -DBILLET_COVERAGE"])
AC_SUBST([WARNING_CFLAGS])
AC_SUBST([SANITIZER_FLAGS])
AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" != xno])
AM_CONDITIONAL([COVERAGE], [test "x$enable_coverage" = xyes])

AC_MSG_CHECKING([whether $CC takes -std=gnu17])
billet_saved_cflags=$CFLAGS
CFLAGS="$CFLAGS -std=gnu17"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
  [AC_MSG_RESULT([yes])],
  [AC_MSG_RESULT([no]); BILLET_PROBLEM([the compiler $CC does not know -std=gnu17 (needs gcc 8 or clang 6)])])
CFLAGS=$billet_saved_cflags

dnl A sanitizer's runtime is undefined in a module until the program brings it (clang).
DEFS_LDFLAGS="-Wl,-z,defs"
AS_IF([test "x$enable_sanitizers" != xno], [DEFS_LDFLAGS=])
AC_SUBST([DEFS_LDFLAGS])

dnl A static program runs in any root file system; without a static libc it is linked the usual way.
AC_CACHE_CHECK([whether a program can be linked with -static], [billet_cv_static], [
  billet_saved_ldflags=$LDFLAGS
  LDFLAGS="$LDFLAGS -static"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([#include <stdio.h>], [puts("x");])],
    [billet_cv_static=yes], [billet_cv_static=no])
  LDFLAGS=$billet_saved_ldflags])
STATIC_LDFLAGS=
AS_IF([test "x$billet_cv_static$enable_sanitizers$enable_coverage" = xyesnono], [STATIC_LDFLAGS="-all-static"])
AC_SUBST([STATIC_LDFLAGS])

dnl A static program of musl starts in two thirds of the time that one of glibc needs, and a sandbox
dnl waits for its process 1. A libc that is musl's already has nothing to gain.
AC_ARG_WITH([init-cc], [AS_HELP_STRING([--with-init-cc=CC],
  [compile billet-sandbox-init with this compiler (default: musl-gcc where there is one, else CC)])],
  [], [with_init_cc=auto])
INIT_CC=
AS_CASE([$with_init_cc],
  [no], [],
  [yes], [INIT_CC=musl-gcc],
  [auto], [AS_IF([test "x$enable_sanitizers$enable_coverage$cross_compiling" = xnonono],
    [AC_CHECK_PROGS([INIT_CC], [musl-gcc])])],
  [INIT_CC=$with_init_cc])
AS_IF([test "x$INIT_CC" != x], [
  AC_MSG_CHECKING([whether $INIT_CC builds static programs])
  echo 'int main(void) { return 0; }' >conftest.c
  AS_IF([$INIT_CC $CFLAGS -std=gnu17 $LDFLAGS -static -o conftest.init conftest.c 2>&AS_MESSAGE_LOG_FD],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AS_IF([test "x$with_init_cc" != xauto],
       [BILLET_PROBLEM([--with-init-cc: $INIT_CC does not build static programs (Debian musl-tools, Fedora musl-gcc)])])
     INIT_CC=])
  rm -f conftest.c conftest.init])
AC_SUBST([INIT_CC])
AM_CONDITIONAL([OWN_INIT_CC], [test "x$INIT_CC" != x])

dnl billet-guest for hosts of another architecture than this one.
AC_ARG_WITH([guest-cc-aarch64], [AS_HELP_STRING([--with-guest-cc-aarch64=CC],
  [also build billet-guest for 64-bit ARM, with this compiler (Debian aarch64-linux-gnu-gcc)])],
  [], [with_guest_cc_aarch64=no])
GUEST_CC_AARCH64=
AS_CASE([$with_guest_cc_aarch64],
  [no], [],
  [yes], [GUEST_CC_AARCH64=aarch64-linux-gnu-gcc],
  [GUEST_CC_AARCH64=$with_guest_cc_aarch64])
AS_IF([test "x$GUEST_CC_AARCH64" != x], [
  AS_IF([test "x$host_cpu" = xaarch64],
    [BILLET_PROBLEM([--with-guest-cc-aarch64: this host is aarch64 itself])],
    [echo 'int main(void) { return 0; }' >conftest.c
     AS_IF([$GUEST_CC_AARCH64 -static -o conftest.guest conftest.c 2>&AS_MESSAGE_LOG_FD], [],
       [BILLET_PROBLEM([--with-guest-cc-aarch64: $GUEST_CC_AARCH64 does not build static programs (Debian gcc-aarch64-linux-gnu and libc6-dev-arm64-cross)])])
     rm -f conftest.c conftest.guest])])
AC_SUBST([GUEST_CC_AARCH64])
AM_CONDITIONAL([GUEST_AARCH64], [test "x$GUEST_CC_AARCH64" != x])
])

dnl ---- libraries ----------------------------------------------------------
AC_DEFUN([BILLET_LIBRARIES], [
PKG_CHECK_MODULES([JANSSON], [jansson >= 2.12], [],
  [BILLET_PROBLEM([jansson >= 2.12 is not there (Debian libjansson-dev, Fedora jansson-devel, Alpine jansson-dev)])])
PKG_CHECK_MODULES([SODIUM], [libsodium >= 1.0.18], [],
  [BILLET_PROBLEM([libsodium >= 1.0.18 is not there (Debian libsodium-dev, Fedora libsodium-devel, Alpine libsodium-dev)])])
PKG_CHECK_MODULES([SQLITE], [sqlite3 >= 3.37], [have_sqlite=yes], [have_sqlite=no])
PKG_CHECK_MODULES([PGSQL], [libpq >= 12], [have_pgsql=yes], [have_pgsql=no])
AM_CONDITIONAL([CROSS_COMPILING], [test "x$cross_compiling" = xyes])
PKG_CHECK_MODULES([CURL], [libcurl >= 7.85], [have_curl=yes], [have_curl=no])
PKG_CHECK_MODULES([SECCOMP], [libseccomp >= 2.5.0], [have_seccomp=yes], [have_seccomp=no])
PKG_CHECK_MODULES([CHECK], [check >= 0.15], [have_check=yes], [have_check=no])
AM_CONDITIONAL([HAVE_CHECK], [test "x$have_check" = xyes])
AC_SEARCH_LIBS([dlopen], [dl], [], [BILLET_PROBLEM([this libc has no dlopen])])
])

dnl BILLET_CHOOSE(WHAT, SPEC, KNOWN, VARIABLE): turn auto|all|none|LIST|-NAME into VARIABLE_want_NAME =
dnl yes (must), auto (when it can), no.
AC_DEFUN([BILLET_CHOOSE], [
billet_spec="$2"
test "x$billet_spec" = xyes && billet_spec=all
test "x$billet_spec" = xno && billet_spec=none
test "x$billet_spec" = x && BILLET_PROBLEM([--with-$1= needs a value: auto, all, none or a list of: $3])
for billet_name in $3; do eval "$4_want_$billet_name=no"; done
billet_first=yes
for billet_item in `echo "$billet_spec" | tr ',' ' '`; do
  AS_CASE([$billet_item],
    [auto|all|none], [
      AS_IF([test $billet_first = no],
        [BILLET_PROBLEM([--with-$1=$2: '$billet_item' must come first])])
      AS_CASE([$billet_item],
        [auto], [for billet_name in $3; do eval "$4_want_$billet_name=auto"; done],
        [all], [for billet_name in $3; do eval "$4_want_$billet_name=yes"; done])],
    [
      billet_value=yes
      AS_CASE([$billet_item], [-*], [
        billet_value=no
        billet_item=`echo "$billet_item" | sed 's/^-//'`
        AS_IF([test $billet_first = yes], [for billet_name in $3; do eval "$4_want_$billet_name=auto"; done])])
      AS_CASE([" $3 "],
        [*" $billet_item "*], [eval "$4_want_$billet_item=$billet_value"],
        [BILLET_PROBLEM([--with-$1=$2: unknown name '$billet_item'; known: $3])])])
  billet_first=no
done
])

dnl BILLET_PART(KIND, NAME, CONDITIONAL, HAVE, NEED)
AC_DEFUN([BILLET_PART], [
eval "billet_want=\$$1_want_$2"
$1_build_$2=no
AS_CASE([$billet_want],
  [no], [$1_reason_$2="not asked for"],
  [AS_IF([$4], [$1_build_$2=yes; $1_reason_$2=],
    [$1_reason_$2="needs $5"
     AS_IF([test "x$billet_want" = xyes], [BILLET_PROBLEM([$1 '$2' was asked for and needs $5])])])])
AM_CONDITIONAL([$3], [test "x$$1_build_$2" = xyes])
])

dnl ---- drivers --------------------------------------------------------------
AC_DEFUN([BILLET_DRIVERS], [
AC_ARG_WITH([drivers], [AS_HELP_STRING([--with-drivers=LIST],
  [drivers to build: auto (default), all, none, a list such as local,sandbox; -NAME leaves one out])],
  [], [with_drivers=auto])
BILLET_CHOOSE([drivers], [$with_drivers], [local sandbox ssh fake], [driver])
BILLET_PART([driver], [local], [DRIVER_LOCAL], [true], [nothing])
BILLET_PART([driver], [sandbox], [DRIVER_SANDBOX], [test "x$have_seccomp" = xyes],
  [libseccomp >= 2.5.0 (Debian libseccomp-dev, Fedora libseccomp-devel, Alpine libseccomp-dev)])
BILLET_PART([driver], [ssh], [DRIVER_SSH], [true], [nothing])
BILLET_PART([driver], [fake], [DRIVER_FAKE], [true], [nothing])
])

dnl ---- stores ---------------------------------------------------------------
AC_DEFUN([BILLET_STORES], [
AC_ARG_WITH([store], [AS_HELP_STRING([--with-store=LIST],
  [store modules to build: auto (default), all, none, or a list of: sqlite, pgsql])],
  [], [with_store=auto])
BILLET_CHOOSE([store], [$with_store], [sqlite pgsql], [store])
BILLET_PART([store], [sqlite], [STORE_SQLITE], [test "x$have_sqlite" = xyes],
  [sqlite3 >= 3.37 (Debian libsqlite3-dev, Fedora sqlite-devel, Alpine sqlite-dev)])
BILLET_PART([store], [pgsql], [STORE_PGSQL], [test "x$have_pgsql" = xyes],
  [libpq >= 12 (Debian libpq-dev, Fedora libpq-devel, Alpine libpq-dev)])
])

dnl ---- vaults ---------------------------------------------------------------
AC_DEFUN([BILLET_VAULTS], [
AC_ARG_WITH([vaults], [AS_HELP_STRING([--with-vaults=LIST],
  [vault modules to build: auto (default), all, none, or a list of: hashicorp, aws])],
  [], [with_vaults=auto])
BILLET_CHOOSE([vaults], [$with_vaults], [hashicorp aws], [vault])
BILLET_PART([vault], [hashicorp], [VAULT_HASHICORP], [test "x$have_curl" = xyes],
  [libcurl >= 7.85 (Debian libcurl4-openssl-dev, Fedora libcurl-devel, Alpine curl-dev)])
BILLET_PART([vault], [aws], [VAULT_AWS], [test "x$have_curl" = xyes],
  [libcurl >= 7.85 (Debian libcurl4-openssl-dev, Fedora libcurl-devel, Alpine curl-dev)])
])

dnl ---- programs that only developers and tests need ---------------------------
AC_DEFUN([BILLET_TOOLS], [
AC_PATH_PROG([MANDOC], [mandoc], [])
AC_PATH_PROG([BWRAP], [bwrap], [/usr/bin/bwrap])
AC_DEFINE_UNQUOTED([BWRAP_PATH], ["$BWRAP"], [bubblewrap, when the configuration names none])
])

AC_DEFUN([BILLET_DIRECTORIES], [
AC_ARG_WITH([bashcompletiondir], [AS_HELP_STRING([--with-bashcompletiondir=DIR], [bash completions])],
  [], [with_bashcompletiondir='${datadir}/bash-completion/completions'])
AC_ARG_WITH([zshcompletiondir], [AS_HELP_STRING([--with-zshcompletiondir=DIR], [zsh completions])],
  [], [with_zshcompletiondir='${datadir}/zsh/site-functions'])
AC_ARG_WITH([fishcompletiondir], [AS_HELP_STRING([--with-fishcompletiondir=DIR], [fish completions])],
  [], [with_fishcompletiondir='${datadir}/fish/vendor_completions.d'])
AC_ARG_WITH([systemdsystemunitdir], [AS_HELP_STRING([--with-systemdsystemunitdir=DIR], [units of systemd])],
  [], [with_systemdsystemunitdir='${prefix}/lib/systemd/system'])
AC_SUBST([bashcompletiondir], [$with_bashcompletiondir])
AC_SUBST([systemdsystemunitdir], [$with_systemdsystemunitdir])
AC_SUBST([zshcompletiondir], [$with_zshcompletiondir])
AC_SUBST([fishcompletiondir], [$with_fishcompletiondir])
AC_SUBST([driverdir], ['${libdir}/billet/drivers'])
AC_SUBST([storedir], ['${libdir}/billet/stores'])
AC_SUBST([programdir], ['${libexecdir}/billet'])
])

AC_DEFUN([BILLET_PROBLEMS], [
AS_IF([test "x$billet_problems" != x], [AC_MSG_ERROR([this configuration cannot be met:$billet_problems])])
])

AC_DEFUN([BILLET_ROW], [
  if test "x$$1_build_$2" = xyes; then echo "  $1 $2: yes"; else echo "  $1 $2: no ($$1_reason_$2)"; fi
])
AC_DEFUN([BILLET_SUMMARY], [
echo
echo "billet $PACKAGE_VERSION"
echo "  drivers go to: $driverdir"
BILLET_ROW([driver], [local])
BILLET_ROW([driver], [sandbox])
BILLET_ROW([driver], [ssh])
BILLET_ROW([driver], [fake])
BILLET_ROW([store], [sqlite])
BILLET_ROW([store], [pgsql])
BILLET_ROW([vault], [hashicorp])
BILLET_ROW([vault], [aws])
if test "x$have_check" = xyes; then echo "  unit tests: yes"; else echo "  unit tests: no (needs check >= 0.15)"; fi
if test "x$enable_sanitizers" != xno; then echo "  sanitizers: $SANITIZER_FLAGS"; fi
])
