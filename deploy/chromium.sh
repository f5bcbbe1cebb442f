#!/bin/sh
# The page tests drive a real Chromium. Installs Debian's where it is absent and this is root; else the tests skip and say so.
set -u
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "test: installing chromium for the page tests" >&2
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } && exit 0
    echo "test: chromium could not be installed" >&2
fi
echo "test: the page tests are skipped without chromium. Debian: sudo apt install chromium" >&2
