#!/bin/sh
# Builds relay.o of relay.c, with clang for BPF (Debian: clang, llvm, libbpf-dev): generate.sh [where]
set -eu
cd "$(dirname "$0")"
to=${1:-relay.o}
clang -target bpf -mcpu=v3 -O2 -g -Wall -Werror -fdebug-prefix-map="$PWD"=. \
  -I"/usr/include/$(uname -m)-linux-gnu" -c relay.c -o "$to"
llvm-strip -g "$to"
if [ $# = 0 ]; then clang --version | head -1 >compiler; fi
