#!/usr/bin/env bash
# Fetches what the runner configs other than the direct ones need, into a cache:
#
#   prism                  Beam's Prism runner, built from its Go module      (needs go)
#   flink-job-server.jar   Beam's job server for Flink, from Maven's modules  (needs mvn, java)
#   flink/                 the jars of a standalone Flink, from PyPI          (needs python)
#
# usage: scripts/fetch_runners.sh [prism] [flink-job-server] [flink]     (default: all three)
#
# What is there at the right version is left alone. The cache is $BEAMSCOPE_CACHE, or else
# beamscope/ in the user's cache directory, as pipelines/beam_options.py finds it too.
set -euo pipefail

PYTHON=${PYTHON:-.venv/bin/python}

# Prism has to be of Beam's own version, so that is asked of Beam.
BEAM_VERSION=$("$PYTHON" -c 'import importlib.metadata as m; print(m.version("apache-beam"))')
# The job server is the newest whose modules were all to be had; docs/running.md says what that means.
FLINK_VERSION=${FLINK_VERSION:-1.19.3}
FLINK_SERIES=${FLINK_VERSION%.*}
JOB_SERVER_VERSION=${JOB_SERVER_VERSION:-2.62.0}

CACHE=${BEAMSCOPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beamscope}

say() { echo "runners: $*" >&2; }

need() {
  command -v "$1" > /dev/null || { say "$2 needs $1, which is not installed"; return 1; }
}

# Each fetch_* fills the directory that it is given with what is to lie in the cache.

fetch_prism() {
  need go prism || return 1
  GOBIN=$1 go install "github.com/apache/beam/sdks/v2/go/cmd/prism@v$BEAM_VERSION"
}

fetch_flink_job_server() {
  need mvn flink-job-server || return 1
  cp "$(dirname "$0")/flink_job_server/pom.xml" "$1"
  # Maven remembers for a day what a registry did not have: -U asks again.
  mvn -U --batch-mode --quiet --file "$1" package \
    -Dbeam="$JOB_SERVER_VERSION" -Dflink="$FLINK_SERIES" || return 1
  mv "$1/target/flink-job-server.jar" "$1"
}

fetch_flink() {
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
    --dest "$1" "apache-flink-libraries==$FLINK_VERSION" || return 1
  mkdir "$1/flink"
  # The jars lie in a source archive; installing it would pack and unpack 300 MB once more.
  tar --extract --gzip --file "$1"/apache?flink?libraries-*.tar.gz --directory "$1/flink" \
    --strip-components 2 --wildcards '*/deps/lib/*' '*/deps/bin/*' || return 1
  rm "$1"/apache?flink?libraries-*.tar.gz
}

# fetch NAME VERSION TARGET: the version is written last, so that a fetch that was cut off is redone.
fetch() {
  local name=$1 version=$2 target=$3 stamp=$CACHE/$3.version
  if [[ -e $CACHE/$target && -e $stamp && $(< "$stamp") == "$version" ]]; then
    say "$name $version is there"
    return 0
  fi
  say "fetching $name $version"
  local started=$SECONDS temporary
  temporary=$(mktemp --directory "$CACHE/.fetch.XXXXXX")
  rm -f "$stamp"
  if ! "fetch_${name//-/_}" "$temporary"; then
    rm -rf "$temporary"
    say "$name $version could not be fetched"
    return 1
  fi
  rm -rf "${CACHE:?}/$target"
  mv "$temporary/$target" "$CACHE/$target"
  rm -rf "$temporary"
  echo "$version" > "$stamp"
  say "$name $version: $(du -sh "$CACHE/$target" | cut -f1) in $((SECONDS - started)) s"
}

mkdir -p "$CACHE"
[[ $# -gt 0 ]] || set -- prism flink-job-server flink
failed=0
for name in "$@"; do
  case $name in
    prism) fetch prism "$BEAM_VERSION" prism ;;
    flink-job-server)
      fetch flink-job-server "$JOB_SERVER_VERSION for Flink $FLINK_SERIES" flink-job-server.jar ;;
    flink) fetch flink "$FLINK_VERSION" flink ;;
    *) say "$name: is not one of prism, flink-job-server, flink"; exit 2 ;;
  esac || failed=1
done
exit $failed
