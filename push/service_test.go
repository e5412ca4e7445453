package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// open8291 reads what seal has written, along the RFCs and with nothing of the package.
func open8291(body []byte, private *ecdh.PrivateKey, auth []byte) ([]byte, error) {
	if len(body) < 21 {
		return nil, errors.New("no header")
	}
	salt, size, n := body[:16], binary.BigEndian.Uint32(body[16:]), int(body[20])
	if n != 65 || len(body) < 21+n+17 || len(body)-21-n > int(size) || len(body) > 4096 {
		return nil, fmt.Errorf("key of %d bytes, record of %d, in %d", n, size, len(body))
	}
	sender, err := ecdh.P256().NewPublicKey(body[21 : 21+n])
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(sender)
	if err != nil {
		return nil, err
	}
	prk, _ := hkdf.Extract(sha256.New, shared, auth)
	ikm, _ := hkdf.Expand(sha256.New, prk, "WebPush: info\x00"+string(private.PublicKey().Bytes())+string(sender.Bytes()), 32)
	prk, _ = hkdf.Extract(sha256.New, ikm, salt)
	key, _ := hkdf.Expand(sha256.New, prk, "Content-Encoding: aes128gcm\x00", 16)
	nonce, _ := hkdf.Expand(sha256.New, prk, "Content-Encoding: nonce\x00", 12)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, body[21+n:], nil)
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(plain), "\x00")
	if !strings.HasSuffix(text, "\x02") {
		return nil, errors.New("no end of the last record")
	}
	return []byte(text[:len(text)-1]), nil
}

// open8292 checks a header of RFC 8292 as a push service does.
func open8292(header, audience string, now time.Time) (map[string]any, error) {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	text, k, both := strings.Cut(rest, ", k=")
	parts := strings.Split(text, ".")
	if !ok || !both || len(parts) != 3 {
		return nil, errors.New("no header of RFC 8292")
	}
	var decoded [4][]byte
	for i, part := range append(parts, k) {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, err
		}
		decoded[i] = b
	}
	var head struct{ Alg, Typ string }
	claims := map[string]any{}
	if json.Unmarshal(decoded[0], &head) != nil || head.Alg != "ES256" || json.Unmarshal(decoded[1], &claims) != nil {
		return nil, errors.New("no ES256")
	}
	if len(decoded[3]) != 65 || len(decoded[2]) != 64 {
		return nil, errors.New("wrong sizes")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), decoded[3])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(decoded[2][:32]), new(big.Int).SetBytes(decoded[2][32:])) {
		return nil, errors.New("wrong signature")
	}
	exp, _ := claims["exp"].(float64)
	if left := time.Unix(int64(exp), 0).Sub(now); left <= 0 || left > 24*time.Hour {
		return nil, fmt.Errorf("good for %v", left)
	}
	if claims["aud"] != audience {
		return nil, fmt.Errorf("for %v", claims["aud"])
	}
	return claims, nil
}

// service is a push service, and the browsers that have subscribed there.
type service struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	browsers map[string]*browser // by path
	answer   func(path string) (status int, header http.Header)
	tries    int
}

// browser is one subscription, and what has come for it.
type browser struct {
	text    string // of the subscription
	private *ecdh.PrivateKey
	auth    []byte
	got     []said
}

type said struct {
	Type, Call, To, User, Name, Decline, Reason string
	At                                          int64
	ttl                                         int
	topic                                       string
}

func newService(t *testing.T) *service {
	s := &service{t: t, browsers: make(map[string]*browser)}
	s.server = httptest.NewTLSServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *service) host() string { return strings.TrimPrefix(s.server.URL, "https://") }

// subscribe is PushManager.subscribe.
func (s *service) subscribe(name string) *browser {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{private: private, auth: make([]byte, 16)}
	rand.Read(b.auth)
	b.text = fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}}`, s.server.URL+"/"+name,
		base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.browsers["/"+name] = b
	return b
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.answer != nil {
		if status, header := s.answer(r.URL.Path); status != 0 {
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
			return
		}
	}
	b := s.browsers[r.URL.Path]
	if b == nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	one, err := b.read(r, "https://"+s.host())
	if err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.got = append(b.got, one)
	w.Header().Set("Location", s.server.URL+"/message")
	w.WriteHeader(http.StatusCreated)
}

func (b *browser) read(r *http.Request, audience string) (one said, err error) {
	h := r.Header
	if r.Method != http.MethodPost || h.Get("Content-Encoding") != "aes128gcm" || h.Get("Urgency") != "high" {
		return one, fmt.Errorf("%v", h)
	}
	if one.ttl, err = strconv.Atoi(h.Get("TTL")); err != nil || one.ttl < 0 {
		return one, fmt.Errorf("TTL %q", h.Get("TTL"))
	}
	one.topic = h.Get("Topic")
	if len(one.topic) == 0 || len(one.topic) > 32 || strings.Trim(one.topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return one, fmt.Errorf("topic %q", one.topic)
	}
	if _, err := open8292(h.Get("Authorization"), audience, time.Now()); err != nil {
		return one, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return one, err
	}
	if len(body) != 86+paddedSize+16 {
		return one, fmt.Errorf("%d bytes: the length tells of the content", len(body))
	}
	text, err := open8291(body, b.private, b.auth)
	if err != nil {
		return one, err
	}
	return one, json.Unmarshal(text, &one)
}

func (s *service) said(b *browser) []said {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]said(nil), b.got...)
}

func (s *service) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *service) answers(f func(path string) (int, http.Header)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}
