#!/bin/sh
# What the tests want of Debian or Ubuntu beside Python: a browser, and what the grader's sandbox is made of. It does
# nothing on other systems.
set -eu
command -v apt-get > /dev/null || exit 0
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

set --
command -v bwrap > /dev/null || set -- bubblewrap libseccomp2
command -v chromium > /dev/null || command -v google-chrome > /dev/null || set -- "$@" chromium
if [ $# -gt 0 ]; then
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends "$@"
fi

# Ubuntu lets nobody but root make namespaces, and tests as on a grader's machine need them. Not on somebody's own.
setting=kernel.apparmor_restrict_unprivileged_userns
if [ -n "${CI:-}" ] && [ "$(sysctl -n $setting 2> /dev/null)" = 1 ]; then
    $as_root sysctl -q -w $setting=0
fi
