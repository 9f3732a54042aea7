#!/usr/bin/env bash
# From empty folders to a first answered request, by operators' commands alone, and a look at its evidence by hand: runs every command of the
# walkthrough in docs/operations.md, and of "Checking by hand" in docs/evidence.md, as it stands there.
#   integration-tests/scripts/two-agencies.sh [KOGGE [DIR [PORTS]]]
# KOGGE is the binary (target/debug/kogge), DIR an empty or missing directory (a temporary one, removed at the end), PORTS replaces the 281 at
# the beginning of each port number. Needs curl, openssl, perl, python3, unzip and xmlsec1. Ends every process that it started.
set -euo pipefail
documents=$(realpath "$(dirname "$0")/../../docs")
kogge=$(realpath "${1:-target/debug/kogge}")
ports=${3:-281}

scratch=$(mktemp -d)
trap 'code=$?; kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$scratch"; exit "$code"' EXIT
dir=${2:-$scratch/instance}
mkdir -p "$scratch/bin" "$dir"
[ -z "$(ls -A "$dir")" ] || { echo "$dir is not empty" >&2; exit 2; }
ln -s "$kogge" "$scratch/bin/kogge"
PATH=$scratch/bin:$PATH

# The commands between two marks of a document.
commands() {
    awk -v begin="<!-- $2 -->" -v end="<!-- end of $2 -->" \
        '$0 == begin {on = 1} $0 == end {on = 0} /^```/ {code = on && $0 == "```sh"; next} code' "$documents/$1" |
        sed "s/\b281\([0-9][0-9]\)\b/$ports\1/g" >"$scratch/commands.sh"
    [ -s "$scratch/commands.sh" ] || { echo "there is no $2 in $1" >&2; exit 2; }
}

# In this shell, so that the processes are its own to end.
cd "$dir"
commands operations.md walkthrough
# shellcheck source=/dev/null
source "$scratch/commands.sh"
echo "the walkthrough is through"

cp operator/trust-services/ca.pem operator/trust-services/tsa.pem .
commands evidence.md "by hand"
# shellcheck source=/dev/null
source "$scratch/commands.sh"
echo "checked by hand"
