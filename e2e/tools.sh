#!/bin/sh
# Makes sure that what the tests drive is there: a C compiler for the race detector, Node for the client,
# Chromium, Firefox (and a screen for it to share) and coturn's client to call through the server, and for the network lab nftables and its friends.
# As root it installs what is missing with apt-get; otherwise it says in one line what to install.
# Usage: tools.sh [lint|test|lab|soak|stacks|deb|lintian]   (lint, test, lab, soak: each includes the one before it; stacks includes test)
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
if [ "$level" = test ] || [ "$level" = lab ] || [ "$level" = soak ] || [ "$level" = stacks ]; then
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
	need nats-server nats-server
fi
if [ "$level" = stacks ]; then
	for module in aiortc aiohttp gi; do
		/usr/bin/python3 -c "import $module" >/dev/null 2>&1 || missing="$missing python3-$module"
	done
	need gst-launch-1.0 gstreamer1.0-tools
	[ -e "$(find /usr/lib -name libgstnice.so -print -quit)" ] || missing="$missing gstreamer1.0-nice"
	[ -e "$(find /usr/lib -name libgstwebrtc.so -print -quit)" ] || missing="$missing gstreamer1.0-plugins-bad gir1.2-gst-plugins-bad-1.0"
fi
if [ "$level" = soak ]; then # proxies in front of a server, one that reads HTTPS, a builder of images, and a sound card for Firefox
	need apache2 apache2-bin
	need caddy caddy
	need buildah buildah
	[ -x /usr/lib/squid/security_file_certgen ] || missing="$missing squid-openssl"
	need pulseaudio pulseaudio
fi
if [ "$level" = lab ] || [ "$level" = soak ]; then
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
