#!/bin/sh
# Makes opus.wasm of this folder from the sources of libopus: build.sh FOLDER, a checkout of its tag v1.6.1. Debian 12's clang, lld,
# wasi-libc and libclang-rt-14-dev-wasm32 made the one that is committed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
sources=$(printf '%s\n' 'include opus_sources.mk' 'include celt_sources.mk' 'include silk_sources.mk' 'all:' \
  '	@echo $(OPUS_SOURCES) $(OPUS_SOURCES_FLOAT) $(CELT_SOURCES) $(SILK_SOURCES) $(SILK_SOURCES_FLOAT)' | make -s -f -)
exports=
for name in samples_at packet_at packet_most encoder decoder encode decode; do exports="$exports -Wl,--export=$name"; done
clang --target=wasm32-wasi --sysroot=/usr -isystem /usr/include/wasm32-wasi -mexec-model=reactor -nostartfiles -O3 -flto \
  -DNDEBUG -DOPUS_BUILD -DVAR_ARRAYS -DHAVE_LRINTF -DHAVE_LRINT -DENABLE_HARDENING -DOVERRIDE_celt_fatal -DPACKAGE_VERSION='"1.6.1"' \
  -Iinclude -Icelt -Isilk -Isilk/float -Isrc $sources "$here/opus.c" \
  -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=131072 -Wl,--max-memory=4194304 $exports -o "$here/opus.wasm"
