#!/usr/bin/env bash
# Builds the core once more, with other compiler options, in a directory of its own.
#   instrument.sh DIRECTORY COMPILER OPTIONS PYTHON
# What the options refer to (the runtime of a sanitizer) is preloaded when the core is used, and not linked.
set -euo pipefail
directory=$1 compiler=$2 options=$3 python=$4

if ! command -v "$compiler" >/dev/null; then
  echo "$compiler is missing: apt-get install $compiler" >&2
  # Who cannot install it is not stopped by it; continuous integration is.
  if [ "$(id -u)" -ne 0 ] && [ -z "${CI:-}" ]; then exit 77; fi
  exit 1
fi
mkdir -p "$directory"
rm -rf "$directory/fastjobs" "$directory/tests"
cp -r fastjobs tests setup.py pyproject.toml README.md LICENSE "$directory"
rm -f "$directory"/fastjobs/*.so "$directory"/fastjobs/_core.c
cd "$directory"
CC=$compiler LDSHARED="$compiler -shared" FASTJOBS_CORE_OPTIONS=$options "$python" setup.py -q build_ext --inplace --force
