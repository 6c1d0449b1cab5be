#!/usr/bin/env bash
# audit.sh PIP_AUDIT LOCK…: ask PyPI's advisory database about every pinned version.
# Exit status: 0 no known vulnerability, 1 some, 2 the database could not be asked about all of them.
set -uo pipefail

tool=$1; shift
files=()
for lock in "$@"; do files+=(--requirement "$lock"); done
said=$("$tool" "${files[@]}" --require-hashes --disable-pip --strict --progress-spinner off 2>&1)
status=$?
if ((status == 0)); then
    echo "audit: no known vulnerability in $*"
    exit 0
fi
# The tool ends with the same status for both.
if grep --quiet --extended-regexp 'could not be audited|ConnectionError|ServiceError|Timeout|Max retries' <<<"$said"; then
    grep --extended-regexp 'could not be audited|Error' <<<"$said" | tail -1 >&2
    echo "audit: the advisory service did not answer for every package: nothing is known, try again with a network" >&2
    exit 2
fi
echo "$said" >&2
echo "audit: raise the lower bounds in setup.py, then make lock UPGRADE=--upgrade" >&2
exit 1
