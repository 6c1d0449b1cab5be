#!/usr/bin/env bash
# Refuses files over 3 MB: data belongs beside the repository.
set -euo pipefail
status=0
for file in "$@"; do
  if [[ -f "$file" && ! -L "$file" && $(wc -c <"$file") -gt 3000000 ]]; then
    echo "$file: over 3 MB" >&2
    status=1
  fi
done
exit "$status"
