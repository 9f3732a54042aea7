#!/usr/bin/env bash
# Every goal of the project: what is measured, its bound, what was found, met or missed. On a machine that nobody else uses.
#   cargo build --release && cargo build --release -p kogge-message-log --example append
#   integration-tests/scripts/goals.sh [target/release/kogge] [further arguments of `kogge bench goals`]
# Needs nginx and haproxy (Debian packages of these names). Figures go to standard output, everything that was found to $OUT/goals.json, progress to standard error.
# D1 comes first, from an example of the message log, which stands beside the binary: it is left out, loudly, if it is not built.
set -euo pipefail
kogge=$(realpath "${1:-target/release/kogge}")
shift || true
out=${OUT:-goals}
pairs=${PAIRS:-7}
mkdir -p "$out"
append=$(dirname "$kogge")/examples/append
if [ -x "$append" ]; then
    work=$(mktemp -d -p "$out")
    trap 'rm -rf "$work"' EXIT
    echo "D1 (at least 0.7) and D2 of the log alone (at most 1.15):"
    "$append" "$work" "$pairs" 2000 | tee "$out/append.txt" | tail -3
else
    echo "SKIPPED: D1, since $append is not built" >&2
fi
"$kogge" bench goals --dir "$out/bench" --pairs "$pairs" --json "$out/goals.json" "$@"
