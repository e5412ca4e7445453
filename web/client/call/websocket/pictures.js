// Pictures of one track on their way out, and of the other side on their way in, by WebCodecs.
import {sizeFor} from './rate.js';
import {kinds} from './seal.js';

/** @typedef {import('./rate.js').Rate} Rate */
/** @typedef {'vp8' | 'h264'} Codec */

/** Of H.264: constrained baseline, level 3.1 (1280×720). */
const names = {vp8: 'vp8', h264: 'avc1.42E01F'};
/** The time, whose it is, which codec, and how many bytes follow in all. */
const headBytes = 10;
/** A picture is no larger than this, coded; and decoded: a few bytes may say that they are 400 MB. */
const mostBytes = 1 << 20, mostPixels = 2560 * 1440;
const codes = /** @type {const} */ (['vp8', 'h264']);
/** A key picture comes so often by itself, milliseconds, and at most so often when it is asked for; so soon after the last where that went over another socket. */
const keyEvery = 10_000, keyPause = 500, keyAnew = 100;
/** Of a screen one reads: larger, and seldom. */
const screenSize = {width: 1280, height: 720, frames: 5};
/** So many pictures may wait in an encoder or decoder, and so many for their time. */
const atWork = 3, mostWaiting = 8;
/** So long a picture is of now, milliseconds: a screen's may be seldom. */
const freshFor = 2000;
/** A decoder is begun anew so often in ten seconds, and then no more for that long. */
const mostDecoders = 5;

/** The codecs whose pictures this browser decodes, the preferred first. @returns {Promise<Codec[]>} */
export async function decodes() {
  if (!globalThis.VideoDecoder || !globalThis.VideoEncoder) return [];
  const known = await Promise.all(codes.map((codec) => VideoDecoder.isConfigSupported({codec: names[codec]}).catch(() => ({supported: false}))));
  return codes.filter((_, i) => known[i].supported);
}

/** The first of these that this browser encodes. @param {string[]} theirs @returns {Promise<Codec | ''>} */
export async function codecFor(theirs) {
  if (!globalThis.VideoEncoder) return '';
  for (const codec of codes) {
    if (!theirs.includes(codec)) continue;
    const {supported} = await VideoEncoder.isConfigSupported(encoding(codec, 640, 360, 300_000, 15)).catch(() => ({supported: false}));
    if (supported) return codec;
  }
  return '';
}

/** @param {Codec} codec @param {number} width @param {number} height @param {number} bitrate @param {number} framerate @returns {VideoEncoderConfig} */
function encoding(codec, width, height, bitrate, framerate) {
  return {codec: names[codec], width, height, bitrate: Math.round(bitrate), framerate, latencyMode: 'realtime',
    ...(codec === 'h264' ? {avc: {format: 'annexb'}} : {})};
}

/** How large a picture is sent: in its shape, its longer side no longer than that of the size. @param {VideoFrame} frame @param {{width: number, height: number}} most */
function fit({displayWidth, displayHeight}, most) {
  const part = Math.min(1, most.width / displayWidth, most.height / displayHeight, displayHeight > displayWidth ? most.width / displayHeight : 1);
  return {width: Math.max(2, Math.round(displayWidth * part / 2) * 2), height: Math.max(2, Math.round(displayHeight * part / 2) * 2)};
}

/** Encodes one track, as large and as often as the rate allows. */
export class PictureSender {
  /** @type {MediaStreamTrack | null} */ #track = null;
  /** @type {Grabber | null} */ #grabber = null;
  /** @type {VideoEncoder | null} */ #encoder = null;
  /** What the encoder is set to. */
  #set = '';
  #rateSet = 0;
  #keyAt = -Infinity;
  #keyWanted = true;
  #nextAt = 0;
  #codec;
  #screen;
  #rate;
  #piece;
  #send;
  /** Whether the encoder brings a picture to the size that it is set to, as WebCodecs asks of it; one that failed is not trusted again. */
  #scales = true;
  /** @type {OffscreenCanvas | HTMLCanvasElement | null} */ #canvas = null;

  /**
   * @param {Codec} codec @param {boolean} screen whose pictures they are
   * @param {() => number} rate bits per second; 0: none is sent now
   * @param {() => number} piece so many bytes are sent at once
   * @param {(kind: import('./seal.js').FrameKind, content: Uint8Array<ArrayBuffer>) => void} send
   */
  constructor(codec, screen, rate, piece, send) {
    this.#codec = codec;
    this.#screen = screen;
    this.#rate = rate;
    this.#piece = piece;
    this.#send = send;
  }

