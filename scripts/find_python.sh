#!/bin/sh
# Prints a Python that beamscope runs on and that can make environments.
#
# usage: scripts/find_python.sh [VERSION]     the newest supported one, or just that one
#
# $PYTHON, where it is set, is the only one looked at. Otherwise names on the path, and the folders
# in which pyenv and uv keep theirs. A name can be there and not start (pyenv's shims), and a Python
# can lack ensurepip (Debian without python3-venv); so each is tried.
set -eu

SUPPORTED="3.13 3.12 3.11"

# starts COMMAND VERSION
starts() {
  "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.argv[1] != "%d.%d" % sys.version_info[:2])' \
    "$2" > /dev/null 2>&1
}

wanted=${1:-$SUPPORTED}
for version in $wanted; do
  case " $SUPPORTED " in
    *" $version "*) ;;
    *) echo "beamscope: Python $version is not supported; supported: $SUPPORTED" >&2; exit 2 ;;
  esac
  if [ -n "${PYTHON:-}" ]; then
    if starts "$PYTHON" "$version"; then echo "$PYTHON"; exit 0; fi
    continue
  fi
  for candidate in "python$version" python3 python \
    "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version"*/bin/python \
    "${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python/cpython-$version"*/bin/python; do
    if starts "$candidate" "$version"; then command -v "$candidate"; exit 0; fi
  done
done

if [ -n "${PYTHON:-}" ]; then
  echo "beamscope: PYTHON=$PYTHON does not start, is not one of Python $wanted, or has no venv and ensurepip" >&2
else
  echo "beamscope: no Python of $wanted with venv and ensurepip found; install one, or name it: make PYTHON=/path/to/python" >&2
fi
exit 1
