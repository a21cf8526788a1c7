#!/bin/sh
# Proves that the guard can fail: makes the execute loop slower in a scratch copy (one JSON parse per job in place of one
# per 32 jobs), runs the guard there, and succeeds only if the guard turns red. Usage: bench/prove_guard.sh [guard options]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar -C "$here" -c --exclude=.git --exclude=build --exclude='bench/out' . | tar -C "$scratch" -x
cd "$scratch"
sed -i 's/^    WINDOW = 32$/    WINDOW = 1/' fastjobs/core/execute.pxi
if cmp -s fastjobs/core/execute.pxi "$here/fastjobs/core/execute.pxi"; then
    echo "the slow-down did not apply: core/execute.pxi has changed" >&2
    exit 2
fi
rm -f fastjobs/_core.c fastjobs/_core.*.so
python setup.py -q build_ext --inplace
if PYTHONPATH="$scratch" python -m bench.guard "$@"; then
    echo "the guard did not notice the slow-down" >&2
    exit 1
fi
echo "the guard noticed the slow-down"
