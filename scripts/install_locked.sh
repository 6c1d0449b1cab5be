#!/bin/sh
# Installs what locks name, each file with its hash, into the environment of PYTHON.
#
# usage: scripts/install_locked.sh PYTHON -r LOCK...
#
# uv takes half a minute where pip takes minutes. But uv does not read pip's settings: where those name
# an index, pip installs. So it does where uv fails. Both compile to bytecode: where Python may not write
# any, each process would compile TensorFlow and Beam anew, for some 15 seconds.
set -eu

python=$1
shift
uv=$(dirname "$python")/uv

if "$python" -m pip config list | grep -q index; then
  echo "pip installs, because its settings name an index"
elif [ ! -x "$uv" ]; then
  echo "pip installs, because uv is not in this environment"
elif "$uv" pip install --quiet --compile-bytecode --python "$python" --require-hashes "$@"; then
  exit 0
else
  echo "pip installs, because uv could not"
fi
exec "$python" -m pip --disable-pip-version-check install --quiet --require-hashes "$@"
