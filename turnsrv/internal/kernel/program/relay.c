// SPDX-License-Identifier: MIT
//
// The relay inside the kernel: a program at the ingress of an interface that forwards
// the packets of running calls. It knows only the flows that turnsrv has entered, each of
// which says what a packet becomes. Whatever it does not know or that is odd in any way
// goes on to the process unchanged (TCX_NEXT, or TC_ACT_UNSPEC of a filter, which are the
// same). It drops only what exceeds the limits of an allocation, as the process would.
//
// Payloads are moved and headers stay where they are: a checksum that the device is yet
// to make (CHECKSUM_PARTIAL) is counted from the place of the UDP header.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define NEXT (-1)  // to the next program or filter, and then to the process
#define DROP 2     // TCX_DROP, TC_ACT_SHOT

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define CHANNEL_HEADER 4
#define ICMPV6 58

#define SECOND 1000000000ULL
#define STALE (2 * SECOND) // a process that has not said for so long that it lives is gone
#define NONE 0xffffffffU
#define DAY (24 * 60 * 60)
// A flow begins with a pause of its packets, so that none overtakes those that the process
// has not sent on yet: its first packet after so long without one, or after AT_LAST.
#define PAUSE 15000000ULL
#define AT_LAST SECOND
#define TRIES 4            // to take from an account that others take from
#define SETTLES 50000000ULL // from when an ICMP error has come until the kernel has surely heeded it
#define LEAST_MTU 1280     // of an IP packet: what every path of IPv6 carries
#define MOST_MTU 9216      // of an IP packet, as the largest networks carry: see scratch
#define OWNERS 8           // processes that share the tables: those of upgrades that still carry calls

// IPv6, or IPv4-mapped.
struct address {
	__u8 bytes[16];
};

// What a packet is found by. Addresses are IPv6 or IPv4-mapped, ports in network order.
struct key {
	__u8 remote[16], local[16];
	__be16 remote_port, local_port;
	__be16 channel; // of ChannelData; 0: the whole payload is meant
	__u16 zero;
};

// What becomes of it. In the table it begins 96 bytes into an aligned block, so that what
// every packet needs is in two cache lines, of 32 and 64 bytes, and one more of the table's.
struct flow {
	__u64 expires; // nanoseconds of the server's clock
	__u32 term;    // the owner's
	__u32 in_index; // interfaces
	__u32 from, to; // allocations: whose client sends, whose receives; or NONE
	__be16 channel; // in which it is wrapped; 0: none
	__u16 mtu;      // of the way to target, at most MOST_MTU
	__u8 owner;     // the process that has entered it, and by whose clock it lives
	__u8 begun;
	__u8 out6;       // leaves over IPv6
	__u8 in_process; // between two clients of this server

	__u32 out_index;
	__u16 sum_in, sum_out; // of addresses and protocol, see RFC 1071
	__be16 source_port, target_port;
	__u8 from_family, to_family; // of the relayed address: 0 IPv4, 1 IPv6
	__u8 ttl;
	__u8 next_family; // 0: the kernel looks for the route with each packet
	__u8 source[16], target[16];
	__u8 next[16]; // the neighbour on the way to target

	__u64 entered, seen; // nanoseconds of the server's clock; seen: the last packet that went to the process
	__u64 asked;         // nanoseconds of the kernel's clock: when mtu was looked up
};

// One direction of an allocation: a cache line of what every packet touches. The process
// reads and writes it too.
struct direction {
	__u64 packets[2], bytes[2];     // by family
	__u64 last;                     // nanoseconds of the server's clock
	__u64 bytes_full, packets_full; // accounts, as in internal/ratelimit
	__u64 zero;
};

// What few touch, or with limits of users.
struct rare {
	__u64 over_bandwidth, over_packets, over_user_bandwidth, over_user_volume;
	__u64 in_process_packets, in_process_bytes;
	__u32 user; // or NONE
	__u32 zero[3];
};

struct slot {
	struct direction to_peer, to_client;
	struct rare rare_to_peer, rare_to_client;
};

// What all allocations of a user have had together, as core.Usage.
struct user {
	__u64 bytes_full; // an account
	__u64 began;      // of the day, in seconds of the server's clock; 0: none yet
	__u64 volume;     // bytes since
	__u64 zero;
};

