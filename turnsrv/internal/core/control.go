package core

import (
	"encoding/binary"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/wire"
)

// request is a STUN request being answered.
type request struct {
	*stun.Message
	wire.Signature
	client *Client
	size   int // bytes of the message as received

	// After authentication:
	key            [16]byte
	username, user string
	realm          string // the one of ours that the client has used
	authenticated  bool
}

// control handles every STUN message but Send indications, in the order of RFC
// 8489 section 6.3.
func (s *Shard) control(c *Client, g wire.Segment) {
	if !s.affords(c, g.Bytes()) {
		s.drop(DropControl)
		return
	}
	s.req.Raw = append(s.req.Raw[:0], g.Bytes()...)
	if err := s.req.Decode(); err != nil {
		s.drop(DropMalformed)
		return
	}
	signed, ok := wire.SignatureOf(&s.req)
	if !ok {
		s.drop(DropFingerprint)
		return
	}
	q := request{Message: &s.req, Signature: signed, client: c, size: g.Len()}
	if q.Type.Class != stun.ClassRequest {
		// Binding indications keep a path alive and need no answer; responses
		// answer nothing that we asked.
		if q.Type.Class != stun.ClassIndication || q.Type.Method != stun.MethodBinding {
			s.drop(DropUnexpected)
		}
		return
	}
	if int(q.Type.Method) < len(s.count.requests) {
		s.count.requests[q.Type.Method]++
	} else {
		s.count.requests[0]++
	}
	if q.Type.Method == stun.MethodBinding {
		s.binding(&q)
		return
	}
	switch q.Type.Method {
	case stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind:
	default:
		// RFC 8489 section 6.3.1: a method that the server does not know.
		s.fail(&q, stun.CodeBadRequest)
		return
	}
	if !s.authenticate(&q) {
		return
	}
	if unknown := s.unknown(&q); unknown != nil {
		s.failUnknown(&q, unknown)
		return
	}
	a := c.alloc
	if q.Type.Method == stun.MethodAllocate {
		s.allocate(&q)
		return
	}
	// RFC 8656 sections 5, 7.3, 9.2 and 12.3.
	if a == nil {
		if q.Type.Method == stun.MethodRefresh && s.ended.has(q.TransactionID, c.Key, q.username) {
			s.refreshed(&q, 0)
			return
		}
		s.fail(&q, stun.CodeAllocMismatch)
		return
	}
	a.touch(s.second)
	switch q.Type.Method {
	case stun.MethodRefresh:
		s.refresh(&q, a)
	case stun.MethodCreatePermission:
		s.createPermission(&q, a)
	case stun.MethodChannelBind:
		s.channelBind(&q, a)
	}
}

// unknown lists the comprehension-required attributes that this server does not
// know, the first ones at least.
func (s *Shard) unknown(q *request) (types []stun.AttrType) {
	for _, a := range q.Attributes {
		if len(types) == maxUnknown {
			break
		}
		if a.Type.Required() && !wire.KnownRequired(a.Type) ||
			a.Type == stun.AttrDontFragment && !s.unfragmented {
			types = append(types, a.Type)
		}
	}
	return types
}

// value returns an attribute of exactly size bytes. present says whether there is
// one of any size.
func (q *request) value(t stun.AttrType, size int) (v []byte, present, ok bool) {
	a, present := q.Attributes.Get(t)
	return a.Value, present, present && len(a.Value) == size
}

