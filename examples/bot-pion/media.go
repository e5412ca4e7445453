package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// played is what everybody gets, and where what comes is written.
type played struct {
	api      *webrtc.API
	tracks   []webrtc.TrackLocal
	folder   string // empty: nothing is written
	recorded atomic.Int32
}

// play sends a VP8 file and an Opus file round and round, into every connection that has their tracks.
func play(video, audio, folder string) (*played, error) {
	engine, settings := &webrtc.MediaEngine{}, webrtc.SettingEngine{}
	// VP8 and Opus alone: what the files are, and what is written.
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	err := errors.Join(
		engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: vp8, PayloadType: 96}, webrtc.RTPCodecTypeVideo),
		engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio))
	picture, err2 := webrtc.NewTrackLocalStaticSample(vp8, "video", "bot")
	sound, err3 := webrtc.NewTrackLocalStaticSample(opus, "audio", "bot")
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	settings.SetIncludeLoopbackCandidate(true) // a server on this machine is tried out, too
	frames, interval, err := readIVF(video)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", video, err)
	}
	packets, err := readOGG(audio)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", audio, err)
	}
	go loop(picture, frames, interval)
	go loop(sound, packets, 20*time.Millisecond)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings))
	return &played{api: api, tracks: []webrtc.TrackLocal{picture, sound}, folder: folder}, nil
}

func loop(track *webrtc.TrackLocalStaticSample, samples [][]byte, each time.Duration) {
	tick := time.NewTicker(each)
	for i := 0; ; i = (i + 1) % len(samples) {
		<-tick.C
		logged(track.WriteSample(media.Sample{Data: samples[i], Duration: each}))
	}
}

func readIVF(name string) (frames [][]byte, each time.Duration, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	reader, header, err := ivfreader.NewWith(file)
	if err != nil {
		return nil, 0, err
	}
	if header.FourCC != "VP80" || header.TimebaseDenominator == 0 || header.TimebaseNumerator == 0 {
		return nil, 0, fmt.Errorf("it has %s with %d/%d s for each tick; VP8 is needed", header.FourCC, header.TimebaseNumerator, header.TimebaseDenominator)
	}
	var ticks uint64
	for {
		frame, about, err := reader.ParseNextFrame()
		if errors.Is(err, io.EOF) && len(frames) > 1 {
			tick := float64(header.TimebaseNumerator) / float64(header.TimebaseDenominator)                               // seconds
			return frames, max(time.Millisecond, time.Duration(float64(ticks)*tick*tick/float64(len(frames)-1)*1e9)), nil // the reader has divided by tick, instead of multiplying
		}
		if err != nil {
			return nil, 0, err
		}
		frames, ticks = append(frames, frame), about.Timestamp
	}
}

func readOGG(name string) (packets [][]byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader, _, err := oggreader.NewWith(file)
	if err != nil {
		return nil, err
	}
	for {
		page, _, err := reader.ParseNextPage() // one packet of 20 ms on each page
		if errors.Is(err, io.EOF) && len(packets) > 0 {
			return packets, nil
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(page), "OpusTags") {
			packets = append(packets, page)
		}
	}
}

// record writes what comes on a track until it ends, where a folder was named; else it only reads it.
func (p *played) record(pc *webrtc.PeerConnection, track *webrtc.TrackRemote, session string) {
	var writer media.Writer
	if p.folder != "" {
		name := filepath.Join(p.folder, fmt.Sprintf("%s-%d", session, p.recorded.Add(1)))
		var err error
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			writer, err = ivfwriter.New(name + ".ivf")
			// From its beginning: a picture that stands by itself.
			logged(pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}}))
		} else {
			writer, err = oggwriter.New(name+".ogg", 48000, 2)
		}
		if err != nil {
			log.Print(err)
			return
		}
		defer writer.Close()
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if writer != nil {
			logged(writer.WriteRTP(packet))
		}
	}
}
