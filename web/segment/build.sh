#!/bin/sh
# Makes web/static/segment.wasm. Debian 12's clang and lld made the one that is committed.
set -eu
cd "$(dirname "$0")"
object=$(mktemp)
trap 'rm -f "$object"' EXIT
clang --target=wasm32 -nostdlib -O3 -ffast-math -msimd128 -fno-builtin -c segment.c -o "$object"
wasm-ld --no-entry --strip-all -z stack-size=65536 --export=__heap_base "$object" -o ../static/segment.wasm
