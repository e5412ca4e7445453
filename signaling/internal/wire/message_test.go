package wire

import "testing"

// Every byte at every place of two words is found, and only that.
func TestNextSpecial(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := make([]byte, length)
				for i := range b {
					b[i] = byte(0x80 + 13*i%0x80) // no word is like another
				}
				b[at] = byte(c)
				want := length
				if !unescaped[c] {
					want = at
				}
				for from := range at + 1 {
					if got := nextSpecial(b, from); got != want {
						t.Fatalf("% x from %d: %d, want %d", b, from, got, want)
					}
				}
			}
		}
	}
}