  /** @param {MediaStreamTrack | null} track */
  use(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#grabber?.close();
    this.#grabber = track && new Grabber(track, (frame) => this.#take(frame));
    this.wantKey();
  }

  /** The other side cannot go on without a whole picture. @param {boolean} [anew] the last one is lost with a socket, perhaps: another comes soon after it too */
  wantKey(anew = false) {
    this.#keyWanted = true;
    if (anew) this.#keyAt = Math.min(this.#keyAt, performance.now() + keyAnew - keyPause);
  }

  /** @param {VideoFrame} frame */
  #take(frame) {
    const now = performance.now(), rate = this.#rate();
    const size = this.#screen ? screenSize : sizeFor(rate);
    if (!rate || now < this.#nextAt || (this.#encoder?.encodeQueueSize ?? 0) > atWork) return frame.close();
    this.#nextAt = Math.max(now - 1000 / size.frames, this.#nextAt) + 1000 / size.frames;
    try {
      const {width, height} = fit(frame, size);
      this.#configure(width, height, rate, size.frames);
      const fitted = this.#fit(frame, width, height, Math.round(now * 1000));
      const keyFrame = (this.#keyWanted && now - this.#keyAt > keyPause) || now - this.#keyAt > keyEvery;
      if (keyFrame) { this.#keyAt = now; this.#keyWanted = false; }
      /** @type {VideoEncoder} */ (this.#encoder).encode(fitted, {keyFrame});
      fitted.close();
    } catch (error) {
      console.warn('turnhub: a picture was not encoded', error);
      this.#drop();
    }
  }

  /**
   * A picture for the encoder, in place of this one, with our time. A turned one goes over a canvas: not every encoder turns it back.
   * @param {VideoFrame} frame @param {number} width @param {number} height @param {number} timestamp
   */
  #fit(frame, width, height, timestamp) {
    const {rotation, flip} = /** @type {{rotation?: number, flip?: boolean}} */ (frame);
    if (this.#scales && !rotation && !flip) {
      const same = new VideoFrame(frame, {timestamp});
      frame.close();
      return same;
    }
    this.#canvas ??= globalThis.OffscreenCanvas ? new OffscreenCanvas(width, height) : document.createElement('canvas');
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, {width, height});
    const drawing = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext('2d', {alpha: false}));
    drawing.drawImage(frame, 0, 0, width, height);
    frame.close();
    return new VideoFrame(this.#canvas, {timestamp});
  }

  /** @param {number} width @param {number} height @param {number} rate @param {number} frames */
  #configure(width, height, rate, frames) {
    const set = `${width}×${height}×${frames}`;
    if (this.#encoder?.state === 'configured' && set === this.#set && Math.abs(rate - this.#rateSet) < 0.15 * this.#rateSet) return;
    if (this.#encoder?.state !== 'configured') {
      this.#encoder = new VideoEncoder({output: (chunk) => this.#out(chunk), error: (error) => {
        console.warn('turnhub: pictures', error);
        this.#scales = false;
        this.#drop();
      }});
      this.wantKey();
    }
    if (set !== this.#set) this.#keyWanted = true;
    this.#set = set;
    this.#rateSet = rate;
    this.#encoder.configure(encoding(this.#codec, width, height, rate, frames));
  }

  /** @param {EncodedVideoChunk} chunk */
  #out(chunk) {
    const content = new Uint8Array(headBytes + chunk.byteLength), view = new DataView(content.buffer);
    view.setUint32(0, (chunk.timestamp / 1000) >>> 0);
    content[4] = this.#screen ? 1 : 0;
    content[5] = codes.indexOf(this.#codec);
    view.setUint32(6, chunk.byteLength);
    chunk.copyTo(content.subarray(headBytes));
    for (let at = 0, piece = this.#piece(); at < content.length; at += piece) {
      this.#send(at ? kinds.piece : chunk.type === 'key' ? kinds.key : kinds.picture, content.subarray(at, at + piece));
    }
  }

  #drop() {
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
    this.#encoder = null;
    this.#set = '';
    this.#keyWanted = true;
  }

  close() {
    this.use(null);
    this.#drop();
  }
}

/** The pictures of a track, one after the other, in a tab that nobody looks at too. */
class Grabber {
  #closed = false;
  /** @type {ReadableStreamDefaultReader<VideoFrame> | null} */ #reader = null;
  /** @type {HTMLVideoElement | null} */ #video = null;
  /** @type {any} */ #timer = null;

  /** @param {MediaStreamTrack} track @param {(frame: VideoFrame) => void} take closes it */
  constructor(track, take) {
    const Processor = /** @type {any} */ (globalThis).MediaStreamTrackProcessor;
    if (Processor) this.#read(new Processor({track, maxBufferSize: 2}).readable.getReader(), take);
    else this.#look(track, take);
  }