// What a process says. It has its own limits and its own clock.
struct settings {
	__s64 offset; // from the kernel's monotonic clock to the server's
	__u64 beat;   // when the process has last said that it lives
	__u64 byte_cost, packet_cost; // nanoseconds, times 65536; 0: no limit
	__u32 term;   // another with each process that has this place: what the one before has entered is void
	__u32 process; // its id; 0: nobody has this place
	__u64 zero;
	__u64 user_byte_cost, user_volume; // the latter in bytes a day; 0: no limit
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OWNERS);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct user);
} users SEC(".maps");

// Whose slots and then whose users are, for the processes alone: the owner and one; 0:
// nobody's.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} claims SEC(".maps");

// The targets of which a router has said that its way is narrower than they were sent, and
// when it was said last, by the kernel's clock. What it goes by is left to the process, which
// asks the kernel how wide the way is now and enters the flows anew.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __u64);
} narrow SEC(".maps");

struct scratch {
	__u8 payload[16384]; // a power of two, for the verifier, of at least MOST_MTU
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

// How a packet's checksum is kept is in the socket buffer alone.
struct sk_buff {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

enum { CHECKSUM_PARTIAL = 3 };

extern void *bpf_cast_to_kern_ctx(void *skb) __ksym __attribute__((weak));

// partial reports whether a packet's checksum is yet to be made. The context is the socket
// buffer itself, which a program may look into only as what bpf_cast_to_kern_ctx says it is.
// That is of Linux 6.2; before, a helper reads the same, some 35 ns slower.
static __always_inline int partial(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = (const void *)skb;
	__u32 offset = __builtin_preserve_field_info(kernel->ip_summed, 0);
	__u32 size = __builtin_preserve_field_info(kernel->ip_summed, 1);
	__u32 left = __builtin_preserve_field_info(kernel->ip_summed, 4);
	__u32 right = __builtin_preserve_field_info(kernel->ip_summed, 5);
	__u64 v = 0; // little-endian

	if (!bpf_cast_to_kern_ctx) {
		bpf_probe_read_kernel(&v, size, (const void *)skb + offset); // what is there can be read
	} else {
		const void *at = bpf_cast_to_kern_ctx(skb) + offset;

		switch (size) {
		case 1:
			v = *(const __u8 *)at;
			break;
		case 2:
			v = *(const __u16 *)at;
			break;
		case 4:
			v = *(const __u32 *)at;
			break;
		default:
			v = *(const __u64 *)at;
		}
	}
	return (v << left) >> right == CHECKSUM_PARTIAL;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// take is ratelimit.Shared.Take, with a burst of a second.
static __always_inline int take(__u64 *account, __u64 now, __u64 cost, __u64 n)
{
	if (!cost)
		return 1;
	__u64 price = (cost * n) >> 16;
	for (int i = 0; i < TRIES; i++) {
		__u64 old = *(volatile __u64 *)account;
		__u64 full = (old > now ? old : now) + price;
		if (full - now > SECOND)
			return 0;
		if (__sync_val_compare_and_swap(account, old, full) == old)
			return 1;
	}
	return 1;
}

static __always_inline int affords(struct direction *d, struct rare *r, struct user *u, struct settings *set, __u64 now, __u32 n)
{
	if (!take(&d->packets_full, now, set->packet_cost, 1)) {
		__sync_fetch_and_add(&r->over_packets, 1);
		return 0;
	}
	if (!take(&d->bytes_full, now, set->byte_cost, n)) {
		__sync_fetch_and_add(&r->over_bandwidth, 1);
		return 0;
	}
	if (!u)
		return 1;
	if (!take(&u->bytes_full, now, set->user_byte_cost, n)) {
		__sync_fetch_and_add(&r->over_user_bandwidth, 1);
		return 0;
	}
	if (set->user_volume && __sync_fetch_and_add(&u->volume, n) + n > set->user_volume) {
		__sync_fetch_and_add(&u->volume, -(__u64)n);
		__sync_fetch_and_add(&r->over_user_volume, 1);
		return 0;
	}
	return 1;
}

// user_of finds the account of an allocation's user, where users have limits. The process
// begins the user's day.
static __always_inline int user_of(struct rare *r, struct settings *set, __u64 now, struct user **user)
{
	__u32 number;
	__u64 began, second = now / SECOND;

	if (!set->user_byte_cost && !set->user_volume)
		return 1;
	number = r->user;
	*user = bpf_map_lookup_elem(&users, &number);
	if (!*user)
		return 0;
	began = *(volatile __u64 *)&(*user)->began;
	return !set->user_volume || (began && second < began + DAY);
}

static __always_inline void count(struct direction *d, __u64 now, __u32 n, int family)
{
	if (family) {
		__sync_fetch_and_add(&d->packets[1], 1);
		__sync_fetch_and_add(&d->bytes[1], n);
	} else {
		__sync_fetch_and_add(&d->packets[0], 1);
		__sync_fetch_and_add(&d->bytes[0], n);
	}
	*(volatile __u64 *)&d->last = now;
}

// held leaves a packet of a flow to the process, and with it those that follow without a
// pause, so that they do not overtake it.
static __always_inline int held(struct flow *f, __u64 now)
{
	f->begun = 0;
	f->seen = f->entered = now;
	return NEXT;
}

struct ipv4 {
	__u8 version_length, tos;
	__be16 length, id, fragment;
	__u8 ttl, protocol;
	__be16 check;
	__u8 source[4], target[4];
};

struct ipv6 {
	__be32 version_flow;
	__be16 length;
	__u8 next, hops;
	__u8 source[16], target[16];
};

struct udp {
	__be16 source, target, length, check;
};

struct channel {
	__be16 number, length;
};

// What stands behind the IP header.
struct transport {
	struct udp udp;
	struct channel channel;
};

static __always_inline __u32 words(const void *p, int n)
{
	const __be16 *w = p;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < n; i++)
		sum += bpf_ntohs(w[i]);
	return sum;
}

static __always_inline void mapped(__u8 *to, const __u8 *from)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, from, 4);
}

