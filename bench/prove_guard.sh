#!/bin/sh
# Proves that the guard can fail. In a scratch copy the guard must hold; then this script makes the execute loop there
# slower (one JSON parse per job instead of one per 32 jobs), and the guard must break.
# Usage: bench/prove_guard.sh [guard options]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar -C "$here" -c --exclude=.git --exclude='.venv*' --exclude=build --exclude=bench/out . | tar -C "$scratch" -x
cd "$scratch"
export PYTHONPATH="$scratch"
build() {
    rm -f fastjobs/_core.c fastjobs/_core.*.so
    python setup.py -q build_ext --inplace >/dev/null
}
build
if ! python -m bench.guard "$@"; then
    echo "the guard does not hold before the slow-down" >&2
    exit 2
fi
sed -i 's/^    WINDOW = 32$/    WINDOW = 1/' fastjobs/core/leased_jobs.pxi
if cmp -s fastjobs/core/leased_jobs.pxi "$here/fastjobs/core/leased_jobs.pxi"; then
    echo "the slow-down did not apply: core/leased_jobs.pxi has changed" >&2
    exit 2
fi
build
if python -m bench.guard "$@"; then
    echo "the guard did not notice the slow-down" >&2
    exit 1
fi
echo "the guard noticed the slow-down"
