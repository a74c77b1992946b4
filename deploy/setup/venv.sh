#!/usr/bin/env bash
# Makes .venv from Python 3.11 with what requirements-dev.lock names, and the project itself as an editable install.
# Quick when nothing changed: the stamp holds the hash of the lock and of pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v python3.11 >/dev/null || fail "python3.11 is not on the PATH, and Headrace needs just that version." \
  "Install it (Debian, Ubuntu: sudo apt-get install python3.11 python3.11-venv), then run make setup again."

stamp=.venv/headrace-setup.stamp
want=$(cat requirements-dev.lock pyproject.toml | python3.11 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())') \
  || fail "python3.11 is on the PATH but does not run: see its message above."
want="$want $PWD"
if [ -x .venv/bin/headrace ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && .venv/bin/python -c 'pass' 2>/dev/null; then
  exit 0
fi

started=$SECONDS
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  say "making .venv with $(python3.11 --version)"
  python3.11 -m venv --clear .venv \
    || fail "python3.11 cannot make a virtual environment. Debian, Ubuntu: sudo apt-get install python3.11-venv, then make setup again."
fi
rm -f "$stamp"

bootstrap=.venv/uv.lock
awk '/^[a-z0-9]/ { keep = /^uv==/ } keep' requirements-dev.lock >"$bootstrap"
say "fetching the installer"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$bootstrap"

say "installing $(grep -c '^[a-z0-9].*==' requirements-dev.lock) locked packages (about 350 MB the first time)"
# A pip configured for a mirror reaches packages that uv, which reads no pip configuration, cannot.
.venv/bin/uv pip install --python .venv/bin/python --require-hashes -r requirements-dev.lock || {
  say "uv could not; trying pip, which is slower"
  .venv/bin/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
}

say "installing the command headrace"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
printf '%s\n' "$want" >"$stamp"
say "ready after $((SECONDS - started)) s: .venv/bin/headrace"
