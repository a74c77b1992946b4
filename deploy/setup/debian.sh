#!/usr/bin/env bash
# debian.sh java | prometheus: sees to it that the programs are there; installs Debian's packages where it may, else says how.
set -euo pipefail

java_is_there() {
  command -v mvn >/dev/null && command -v java >/dev/null || return 1
  local major
  major=$(java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p')
  [ "${major:-0}" -ge 17 ]
}
prometheus_is_there() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

case "${1:-}" in
  java) packages=(default-jre-headless maven); why="Java 17 or newer and Maven, for the tests on Apache Kafka" ;;
  prometheus) packages=(prometheus); why="prometheus and promtool, for the tests of what is scraped" ;;
  *) echo "usage: $0 java | prometheus" >&2; exit 2 ;;
esac
"$1_is_there" && exit 0

by_hand="sudo apt-get update && sudo apt-get install --yes --no-install-recommends ${packages[*]}"
fail() { printf 'Missing: %s.\n%s\nInstall by hand:\n  %s\n' "$why" "$1" "$by_hand" >&2; exit 1; }

command -v apt-get >/dev/null || fail "There is no apt-get on this machine; the Debian command is below, take your system's own packages."
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || fail "Not root, and sudo asks for a password."
  as_root=(sudo -n)
fi

# A package that starts its service on installation would hold a port and run unasked: policy-rc.d forbids it meanwhile.
policy=/usr/sbin/policy-rc.d
made_policy=""
forget_policy() { if [ -n "$made_policy" ]; then "${as_root[@]}" rm -f "$policy"; fi; }
trap forget_policy EXIT
if [ ! -e "$policy" ]; then
  made_policy=yes
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

echo "Installing ${packages[*]}: $why"
"${as_root[@]}" apt-get update --quiet=2 || fail "apt-get update failed: see above."
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${packages[@]}" \
  || fail "apt-get install failed: see above."
if [ "$1" = prometheus ] && command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
  "${as_root[@]}" systemctl disable --quiet --now prometheus || true
fi
"$1_is_there" || fail "The packages are installed, but the programs are still not there or too old."
