#!/bin/sh
# Makes .venv/ with everything in requirements.lock (hashes checked) and the project itself, editable.
# Does nothing when that is done already, so it needs the network only once. PYTHON names the interpreter.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
bin=$PWD/.venv/bin
done_mark=.venv/kanmon-setup
wanted="$PWD $python $(cat requirements.lock pyproject.toml | sha256sum)"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[ -f "$done_mark" ] && [ "$(cat "$done_mark")" = "$wanted" ] && exit 0

command -v "$python" >/dev/null || fail "$python is not installed. Debian: apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old, 3.11 or newer is needed: make PYTHON=python3.13 ..."

# A virtual environment knows its own path and interpreter: one that was moved or made by another Python is made anew.
version_of() { "$1" -c 'import sys; print(sys.version_info[:2], sys.prefix if sys.prefix != sys.base_prefix else "")'; }
fresh="$("$python" -c 'import sys; print(sys.version_info[:2])') $PWD/.venv"
[ -d .venv ] && [ "$(version_of "$bin/python" 2>/dev/null)" != "$fresh" ] && rm -rf .venv

if command -v uv >/dev/null; then
    export UV_PYTHON_DOWNLOADS=never
    [ -d .venv ] || uv venv --quiet --python "$python" .venv
    install() { uv pip install --quiet --python "$bin/python" "$@"; }
else
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "installing python3-venv"
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        else
            fail "Python's venv is missing. Debian: sudo apt install python3-venv"
        fi
    fi
    [ -d .venv ] || "$python" -m venv .venv
    "$bin/python" -c 'import pip' 2>/dev/null || "$bin/python" -m ensurepip >/dev/null  # uv made it, and is gone
    install() { "$bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"; }
fi

say "installing $(grep -c '==' requirements.lock) packages into .venv (half a minute on a PC, some minutes on a Raspberry Pi)"
install --require-hashes -r requirements.lock
say "installing kanmon"
install --no-deps --no-build-isolation --editable .
printf '%s' "$wanted" >"$done_mark"
say "done"