// An ICMP error as far as it tells of a datagram: what comes before the IP header of that.
struct icmp {
	__u8 type, code;
	__be16 check;
	__be32 mtu;
};

// told notes that a way is narrower, of what an ICMP error says of a UDP datagram. The error
// itself goes on: the kernel believes it only of a port that is open.
static __always_inline int told(struct __sk_buff *skb, __u32 at, int six)
{
	struct address to = {};
	struct icmp icmp;
	__u64 now = bpf_ktime_get_ns();

	if (bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)) < 0)
		return NEXT;
	if (six) {
		struct ipv6 ip;

		if (icmp.type != 2 || bpf_skb_load_bytes(skb, at + sizeof(icmp), &ip, sizeof(ip)) < 0 || ip.next != IPPROTO_UDP)
			return NEXT; // RFC 4443, 3.2
		__builtin_memcpy(to.bytes, ip.target, 16);
	} else {
		struct ipv4 ip;

		if (icmp.type != 3 || icmp.code != 4 || bpf_skb_load_bytes(skb, at + sizeof(icmp), &ip, sizeof(ip)) < 0 ||
		    ip.protocol != IPPROTO_UDP)
			return NEXT; // RFC 1191, section 4
		mapped(to.bytes, ip.target);
	}
	bpf_map_update_elem(&narrow, &to, &now, BPF_ANY);
	return NEXT;
}

