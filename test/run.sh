#!/usr/bin/env bash
# Runs every test: pure, packets, live. `npm test` calls it; arguments name single files instead.
# Live tests need root and skip with a reason without it; the count of skipped tests is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${BRICKS_CORPUS:=../shared/corpus}"
[ -d "$BRICKS_CORPUS" ] && export BRICKS_CORPUS=$(realpath "$BRICKS_CORPUS") || unset BRICKS_CORPUS
# The longest first: what is left in the end runs beside others.
longest=(test/native/native.test.ts test/docs.test.ts)
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(printf '%s\n' "${longest[@]}"; find test -name '*.test.ts' | sort | grep -vxF "${longest[@]/#/-e}"); fi
. test/support/expedite.sh
# What tests start is compiled once: from its source each of some 1,300 processes would take a third of a second longer.
export BRICKS_TEST_PROGRAMS=$PWD/build/programs
rm -rf "$BRICKS_TEST_PROGRAMS"
npx --no-install tsc -p tsconfig.test.json
# More at a time than there are processors: a test mostly waits for processes, links and timers.
node --import tsx --test --test-concurrency=3 --test-reporter=spec "${files[@]}"
