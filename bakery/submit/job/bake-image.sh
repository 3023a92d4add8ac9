#!/bin/sh
# The job of one image (worker-bakery bake --submit): bakes it on an execute node.
# The file `arguments` has one value on each line: the program, the verification level that the user
# demands (an empty line: none is demanded), the name of the image, and the arguments of `worker-bakery bake`.
# HTCondor transfers the folder `out` back, also that of a failed job: result.json is there on success only.
set -u
say() { echo "bake-image.sh on $(uname -n): $*" >&2; }

job=$PWD
mkdir -p out inputs && tar -xf inputs.tar -C inputs || exit 1
exec 3<arguments
IFS= read -r program <&3 && IFS= read -r level <&3 && IFS= read -r image <&3 || exit 1
set --
while IFS= read -r word <&3; do
    set -- "$@" "$word"
done
exec 3<&-

if ! found=$(command -v "$program"); then
    say "error: there is no program $program on this execute node."
    exit 3
fi
[ -z "$level" ] || set -- "$@" --verify "$level"
# HTCondor runs no job as root. The chroot engine and every verification level require root.
if [ "$(id -u)" -eq 0 ]; then
    set -- "$found" bake "$@"
elif command -v sudo >/dev/null && sudo -n -l "$found" bake "$@" >/dev/null 2>&1; then
    set -- sudo -n "$found" bake "$@"
elif [ -n "$level" ] && [ "$level" != none ]; then
    say "error: --verify $level requires root, and sudo does not permit $(id -un) to run $found bake."
    exit 3
else
    say "WARNING: no root here (no rule of sudo for $found). The engine is packer; THE IMAGE IS NOT VERIFIED."
    echo "no root on $(uname -n)" >out/not-verified
    [ -n "${WORKER_BAKERY_CACHE-}" ] || export WORKER_BAKERY_CACHE="$job/cache"
    # First: an engine that the user demands comes later, and counts.
    set -- "$found" bake --engine packer --verify none "$@"
fi

cd inputs || exit 1
"$@" --json -o "$job/out/$image" >"$job/result.json"
code=$?
[ "$code" -ne 0 ] || mv "$job/result.json" "$job/out/result.json" || exit 1
exit "$code"