SEC("tc")
int relay(struct __sk_buff *skb)
{
	struct key key = {};
	struct transport in;
	__u32 zero = 0, at, length;

	// What is for another machine or cut from a VLAN goes on.
	if (skb->pkt_type != 0 || skb->vlan_present)
		return NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4 ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return NEXT;
		length = bpf_ntohs(ip.length);
		if (ip.protocol == IPPROTO_ICMP && ip.version_length == 0x45 && !(ip.fragment & bpf_htons(0x3fff)))
			return told(skb, ETH_HLEN + IPV4_HEADER, 0);
		if (ip.protocol != IPPROTO_UDP || ip.version_length != 0x45 || (ip.fragment & bpf_htons(0x3fff)) ||
		    length + ETH_HLEN != skb->len || fold(words(&ip, IPV4_HEADER / 2)) != 0xffff)
			return NEXT;
		at = ETH_HLEN + IPV4_HEADER;
		mapped(key.remote, ip.source);
		mapped(key.local, ip.target);
		length -= IPV4_HEADER;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6 ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return NEXT;
		length = bpf_ntohs(ip.length);
		if (ip.next == ICMPV6)
			return told(skb, ETH_HLEN + IPV6_HEADER, 1);
		if (ip.next != IPPROTO_UDP || (ip.version_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000) ||
		    length + ETH_HLEN + IPV6_HEADER != skb->len)
			return NEXT;
		at = ETH_HLEN + IPV6_HEADER;
		__builtin_memcpy(key.remote, ip.source, 16);
		__builtin_memcpy(key.local, ip.target, 16);
	} else {
		return NEXT;
	}
	if (bpf_skb_load_bytes(skb, at, &in, sizeof(in)) < 0 || bpf_ntohs(in.udp.length) != length)
		return NEXT; // of less than four bytes nothing is ChannelData, and nothing media
	if (length < UDP_HEADER + CHANNEL_HEADER || !in.udp.check)
		return NEXT;
	key.remote_port = in.udp.source;
	key.local_port = in.udp.target;

	struct flow *f = 0;
	__u32 head = 0, n = length - UDP_HEADER; // of the payload: what is taken off, and what is relayed
	if ((bpf_ntohs(in.channel.number) >> 14) == 1) {
		key.channel = in.channel.number;
		f = bpf_map_lookup_elem(&flows, &key);
	}
	if (f) {
		head = CHANNEL_HEADER;
		n = bpf_ntohs(in.channel.length);
	} else {
		key.channel = 0;
		f = bpf_map_lookup_elem(&flows, &key);
		if (!f)
			return NEXT;
	}

	__u32 owner = f->owner;
	struct settings *set = bpf_map_lookup_elem(&settings, &owner);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!set || !scratch || f->in_index != skb->ifindex || f->term != *(volatile __u32 *)&set->term)
		return NEXT;

	__u64 now = bpf_ktime_get_ns() + *(volatile __s64 *)&set->offset;
	__u32 body = length - UDP_HEADER - head; // with padding
	__u32 front = f->channel ? CHANNEL_HEADER : 0;
	__u32 udp = UDP_HEADER + front + n, ip = f->out6 ? IPV6_HEADER : IPV4_HEADER;

	// What was joined of several, or is too long, is for the process, and those after it too.
	if (skb->gso_size || ip + udp > f->mtu || n == 0 || n > body || body - n > 3)
		return held(f, now);
	if (ip + udp > LEAST_MTU) {
		__u64 *said = bpf_map_lookup_elem(&narrow, f->target);

		if (said && *said + SETTLES > f->asked)
			return held(f, now);
	}
	if (body > n) { // then it counts nothing in the checksum
		__u8 pad[3] = {};
		__u32 size = body - n;

		if (size == 1) {
			if (bpf_skb_load_bytes(skb, at + length - 1, pad, 1) < 0)
				return NEXT;
		} else if (size == 2) {
			if (bpf_skb_load_bytes(skb, at + length - 2, pad, 2) < 0)
				return NEXT;
		} else if (bpf_skb_load_bytes(skb, at + length - 3, pad, 3) < 0) {
			return NEXT;
		}
		if (pad[0] | pad[1] | pad[2])
			return held(f, now);
	}
	__u64 beat = *(volatile __u64 *)&set->beat;
	if (now >= f->expires || (now > beat && now - beat > STALE))
		return NEXT;

	if (!f->begun) {
		__u64 seen = f->seen;

		f->seen = now;
		if (now < seen + PAUSE && now < f->entered + AT_LAST)
			return NEXT;
		f->begun = 1;
	}

	// The checksum that is there, and the one that will be. What the device is to make
	// holds the pseudo header alone.
	struct transport out = {
		.udp = {f->source_port, f->target_port, bpf_htons(udp)},
		.channel = {f->channel, bpf_htons(n)},
	};
	__u16 check = bpf_ntohs(in.udp.check);
	if (check == fold(f->sum_in + length) && partial(skb)) {
		check = fold(f->sum_out + udp);
	} else {
		__u32 was = f->sum_in + 2 * length + words(&in.udp, 2);
		__u32 is = f->sum_out + 2 * udp + words(&out.udp, 2);

		if (head)
			was += words(&in.channel, 2);
		if (front)
			is += words(&out.channel, 2);
		check = ~fold((__u16)~check + is + (__u16)~fold(was));
		if (!check)
			check = 0xffff;
	}
	out.udp.check = bpf_htons(check);

	struct slot *from = 0, *to = 0;
	if (f->from != NONE && !(from = bpf_map_lookup_elem(&slots, &f->from)))
		return NEXT;
	if (f->to != NONE && !(to = bpf_map_lookup_elem(&slots, &f->to)))
		return NEXT;

	struct user *from_user = 0, *to_user = 0;
	if (from && !user_of(&from->rare_to_peer, set, now, &from_user))
		return NEXT;
	if (to && !user_of(&to->rare_to_client, set, now, &to_user))
		return NEXT;

	// All that may fail for want of memory comes first, and is undone: nothing after it
	// can fail.
	__u32 was_long = skb->len, long_as = at + UDP_HEADER + front + n, turned = f->out6 != (at == ETH_HLEN + IPV6_HEADER);
	if (long_as > was_long && bpf_skb_change_tail(skb, long_as, 0) < 0)
		return held(f, now);
	if (bpf_skb_pull_data(skb, skb->len) < 0 ||
	    (turned && bpf_skb_change_proto(skb, f->out6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0) < 0)) {
		if (long_as > was_long)
			bpf_skb_change_tail(skb, was_long, 0);
		return held(f, now);
	}
	at = ETH_HLEN + ip;

	// From here on it is the relay's.
	if (from) {
		if (!affords(&from->to_peer, &from->rare_to_peer, from_user, set, now, n))
			return DROP;
		count(&from->to_peer, now, n, f->from_family);
		if (f->in_process) {
			__sync_fetch_and_add(&from->rare_to_peer.in_process_packets, 1);
			__sync_fetch_and_add(&from->rare_to_peer.in_process_bytes, n);
		}
	}
	if (to) {
		if (!affords(&to->to_client, &to->rare_to_client, to_user, set, now, n))
			return DROP;
		count(&to->to_client, now, n, f->to_family);
	}

	if (front != head) {
		__u32 size = ((n - 1) & (sizeof(scratch->payload) - 1)) + 1; // n, as old verifiers see that it is not 0

		if (bpf_skb_load_bytes(skb, at + UDP_HEADER + head, scratch->payload, size) < 0 ||
		    bpf_skb_store_bytes(skb, at + UDP_HEADER + front, scratch->payload, size, BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP;
	}
	long_as = at + UDP_HEADER + front + n;
	if (long_as < skb->len && bpf_skb_change_tail(skb, long_as, 0) < 0)
		return DROP;
	if (f->out6) {
		struct ipv6 h = {
			.version_flow = bpf_htonl(0x60000000), .length = bpf_htons(udp), .next = IPPROTO_UDP, .hops = f->ttl,
		};

		__builtin_memcpy(h.source, f->source, 16);
		__builtin_memcpy(h.target, f->target, 16);
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP;
	} else {
		struct ipv4 h = {
			.version_length = 0x45, .length = bpf_htons(ip + udp), .fragment = bpf_htons(0x4000), .ttl = f->ttl,
			.protocol = IPPROTO_UDP,
		};

		__builtin_memcpy(h.source, f->source + 12, 4);
		__builtin_memcpy(h.target, f->target + 12, 4);
		h.check = bpf_htons((__u16)~fold(words(&h, IPV4_HEADER / 2)));
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP;
	}
	if (front) {
		if (bpf_skb_store_bytes(skb, at, &out, sizeof(out), BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP;
	} else if (bpf_skb_store_bytes(skb, at, &out.udp, sizeof(out.udp), BPF_F_RECOMPUTE_CSUM) < 0) {
		return DROP;
	}
	// The neighbour's link address is the kernel's to find, and where next_family is 0, as
	// for this host's own addresses, the neighbour.
	if (f->next_family == 0)
		return bpf_redirect_neigh(f->out_index, 0, 0, 0);
	struct bpf_redir_neigh next = {.nh_family = f->next_family};

	__builtin_memcpy(next.ipv6_nh, f->next, 16); // IPv4: the first four
	return bpf_redirect_neigh(f->out_index, &next, sizeof(next), 0);
}

char _license[] SEC("license") = "Dual MIT/GPL";
