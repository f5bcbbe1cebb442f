#!/bin/sh
# Some tests drive Debian's own programs: Chromium, PostgreSQL, libfaketime. Installs those that are absent when this is
# root on Debian; else the tests that need them skip and say so. Names of packages to leave out: KANMON_WITHOUT="chromium".
set -u

has_chromium() {
    for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null && return 0; done
    return 1
}
has_postgresql() { command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
has_libfaketime() { ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 2>/dev/null | grep -q .; }

missing=
for package in chromium postgresql libfaketime; do
    case " ${KANMON_WITHOUT:-} " in *" $package "*) continue ;; esac
    "has_$package" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "test: installing$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    # The tests start a server of their own: Debian need not make one and run it.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    # One by one: what one archive does not have keeps nothing else out.
    left=
    for package in $missing; do
        apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$package" >/dev/null || left="$left $package"
    done
    missing=$left
    [ -z "$missing" ] && exit 0
    echo "test: could not be installed:$missing" >&2
fi
echo "test: some tests are skipped. Debian: sudo apt install$missing" >&2
