#!/usr/bin/env bash
# Runs the core's unit tests on a core built with AddressSanitizer and UndefinedBehaviorSanitizer.
#   sanitize.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "$1")
directory=$PWD/build/sanitize
options="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"

status=0
tests/memory/instrument.sh "$directory" gcc "$options" "$python" || status=$?
if [ "$status" -eq 77 ]; then exit 0; fi
[ "$status" -eq 0 ] || exit "$status"

cd "$directory"
core=$(echo fastjobs/_core.*.so)
for runtime in __asan_report __ubsan_handle; do
  grep -q "$runtime" "$core" || { echo "the core was built without $runtime" >&2; exit 1; }
done
# The interpreter keeps memory until its end: leaks are looked for by `make leaks`.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" PYTHONPATH=$directory \
  "$python" -m pytest -p no:cacheprovider \
  tests/unit/test_{board,chunk,execute,ids,interrupts,payload,resp}.py
