#!/bin/sh
# The POST script of a node (worker-bakery bake --submit): moves an image that has arrived to its path.
# Arguments: $JOB $RETURN $RETRY. DAGMan runs it on the access point, in the folder of the DAG. The file
# `collect` of the node has one value on each line: the name of the image, its path, that of its manifest.
# Its exit code is that of the node: of the job, or 7 if the image is not the one that the job has hashed.
set -u
cd "nodes/$1" || exit 1
exec 2>>collect.log

end() {
    [ "$1" -eq 0 ] || rm -rf out # the next attempt brings its own
    echo "$retry $returned $1" >>ended
    exit "$1"
}

returned=$2 retry=$3
case $returned in
0) ;;
[1-9] | [1-9][0-9] | 1[0-9][0-9] | 2[0-4][0-9] | 25[0-5]) end "$returned" ;;
*) end 1 ;; # a signal, or DAGMan's -1001 (not submitted) or -1002 (removed)
esac

{ IFS= read -r image && IFS= read -r output && IFS= read -r manifest; } <collect || end 1
expected=$(grep -o '"sha256": "[0-9a-f]*"' out/result.json | head -n 1 | cut -d '"' -f 4)
found=$(sha256sum "out/$image" | cut -d ' ' -f 1)
if [ -z "$expected" ] || [ "$found" != "$expected" ]; then
    echo "The SHA-256 digest of the image is $found, but the job has written an image of $expected." >&2
    end 7
fi

# The last step is a rename in the folder of the image: nobody sees a part of it under its name.
move() {
    mv -f "$1" "${2%/*}/.${2##*/}.$$" && mv -fT "${2%/*}/.${2##*/}.$$" "$2"
}

if cp out/result.json collected.json && move collected.json "$manifest" && move "out/$image" "$output"; then
    end 0
fi
end 1