// authenticate runs the server's side of the long-term credential mechanism (RFC
// 8489 section 9.2.4) and answers if it fails. The nonce is looked at first: it
// costs one short hash, and without a valid one the client's address may be
// spoofed, so that nothing dearer is done for it.
func (s *Shard) authenticate(q *request) bool {
	if q.Integrity == nil {
		s.refuse(q, stun.CodeUnauthorized, AuthChallenged)
		return false
	}
	username, errU := q.Get(stun.AttrUsername)
	realm, errR := q.Get(stun.AttrRealm)
	nonce, errN := q.Get(stun.AttrNonce)
	if errU != nil || errR != nil || errN != nil {
		s.refuse(q, stun.CodeBadRequest, AuthIncomplete)
		return false
	}
	switch string(realm) {
	case s.shared.cfg.Realm:
		q.realm = s.shared.cfg.Realm
	case s.shared.shortRealm:
		q.realm = s.shared.shortRealm
	}
	if !s.nonces.Valid(nonce, s.second, q.client.Addr) {
		s.refuse(q, stun.CodeStaleNonce, AuthStaleNonce)
		return false
	}
	if q.realm == "" {
		s.refuse(q, stun.CodeUnauthorized, AuthBadUsername)
		return false
	}
	if a := q.client.alloc; a != nil && s.shared.revoked(a.username) {
		s.count.revoked++
		s.end(a)
	}
	if a := q.client.alloc; a != nil && a.username == string(username) && s.mac.Verify(q.Raw, q.Signature, a.key[:]) {
		q.username, q.user, q.key, q.authenticated = a.username, a.user, a.key, true
		s.count.auth[AuthOK]++
		return true
	}
	q.username = string(username)
	expires, user, err := credentials.ParseUsername(q.username)
	if err != nil {
		s.refuse(q, stun.CodeUnauthorized, AuthBadUsername)
		return false
	}
	for _, key := range s.shared.cfg.Credentials.Keys(q.username, q.realm) {
		if s.mac.Verify(q.Raw, q.Signature, key[:]) {
			q.key, q.user, q.authenticated = key, user, true
			break
		}
	}
	if !q.authenticated {
		s.refuse(q, stun.CodeUnauthorized, AuthBadIntegrity)
		return false
	}
	a := q.client.alloc
	if q.Type.Method != stun.MethodAllocate {
		if a != nil && a.username != q.username {
			// RFC 8656 section 5, of requests other than Allocate: that one is told
			// that the five-tuple is taken (section 7.2), so that it tries another.
			s.count.auth[AuthWrongUser]++
			s.fail(q, stun.CodeWrongCredentials)
			return false
		}
	} else if a == nil || a.username != q.username {
		// The credential's expiry counts when an allocation is asked for, never
		// afterwards: a call may outlive its credential.
		result := AuthOK
		if !time.Now().Before(expires) {
			result = AuthExpired
		} else if s.shared.voids(user, expires) {
			result = AuthRevoked
		}
		if result != AuthOK {
			q.authenticated = false
			s.refuse(q, stun.CodeUnauthorized, result)
			return false
		}
	}
	s.count.auth[AuthOK]++
	return true
}

// reply begins a response in the shard's working storage.
func (s *Shard) reply(q *request, class stun.MessageClass) *stun.Message {
	m := &s.res
	m.Reset()
	m.Type = stun.NewType(q.Type.Method, class)
	m.TransactionID = q.TransactionID
	m.WriteHeader()
	return m
}

// finish signs a response as the request was signed and sends it. Every answer
// leaves here, so that this is where the amplification limit is kept: to a request
// without valid credentials over UDP, whose source may be spoofed, nothing is sent
// that exceeds it. It reports whether the answer was sent.
func (s *Shard) finish(q *request, m *stun.Message) bool {
	if q.authenticated {
		if s.shared.cfg.Software != "" {
			m.Add(stun.AttrSoftware, []byte(s.shared.cfg.Software))
		}
		m.Add(stun.AttrMessageIntegrity, s.mac.Integrity(m.Raw, q.key[:]))
	}
	if q.Fingerprint {
		m.Length += wire.AttributeSize + 4
		m.WriteLength()
		var v [4]byte
		binary.BigEndian.PutUint32(v[:], stun.FingerprintValue(m.Raw))
		m.Length -= wire.AttributeSize + 4
		m.Add(stun.AttrFingerprint, v[:])
	}
	if q.unproven() && !q.within(len(m.Raw)) {
		s.drop(DropAmplification)
		return false
	}
	s.io.ToClient(q.client, s.placed(m.Raw), false)
	return true
}

// finishError sends an error response and counts it.
func (s *Shard) finishError(q *request, code stun.ErrorCode, m *stun.Message) {
	if s.finish(q, m) {
		s.count.errors[int(code)]++
	}
}

// fail answers with an error code (RFC 8489 section 6.3.1.1).
func (s *Shard) fail(q *request, code stun.ErrorCode) {
	if !s.mayAnswer(q) {
		return
	}
	m := s.reply(q, stun.ClassErrorResponse)
	wire.AddErrorCode(m, code, s.reason(q, code, 0))
	s.finishError(q, code, m)
}

