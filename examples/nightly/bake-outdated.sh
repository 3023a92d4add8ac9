#!/usr/bin/env bash
# Bake and prove the images of definition files for which there are updates:
#
#     bake-outdated.sh FILE.toml|FOLDER ...        (a folder stands for its *.toml)
#
# Variables:
#
#     RESULTS   folder of the results (default: nightly)
#     LEVEL     verification level (default: pool); empty: the level that each definition names
#     JOBS      images that are baked at the same time (default: 1)
#
#     RESULTS/new/NAME.qcow2, NAME.json   an image that was baked and proven, until somebody publishes and removes it
#     RESULTS/failed/NAME.md              a report of this night: its first line is a title, the rest an issue's text
#     RESULTS/outdated.txt                what `worker-bakery outdated` printed before the bakes
#
# A failed image does not stop the others. The exit code is that of the bake; 0 if there was nothing to do.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${RESULTS:-nightly}
# In a checkout, scripts/setup has installed worker-bakery here.
if [ -x "$here/../../.venv/bin/worker-bakery" ]; then PATH=$here/../../.venv/bin:$PATH; fi

# Prints the definition files of the arguments, one a line.
definitions() {
    local given
    for given in "$@"; do
        if [ -d "$given" ]; then find "$given" -maxdepth 1 -name '*.toml' | sort; else echo "$given"; fi
    done
}

mapfile -t files < <(definitions "$@")
if [ ${#files[@]} = 0 ]; then
    echo "usage: bake-outdated.sh FILE.toml|FOLDER ...; there is no definition file in: $*" >&2
    exit 2
fi
options=(--refresh auto --json)
if [ -n "${LEVEL-pool}" ]; then options+=(--verify "${LEVEL-pool}"); fi
if [ -n "${JOBS-}" ]; then options+=(--jobs "$JOBS"); fi
mkdir -p "$results"/{new,failed,log}
rm -f -- "$results"/failed/*.md

# 10: there are updates. Any other code but 0 is a failure of its own; the bake is tried nevertheless.
asked=0
worker-bakery outdated >"$results/outdated.txt" 2>"$results/log/outdated.events" || asked=$?
cat "$results/outdated.txt"
if [ "$asked" = 0 ] || [ "$asked" = 10 ]; then
    asked=0
else
    python3 "$here/results.py" "$results" outdated "$asked" /dev/null "$results/log/outdated.events"
fi

name=bake
if [ ${#files[@]} = 1 ]; then name=$(basename "${files[0]}" .toml); fi
status=0
worker-bakery bake "${files[@]}" "${options[@]}" >"$results/log/bake.json" 2>"$results/log/bake.events" || status=$?
python3 "$here/results.py" "$results" "$name" "$status" "$results/log/bake.json" "$results/log/bake.events"
if [ "$status" = 0 ]; then status=$asked; fi
exit "$status"
