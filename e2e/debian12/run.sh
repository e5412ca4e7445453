#!/bin/sh
# Runs a command on the kernel of Debian 12 (6.1), in a virtual machine that has this one's
# files, which it may change for itself: e2e/debian12/run.sh COMMAND
# The path inside the kernel is other there: a filter instead of tcx, and an older verifier.
# Needs qemu-system-x86, busybox-static, kmod, and the kernel's package: from IMAGE, or from
# a Debian 12 by apt-get. The machine is emulated, some ten times slower than this one.
set -eu
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "${machine:-}" ] || kill "$machine" 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM
cache=${XDG_CACHE_HOME:-$HOME/.cache}/turnhub-debian12
if [ ! -e "$cache/boot" ]; then
	image=${IMAGE:-}
	if [ -z "$image" ]; then
		package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-6\.1\./ {print $2; exit}')
		[ -n "$package" ] || { echo "no Debian 12 to take its kernel from: name the package linux-image-6.1.*-amd64 by IMAGE" >&2; exit 1; }
		(cd "$work" && apt-get download -q "$package")
		image=$(echo "$work"/*.deb)
	fi
	dpkg-deb -x "$image" "$work/image"
	depmod -b "$work/image" "$(ls "$work/image/lib/modules")"
	mkdir -p "$(dirname "$cache")"
	mv "$work/image" "$cache"
fi
version=$(ls "$cache/lib/modules")

# An initial file system that finds this machine's, and puts changes into memory.
root=$work/initrd
mkdir -p "$root/bin" "$root/modules" "$root/root"
cp "$(command -v busybox)" "$root/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p overlay; do
	modprobe -d "$cache" -S "$version" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' >"$root/order"
while read -r file; do cp "$file" "$root/modules/"; done <"$root/order"
printf '%s\n' "$*" >"$root/command"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir /proc /here /changes /images
$b mount -t proc proc /proc
while read -r file; do $b insmod "/modules/${file##*/}"; done </order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose here /here &&
	$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose image /images &&
	$b mount -t tmpfs -o size=2g tmpfs /changes && $b mkdir /changes/upper /changes/work &&
	$b mount -t overlay -o lowerdir=/here,upperdir=/changes/upper,workdir=/changes/work overlay /root || $b poweroff -f
$b umount /proc
$b mount -t proc proc /root/proc
$b mount -t sysfs sysfs /root/sys
$b mount -t devtmpfs devtmpfs /root/dev
$b mount -t tmpfs tmpfs /root/run
$b mkdir -p /root/lib/modules /root/run/home /root/run/tmp /root/run/netns
$b mount -o bind /images/lib/modules /root/lib/modules
$b cp /command /root/run/command
$b cat >/root/run/inside <<'INSIDE'
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home TMPDIR=/run/tmp
ip link set lo up
echo "Linux $(uname -r)"
sh /run/command
echo "status: $?"
echo o >/proc/sysrq-trigger
sleep 60
INSIDE
exec $b switch_root /root /bin/sh /run/inside
INIT
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd.gz"
: >"$work/log"
timeout 2h qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 3072 -smp "${CPUS:-1}" -nographic -no-reboot -nic none \
	-kernel "$cache/boot/vmlinuz-$version" -initrd "$work/initrd.gz" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off sysrq_always_enabled" \
	-fsdev local,id=here,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=here,mount_tag=here \
	-fsdev local,id=image,path="$cache",security_model=none,readonly=on -device virtio-9p-pci,fsdev=image,mount_tag=image \
	</dev/null >"$work/log" 2>&1 &
machine=$!
tail -n +1 -f --pid="$machine" "$work/log" | sed -u 's/\r//' &
wait "$machine" || true
machine=
sleep 1 # the last lines
tr -d '\r' <"$work/log" | grep -q '^status: 0$'
