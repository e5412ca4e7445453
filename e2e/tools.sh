#!/bin/sh
# Makes sure that what the tests drive is there: a C compiler for the race detector, Node for the client,
# Chromium, Firefox (and a screen for it to share) and coturn's client to call through the server, and for the network lab nftables and its friends.
# As root it installs what is missing with apt-get; otherwise it says in one line what to install.
# Usage: tools.sh [lint|test|lab|deb|lintian]   (lint, test, lab: each includes the one before it)
set -eu
level=${1:-test}
missing=""
need() { # command package
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
PATH=$PATH:/usr/sbin:/sbin
if [ "$level" = deb ]; then
	need debootstrap debootstrap
	need systemd-nspawn systemd-container
elif [ "$level" = lintian ]; then
	need lintian lintian
else
	need node nodejs
	need npm npm
fi
if [ "$level" = test ] || [ "$level" = lab ]; then
	need gcc gcc
	[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
	need chromium chromium
	need firefox-esr firefox-esr
	need Xvfb xvfb
	need turnutils_uclient coturn
	need openssl openssl
	need certutil libnss3-tools
	need nginx nginx-light
	[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="$missing libnginx-mod-stream"
	need haproxy haproxy
fi
if [ "$level" = lab ]; then
	need ip iproute2
	need nft nftables
	need tinyproxy tinyproxy-bin
	need tcpdump tcpdump
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "Installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	# shellcheck disable=SC2086
	if { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
		rm -f "$log"
		exit 0
	fi
	cat "$log" >&2
	rm -f "$log"
	exit 1
fi
echo "Missing; run: sudo apt-get install --no-install-recommends$missing" >&2
exit 1
