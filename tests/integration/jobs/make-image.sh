#!/bin/sh
# A small image file, $1, of this machine's own shell and `id`, by apptainer; so nothing is fetched.
# Perhaps the same as a folder, $2.
set -eu
root=$(mktemp -d)
cd "$root"
mkdir -p bin dev etc home proc sys tmp var/tmp
for file in /usr/bin/dash $(ldd /usr/bin/dash /usr/bin/id | grep -o ' /[^ ]*\|^\s*/[^ ]*ld-[^ ]*'); do
    mkdir -p ".${file%/*}"
    cp -L "$file" ".$file"
done
cp /usr/bin/id bin
ln -s /usr/bin/dash bin/sh
touch etc/passwd etc/group in-the-image
export APPTAINER_CONFIGDIR=/tmp/apptainer APPTAINER_CACHEDIR=/tmp/apptainer
apptainer --silent build "$1" "$root"
if [ $# -gt 1 ]; then
    mkdir -p "$(dirname "$2")"
    apptainer --silent build --sandbox "$2" "$root"
fi
