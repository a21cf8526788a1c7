#!/usr/bin/env bash
# Fuzzes the core, guided by its coverage and watched by AddressSanitizer.
#   run.sh PYTHON SECONDS
# New finds go to build/fuzz/corpus; an input that breaks something is left in build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "$1") seconds=$2
directory=$PWD/build/fuzz
options="-O1 -g -fsanitize=address,fuzzer-no-link -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp"

if ! runtime=$("$python" -c 'import atheris; print(atheris.path() + "/asan_with_fuzzer.so")' 2>/dev/null); then
  echo "atheris is missing: pip install atheris" >&2
  exit 1
fi
status=0
tests/memory/instrument.sh "$directory" "${CLANG:-clang-14}" "$options" "$python" || status=$?
if [ "$status" -eq 77 ]; then exit 0; fi
[ "$status" -eq 0 ] || exit "$status"

cd "$directory"
mkdir -p corpus
export ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=$directory
LD_PRELOAD=$runtime "$python" -m tests.fuzz.core corpus tests/fuzz/corpus \
  -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 2>&1 |
  tee fuzz.log | grep -Ev '^(#|"|[[:space:]]*NEW_FUNC)' || true
grep -q 'inline 8-bit counters' fuzz.log || { echo "the core was not instrumented for coverage" >&2; exit 1; }
grep -q '^Done ' fuzz.log || { echo "the fuzzer found something: see $directory" >&2; exit 1; }
