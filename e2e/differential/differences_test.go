package differential

import (
	"regexp"
	"strings"
)

// A difference is one that may be: what was done, what each side made of it, and
// why turnhub is right or free to do so.
type difference struct {
	operation, turnhub, coturn string // regular expressions; empty: anything
	why                        string
}

// differences are all that are known. Where one side succeeded or relayed and
// the other did not, their states differ from there on and the sequence ends.
var differences = []difference{
	// Which of several errors is told. Nothing follows from it.
	{
		`^`, `^Allocate error response (400|4[0-9]{2} .*|508 .*)$`,
		`^Allocate error response 437$`,
		"RFC 8489 section 9.2.4 and RFC 8656 section 7.2, step 1: the request is authenticated before anything else; coturn answers 437 first, unsigned",
	},
	{
		`ChannelBind|CreatePermission`, `error response 437 integrity$`, `error response 400 integrity$`,
		"RFC 8656 section 5: without an allocation the answer is 437; coturn says 400",
	},
	{
		`^`, `error response 4(00|01|20|37|38|41)( .*)?$`, `error response 441$`,
		"RFC 8489 section 9.2.4: credentials, realm and integrity are checked first (401), then comes 441 of RFC 8656 section 5, signed; coturn compares user and realm with the allocation's first",
	},
	{
		`credentials expired`, `error response (4[0-9][0-9]) integrity`, `error response 401 nonce realm=parallel$`,
		"an expired username is still good for everything but Allocate, so that calls outlive their credentials; coturn says 401 at any time",
	},
	{
		`(Allocate none|Refresh lifetime -1|CreatePermission|ChannelBind).*credentials none`, `^$`, `error response 401 nonce realm=parallel$`,
		"an answer of more than 1.5 times a request that proves nothing about its source would serve floods; the first requests of real clients are longer",
	},
	{
		`unknown attribute`, `error response 420 integrity unknown=7f 21$`, `error response (400|403|437|440|442|443|508) integrity$`,
		"RFC 8489 section 6.3.1: unknown comprehension-required attributes are looked for before the request is carried out",
	},
	{
		`Allocate .*token`, `error response (400|508) integrity$`, `error response (404|440) integrity$`,
		"RFC 8656 section 7.2, step 6: a RESERVATION-TOKEN that is not valid is refused with 508, together with other wishes with 400",
	},
	{
		`Allocate (TCP|unknown)`, `error response 442 integrity$`, `error response 400 integrity$`,
		"RFC 8656 section 7.2, step 3: a transport other than UDP is refused with 442",
	},
	{
		`(ChannelBind|CreatePermission) .*`, `error response 400 integrity$`, `error response 443 integrity$`,
		"RFC 8656 sections 10.2 and 12.2: what is wrong with the request itself (400) comes before the family of a peer (443)",
	},
	{
		`malformed, attribute past the end`, `^$`, `Allocate error response (401 nonce realm=parallel|437)$`,
		"RFC 8489 section 6.3: a message whose attributes do not fit is malformed and silently discarded",
	},

	// What coturn takes and turnhub refuses, or the other way round.
	{
		`Allocate .*additional IPv[46]`, `error response 400 integrity$`, `Allocate success`,
		"RFC 8656 section 7.2, steps 6 and 8: ADDITIONAL-ADDRESS-FAMILY may only ask for IPv6, and not together with RESERVATION-TOKEN, REQUESTED-ADDRESS-FAMILY or EVEN-PORT's R bit: 400",
	},
	{
		`Allocate .*additional IPv6`, `success response .* relayed=IPv4 relayed=IPv6`, `success response .* relayed=IPv4$`,
		"RFC 8656 section 7.2, step 8: the second address is allocated, or ADDRESS-ERROR-CODE says why not",
	},
	{
		`Allocate`, `^Allocate success response integrity lifetime=[0-9]+ mapped relayed=IPv[46]( relayed=IPv6)?( token)?$`, `^Allocate error response 437$|relayed=nonsense`,
		"coturn takes a five-tuple from which other requests were refused for one with an allocation: 437, or success with the address 0.0.0.0:0",
	},
	{
		`Allocate .* token .*credentials somebody else`, `error response 508 integrity$`, `Allocate success`,
		"a reservation belongs to the user who made it; RFC 8656 section 7.2 leaves open who may present the token",
	},
	{
		`ChannelBind 0x(5000|7fff|7FFF)`, `error response 400 integrity$`, `ChannelBind success`,
		"RFC 8656 section 12: channel numbers end at 0x4FFF; RFC 5766, and coturn, went on to 0x7FFF",
	},
	{
		`ChannelData .*trailing bytes`, `×[12]`, `^$`,
		"RFC 8656 sections 12.5 and 12.6: over UDP bytes behind the stated length are padding, which a sender may include; coturn drops the message",
	},
	{
		`CreatePermission .*short true`, `error response 400 integrity$`, `CreatePermission success`,
		"RFC 8656 section 10.2: a malformed XOR-PEER-ADDRESS is refused with 400, and nothing of the request is carried out",
	},
}

func known(operation, turnhub, coturn string) (difference, bool) {
	for _, d := range differences {
		if regexp.MustCompile(d.operation).MatchString(operation) &&
			regexp.MustCompile(d.turnhub).MatchString(turnhub) &&
			regexp.MustCompile(d.coturn).MatchString(coturn) {
			return d, true
		}
	}
	return difference{}, false
}

// diverged tells whether the two sides are in different states after outcomes
// x and y.
func diverged(x, y string) bool {
	changed := func(s string) bool { return strings.Contains(s, "success") || strings.Contains(s, "×") }
	return changed(x) || changed(y)
}
