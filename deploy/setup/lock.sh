#!/usr/bin/env bash
# Writes every lock file: development first, then one for each service, held to the versions of development.
# Arguments go on to uv, such as --upgrade.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv=.venv/bin/uv
services=(ingestion features training registry serving monitoring console)
options=(--quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links)
export UV_CUSTOM_COMPILE_COMMAND="make lock"

groups=(--group dev)
for service in "${services[@]}"; do groups+=(--group "$service"); done

echo "requirements-dev.lock"
"$uv" pip compile pyproject.toml "${options[@]}" "$@" --extra local "${groups[@]}" -o requirements-dev.lock
for service in "${services[@]}"; do
  echo "requirements-$service.lock"
  "$uv" pip compile pyproject.toml "${options[@]}" --group "$service" -c requirements-dev.lock -o "requirements-$service.lock"
done