  /** @param {ReadableStreamDefaultReader<VideoFrame>} reader @param {(frame: VideoFrame) => void} take */
  async #read(reader, take) {
    this.#reader = reader;
    while (!this.#closed) {
      const {value, done} = await reader.read().catch(() => ({value: undefined, done: true}));
      if (done) return;
      if (this.#closed) value?.close();
      else if (value) take(value);
    }
  }

  /**
   * Browsers without a processor show the track to an element. Its own call for each frame ends in a tab that is hidden,
   * so a clock looks.
   * @param {MediaStreamTrack} track @param {(frame: VideoFrame) => void} take
   */
  #look(track, take) {
    const video = this.#video = document.createElement('video');
    video.muted = video.playsInline = true;
    video.srcObject = new MediaStream([track]);
    video.play().catch(() => {});
    this.#timer = setInterval(() => {
      if (video.readyState < 2 || !video.videoWidth) return;
      try {
        take(new VideoFrame(video, {timestamp: 0}));
      } catch { /* not this time */ }
    }, 1000 / 15);
  }

  close() {
    this.#closed = true;
    this.#reader?.cancel().catch(() => {});
    clearInterval(this.#timer);
    if (this.#video) this.#video.srcObject = null;
  }
}

/**
 * Whether a picture says that it is larger than any that is sent: whole ones of VP8 say how large they are (RFC 6386, 9.1), whatever
 * their frame is called. What H.264 says is seen once it is decoded.
 * @param {Codec} codec @param {Uint8Array} data
 */
export function oversized(codec, data) {
  if (codec !== 'vp8' || data.length < 10 || data[0] & 1) return false;
  const view = new DataView(data.buffer, data.byteOffset);
  return (view.getUint16(6, true) & 0x3fff) * (view.getUint16(8, true) & 0x3fff) > mostPixels;
}

/** @typedef {{key: boolean, at: number, screen: boolean, codec: Codec, data: Uint8Array<ArrayBuffer>, complete: boolean}} Picture `complete`: none before it is missing */

/** Puts the pieces of pictures together. */
export class Pieces {
  /** @type {Picture | null} with room for about as much as has come: what is to follow may be a lie */ #picture = null;
  #filled = 0;
  #bytes = 0;
  /** Whose pictures have a gap. */
  #broken = [true, true];

  /**
   * @param {number} kind @param {Uint8Array<ArrayBuffer>} content
   * @param {boolean} gap something before it is missing
   * @returns {Picture | null} one that is whole now
   */
  take(kind, content, gap) {
    if (gap || (kind !== kinds.piece && this.#picture)) {
      this.#picture = null;
      this.#broken = [true, true];
    }
    if (kind === kinds.piece) {
      if (!this.#picture || this.#filled + content.length > this.#bytes) return null;
      this.#fill(this.#picture, content);
    } else {
      if (content.length <= headBytes || !(content[5] in codes)) return null;
      const view = new DataView(content.buffer, content.byteOffset), bytes = view.getUint32(6), screen = content[4] === 1;
      if (bytes > mostBytes || bytes < content.length - headBytes) return null;
      const key = kind === kinds.key;
      this.#picture = {key, at: view.getUint32(0), screen, codec: codes[content[5]], data: new Uint8Array(), complete: key || !this.#broken[Number(screen)]};
      this.#filled = 0;
      this.#bytes = bytes;
      this.#fill(this.#picture, content.subarray(headBytes));
    }
    const picture = this.#picture;
    if (this.#filled < this.#bytes) return null;
    this.#picture = null;
    if (picture.key) this.#broken[Number(picture.screen)] = false;
    return picture;
  }

  /** @param {Picture} picture @param {Uint8Array<ArrayBuffer>} content */
  #fill(picture, content) {
    const filled = this.#filled + content.length;
    if (filled > picture.data.length) {
      const larger = new Uint8Array(Math.min(this.#bytes, 2 * filled));
      larger.set(picture.data.subarray(0, this.#filled));
      picture.data = larger;
    }
    picture.data.set(content, this.#filled);
    this.#filled = filled;
  }
}

/**
 * A track that shows pictures: through a generator, which takes them as they are decoded, or else a canvas, on which each is painted
 * and read again.
 * @returns {{track: MediaStreamTrack, show: (frame: VideoFrame) => void}} `show` closes it
 */
function surface() {
  const Generator = /** @type {any} */ (globalThis).MediaStreamTrackGenerator;
  if (Generator) {
    const track = new Generator({kind: 'video'}), writer = track.writable.getWriter();
    return {
      track,
      show: (frame) => {
        // A track that has been stopped takes no more, and one that nobody takes from not many.
        if (writer.desiredSize > 0) writer.write(frame).catch(() => frame.close());
        else frame.close();
      },
    };
  }
  const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 360});
  const drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', {alpha: false}));
  return {
    track: canvas.captureStream().getVideoTracks()[0],
    show: (frame) => {
      const {displayWidth: width, displayHeight: height} = frame;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
      drawing.drawImage(frame, 0, 0);
      frame.close();
    },
  };
}

/** Decodes the other side's pictures of the camera or of the screen, and shows each when its sound is played. */
export class PictureReceiver {
  /** Pictures shown so far, when the last was, and how large it is. */
  frames = 0;
  #shownAt = -Infinity;
  width = 0;
  height = 0;
  /** @type {MediaStreamTrack} */ track;

  /** @type {VideoDecoder | null} */ #decoder = null;
  #codec = '';
  #waitsForKey = true;
  #screen = surface();
  /** @type {{frame: VideoFrame, due: number}[]} decoded, by time */ #waiting = [];
  /** @type {any} */ #timer = null;
  /** When decoders were begun. @type {number[]} */ #begun = [];
  #dueAt;
  #wantKey;
  #shown;
  #closed = false;

  /**
   * @param {(at: number) => number} dueAt when what was taken at that time of the sender's is to be shown, by our clock
   * @param {() => void} wantKey only a whole picture helps
   * @param {(begins: boolean) => void} shown `begins`: none was for a while
   */
  constructor(dueAt, wantKey, shown) {
    this.#dueAt = dueAt;
    this.#wantKey = wantKey;
    this.#shown = shown;
    this.track = this.#screen.track;
  }

  /** One was shown a moment ago. */
  get fresh() { return performance.now() - this.#shownAt < freshFor; }

  /** A whole picture has come. @param {Picture} picture */
  take({key, at, codec, data, complete}) {
    if (this.#closed) return;
    const large = oversized(codec, data);
    if (!complete || large) this.#waitsForKey = true;
    if (large || (this.#waitsForKey && !key)) return this.#wantKey();
    if (!this.#begin(codec)) return;
    const decoder = /** @type {VideoDecoder} */ (this.#decoder);
    if (decoder.decodeQueueSize > 4 * atWork && !key) {
      this.#waitsForKey = true; // this machine is too slow for what comes
      return this.#wantKey();
    }
    try {
      decoder.decode(new EncodedVideoChunk({type: key ? 'key' : 'delta', timestamp: at * 1000, data}));
      this.#waitsForKey = false;
    } catch {
      this.#again();
    }
  }

  /** @param {Codec} codec */
  #begin(codec) {
    if (this.#decoder?.state === 'configured' && this.#codec === codec) return true;
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    const now = performance.now();
    this.#begun = this.#begun.filter((at) => now - at < 10_000);
    if (this.#begun.length >= mostDecoders) return false;
    this.#begun.push(now);
    this.#codec = codec;
    const decoder = this.#decoder = new VideoDecoder({
      output: (frame) => { if (decoder === this.#decoder) this.#keep(frame); else frame.close(); },
      error: () => { if (decoder === this.#decoder) this.#again(); },
    });
    decoder.configure({codec: names[codec], optimizeForLatency: true});
    return true;
  }

  /** The decoder is of no use any more: another begins with a whole picture. */
  #again() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
    this.#waitsForKey = true;
    this.#wantKey();
  }

  /** @param {VideoFrame} frame */
  #keep(frame) {
    if (this.#closed) return frame.close();
    if (frame.codedWidth * frame.codedHeight > mostPixels) {
      frame.close();
      return this.#again();
    }
    this.#waiting.push({frame, due: this.#dueAt(frame.timestamp / 1000)});
    if (this.#waiting.length > mostWaiting) this.#waiting.shift()?.frame.close();
    this.#show();
  }

  #show() {
    clearTimeout(this.#timer);
    const now = performance.now();
    while (this.#waiting.length) {
      const [{frame, due}] = this.#waiting;
      if (due - now > 5) {
        this.#timer = setTimeout(() => this.#show(), due - now);
        return;
      }
      this.#waiting.shift();
      const {displayWidth: width, displayHeight: height} = frame;
      this.width = width;
      this.height = height;
      this.#screen.show(frame);
      this.frames++;
      const begins = !this.fresh;
      this.#shownAt = now;
      this.#shown(begins);
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const {frame} of this.#waiting.splice(0)) frame.close();
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.track.stop();
  }
}
