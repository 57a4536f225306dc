#!/usr/bin/env bash
# Runs every test: pure, packets, live. `npm test` calls it; arguments name single files instead.
# Live tests need root and skip with a reason without it; the count of skipped tests is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${BRICKS_CORPUS:=../shared/corpus}"
[ -d "$BRICKS_CORPUS" ] && export BRICKS_CORPUS=$(realpath "$BRICKS_CORPUS") || unset BRICKS_CORPUS
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(find test -name '*.test.ts' | sort); fi
. test/support/expedite.sh
node --import tsx --test --test-concurrency=2 --test-reporter=spec "${files[@]}"