// failUnknown answers 420 with the attributes that are not known.
func (s *Shard) failUnknown(q *request, types []stun.AttrType) {
	if !s.mayAnswer(q) {
		return
	}
	v := make([]byte, 0, 2*len(types))
	for _, t := range types {
		v = binary.BigEndian.AppendUint16(v, uint16(t))
	}
	m := s.reply(q, stun.ClassErrorResponse)
	wire.AddErrorCode(m, stun.CodeUnknownAttribute, s.reason(q, stun.CodeUnknownAttribute, wire.AttributeSize+wire.Padded(len(v))))
	m.Add(stun.AttrUnknownAttributes, v)
	s.finishError(q, stun.CodeUnknownAttribute, m)
}

// refuse answers a request whose credentials did not do.
func (s *Shard) refuse(q *request, code stun.ErrorCode, result AuthResult) {
	s.count.auth[result]++
	if tell := s.shared.cfg.Refused; tell != nil && (result == AuthBadIntegrity || result == AuthBadUsername) {
		// The client has echoed our nonce, so its address is genuine, and a program like
		// fail2ban may act on it.
		tell(q.client.Addr.Addr(), q.client.Transport, result)
	}
	if !s.mayAnswer(q) {
		return
	}
	m := s.reply(q, stun.ClassErrorResponse)
	if code == stun.CodeBadRequest {
		wire.AddErrorCode(m, code, s.reason(q, code, 0))
		s.finishError(q, code, m)
		return
	}
	nonce := s.nonces.Make(s.second, q.client.Addr)
	realm := s.realm(q)
	wire.AddErrorCode(m, code, s.reason(q, code, 2*wire.AttributeSize+wire.Padded(len(realm))+wire.NonceSize))
	m.Add(stun.AttrRealm, []byte(realm))
	m.Add(stun.AttrNonce, nonce[:])
	s.finishError(q, code, m)
}

// realm is the one that an answer names: what the client has used already, else
// the server's, else the short form of that where the answer would be too long.
func (s *Shard) realm(q *request) string {
	full := s.shared.cfg.Realm
	switch {
	case q.realm != "":
		return q.realm
	case !q.roomFor(wire.HeaderSize + wire.ErrorCodeSize("") + 2*wire.AttributeSize + wire.Padded(len(full)) + wire.NonceSize):
		return s.shared.shortRealm
	}
	return full
}

// unproven reports whether the source of a request may be spoofed: it came over
// UDP and without valid credentials.
func (q *request) unproven() bool { return !q.authenticated && q.client.Transport == wire.UDP }

// mayAnswer bounds how often unproven requests can make the server send, so that it is
// no reflector.
func (s *Shard) mayAnswer(q *request) bool {
	if !q.unproven() {
		return true
	}
	rate := s.shared.limits.Load().UnauthenticatedPerPrefix * float64(s.shared.cfg.Gateway.Times(q.client.Addr.Addr()))
	if !s.shared.prefixes.Take(q.client.Addr.Network(), s.now, aSecondsWorth(rate)) {
		s.drop(DropRateLimited)
		return false
	}
	return true
}

// reason returns the reason phrase of a code, or none where it would make the
// answer to an unproven request too long. others is the size of the other
// attributes.
func (s *Shard) reason(q *request, code stun.ErrorCode, others int) string {
	phrase := wire.CodeReasons[code]
	if !q.roomFor(wire.HeaderSize + wire.ErrorCodeSize(phrase) + others) {
		return ""
	}
	return phrase
}

// roomFor reports whether an answer of that many bytes, and FINGERPRINT where the
// request has one, may be sent.
func (q *request) roomFor(answer int) bool {
	if q.Fingerprint {
		answer += wire.AttributeSize + 4
	}
	return !q.unproven() || q.within(answer)
}

// within reports whether an answer of that many bytes stays within the
// amplification limit.
func (q *request) within(answer int) bool {
	headers := 20 + 8
	if !q.client.Addr.Is4() {
		headers = 40 + 8
	}
	return (answer+headers)*100 <= (q.size+headers)*amplification
}

// binding answers a Binding request (RFC 8489 section 6.3.1); it needs no
// credentials.
func (s *Shard) binding(q *request) {
	if unknown := s.unknown(q); unknown != nil {
		s.failUnknown(q, unknown)
		return
	}
	if !s.mayAnswer(q) {
		return
	}
	m := s.reply(q, stun.ClassSuccessResponse)
	wire.AddXORAddress(m, stun.AttrXORMappedAddress, q.client.Addr)
	if s.shared.cfg.Software != "" && q.roomFor(len(m.Raw)+wire.AttributeSize+wire.Padded(len(s.shared.cfg.Software))) {
		m.Add(stun.AttrSoftware, []byte(s.shared.cfg.Software))
	}
	s.finish(q, m)
}
