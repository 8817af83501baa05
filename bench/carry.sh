#!/usr/bin/env bash
# Packs the binary with the libraries that it is linked to, to measure on a machine that has none of our packages (its glibc
# must be as new as this one's): FOLDER/headrace runs there.
#   bench/carry.sh FOLDER [BINARY]
set -euo pipefail
folder=$1 binary=${2:-$(dirname "$0")/../build/release/headrace}
mkdir -p "$folder/lib"
cp "$binary" "$folder/lib/headrace"
strip "$folder/lib/headrace"
ldd "$binary" | awk '$3 ~ /^\// { print $3 }' | grep -v -E '/(libc|libm|libpthread|libdl|librt|ld-linux.*)\.so' |
  xargs -I{} cp -L {} "$folder/lib/"
cat >"$folder/headrace" <<'WRAPPER'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$here/lib exec "$here/lib/headrace" "$@"
WRAPPER
chmod +x "$folder/headrace"
du -sh "$folder"
