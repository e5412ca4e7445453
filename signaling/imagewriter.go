package signaling

import (
	"encoding/binary"
	"encoding/json"
	"unsafe"

	"turnhub/signaling/internal/delivery"
)

// imageWriter makes the records of a step. What many are told is in it once.
type imageWriter struct {
	text  []byte // the frame of the step
	begin int    // where in it the records begin
	known map[*byte]uint64
	k     delivery.Kept // the session that is being told of
}

// start begins the step of that number, which may be as long as the one before.
func (w *imageWriter) start(at uint64) {
	size := min(len(w.text)+len(w.text)/2, mostImage)
	w.text = binary.AppendUvarint(append(make([]byte, 0, max(size, 64)), kindImage, imageStep), at)
	w.begin = len(w.text)
	if len(w.known) > mostReused {
		w.known = nil
	}
	clear(w.known)
}

func (w *imageWriter) empty() bool { return len(w.text) == w.begin }

func (w *imageWriter) record(kind byte, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		return
	}
	w.text = binary.AppendUvarint(append(w.text, kind), uint64(len(text)))
	w.text = append(w.text, text...)
}

func (w *imageWriter) end(ref delivery.Ref) {
	w.text = binary.AppendUvarint(append(w.text, recordEnd), uint64(ref))
}

// How a text is told in an image.
const (
	textWhole = iota // its length and itself
	textYours        // the number of the message of the second that it is
	textKnown        // that of those in the step which is the first, and so on
)

// had says what a session has had of another one; of nobody: of all that were said before it
// has forgotten.
func (w *imageWriter) had(ref delivery.Ref, of string, t *had) {
	b := binary.AppendUvarint(append(w.text, recordHad), uint64(ref))
	b = append(binary.AppendUvarint(b, uint64(len(of))), of...)
	b = binary.AppendUvarint(b, t.Highest)
	b = binary.AppendUvarint(b, uint64(len(t.Refused)))
	for _, n := range t.Refused {
		b = binary.AppendUvarint(b, n)
	}
	w.text = b
}

// hadAll says what a session has had of all others, and that there are no more.
func (w *imageWriter) hadAll(s *member) {
	w.had(s.ref, "", &had{})
	for id, t := range s.hadOf {
		w.had(s.ref, id, t)
	}
}

func (w *imageWriter) kept(ref delivery.Ref, plain bool) {
	b, k := append(w.text, recordKept), &w.k
	flags := uint64(0)
	if plain {
		flags = 1
	}
	for _, n := range []uint64{uint64(ref), flags, k.Base, k.Last, k.Handled, uint64(len(k.Held))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, n := range k.Held {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Items)))
	for i, text := range k.Items {
		at := unsafe.SliceData(text)
		if n, is := w.known[at]; is {
			b = binary.AppendUvarint(b, n)
			continue
		}
		if w.known == nil {
			w.known = make(map[*byte]uint64)
		}
		w.known[at] = uint64(len(w.known)) + textKnown
		if n := k.Numbers[i]; n != 0 {
			b = binary.AppendUvarint(append(b, textYours), n)
			continue
		}
		b = binary.AppendUvarint(append(b, textWhole), uint64(len(text)))
		b = append(b, text...)
	}
	w.text = b
}

const (
	mostImage = 2 << 20        // how long a frame of an image may be
	mostStep  = 32 * mostImage // and a step, in many of them
)

// frames returns the frames of the step; none where it has no records.
func (w *imageWriter) frames() (list [][]byte) {
	switch {
	case w.empty():
		return nil
	case len(w.text) <= mostImage:
		return [][]byte{w.text}
	}
	rest := w.text[w.begin:]
	for len(rest) > mostImage {
		list = append(list, append([]byte{kindImage, imagePart}, rest[:mostImage]...))
		rest = rest[mostImage:]
	}
	return append(list, append(w.text[:w.begin:w.begin], rest...))
}
