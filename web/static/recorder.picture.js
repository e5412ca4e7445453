/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Peer} Peer */

/** Of the recording, in points. */
const width = 1280, height = 720, gap = 8;

/** Who may be recorded: those whose page tells them. @param {Call} call */
const told = (call) => [...call.peers].filter(({media, state}) => media.recordings && state !== 'closed');

/** @typedef {{video: HTMLVideoElement | null, name: string, whole?: boolean}} Shown one place of the picture; `whole`: nothing of it may be cut off */

/** What the page shows of the call. @param {Call} call @param {string} you @param {(peer: Peer) => string} nameOf @returns {{screens: Shown[], people: Shown[]}} */
function shownOf(call, you, nameOf) {
  const {sending} = call.media;
  /** @param {string} selector @param {boolean} seen */
  const video = (selector, seen) => (seen ? /** @type {HTMLVideoElement | null} */ (document.querySelector(`${selector} video`)) : null);
  const people = [{video: video('.tile.self', sending.video), name: you}], screens = [];
  for (const peer of told(call)) {
    const {media} = peer, name = nameOf(peer);
    people.push({video: video(`.tile[data-peer="${CSS.escape(peer.id)}"]`, media.video || (media.screen && !media.beside)), name});
    if (media.screen && media.beside) screens.push({video: video(`.tile[data-screen-of="${CSS.escape(peer.id)}"]`, true), name, whole: true});
  }
  return {screens, people};
}

/** Places of equal size in a part of the picture. @param {number} count @param {number} x @param {number} y @param {number} w @param {number} h @param {number} columns */
function places(count, x, y, w, h, columns) {
  const rows = Math.ceil(count / columns), across = w / columns, down = h / rows;
  return Array.from({length: count}, (_, i) => ({x: x + (i % columns) * across + gap / 2, y: y + Math.floor(i / columns) * down + gap / 2, w: across - gap, h: down - gap}));
}

/** @param {CanvasRenderingContext2D} context @param {Shown} shown @param {{x: number, y: number, w: number, h: number}} place @param {(name: string) => string} initials */
function draw(context, {video, name, whole = false}, {x, y, w, h}, initials) {
  context.save();
  context.beginPath();
  context.rect(x, y, w, h);
  context.clip();
  context.fillStyle = '#1b222b';
  context.fillRect(x, y, w, h);
  const {videoWidth: across = 0, videoHeight: down = 0} = video ?? {};
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  if (video && across && video.readyState >= 2) {
    const scale = whole ? Math.min(w / across, h / down) : Math.max(w / across, h / down);
    context.drawImage(video, x + (w - across * scale) / 2, y + (h - down * scale) / 2, across * scale, down * scale);
  } else {
    context.fillStyle = '#e8edf2';
    context.font = `600 ${Math.round(h / 5)}px system-ui, sans-serif`;
    context.fillText(initials(name), x + w / 2, y + h / 2);
  }
  context.font = '600 20px system-ui, sans-serif';
  context.textAlign = 'left';
  const label = Math.min(w - 12, context.measureText(name).width + 20);
  context.fillStyle = 'rgb(8 12 17 / 70%)';
  context.fillRect(x + 6, y + h - 40, label, 34);
  context.fillStyle = '#fff';
  context.fillText(name, x + 16, y + h - 22, label - 20);
  context.restore();
}

/**
 * The call as one picture: whoever shares a screen has it large, the people beside it; else all are as large.
 * @param {HTMLCanvasElement} canvas @param {Call} call @param {(name: string) => string} initials @param {string} you @param {(peer: Peer) => string} nameOf
 */
export function paint(canvas, call, initials, you, nameOf) {
  const context = canvas.getContext('2d', {alpha: false});
  if (!context) return;
  if (canvas.width !== width) Object.assign(canvas, {width, height});
  context.fillStyle = '#0e1116';
  context.fillRect(0, 0, width, height);
  const {screens, people} = shownOf(call, you, nameOf);
  const large = screens.length ? screens : people, small = screens.length ? people : [];
  const room = small.length ? width * 0.78 : width;
  places(large.length, 0, 0, room, height, Math.ceil(Math.sqrt(large.length))).forEach((place, i) => draw(context, large[i], place, initials));
  places(small.length, room, 0, width - room, height, 1).forEach((place, i) => draw(context, small[i], place, initials));
}

/**
 * A canvas as a track: each time it is said to be painted, where the browser can be given pictures one by one (Chromium). Others
 * take them when they draw the page, which they do not for one that nobody sees, nor in time for a busy one.
 * @param {HTMLCanvasElement} canvas @param {number} rate pictures a second
 * @returns {{track: MediaStreamTrack, painted: () => void}}
 */
export function trackOf(canvas, rate) {
  const Generator = /** @type {any} */ (globalThis).MediaStreamTrackGenerator;
  if (!Generator) return {track: canvas.captureStream(rate).getVideoTracks()[0], painted() {}};
  const track = new Generator({kind: 'video'}), writer = track.writable.getWriter();
  return {
    track,
    painted() {
      if (!(writer.desiredSize > 0)) return; // the one before is not taken yet, or the track has been stopped
      const frame = new VideoFrame(canvas, {timestamp: Math.round(performance.now() * 1000), alpha: 'discard'});
      writer.write(frame).catch(() => frame.close());
    },
  };
}

/** All that is heard in the call, as one track. */
export class Mix {
  #context = new AudioContext();
  #out = this.#context.createMediaStreamDestination();
  /** @type {Map<MediaStreamTrack, MediaStreamAudioSourceNode>} */ #sources = new Map();

  constructor() {
    this.#context.resume().catch(() => {});
    // A recorder that gets no sound at all writes nothing in some browsers: silence is sound.
    const silence = this.#context.createConstantSource(), none = this.#context.createGain();
    none.gain.value = 0;
    silence.connect(none).connect(this.#out);
    silence.start();
  }

  /** Whether it takes any sound: in some browsers not while there is nothing to play it on. */
  get runs() { return this.#context.currentTime > 0; }

  get track() { return this.#out.stream.getAudioTracks()[0]; }

  /** Takes who has come, and lets who has gone. @param {Call} call */
  follow(call) {
    const {audio, screenSound} = call.media;
    const now = new Set([audio, screenSound, ...told(call).flatMap(({stream, screen}) => [...stream.getAudioTracks(), ...screen.getAudioTracks()])]
      .filter((track) => track?.readyState === 'live'));
    for (const [track, source] of this.#sources) {
      if (now.has(track)) continue;
      source.disconnect();
      this.#sources.delete(track);
    }
    for (const track of now) {
      if (!track || this.#sources.has(track)) continue;
      const source = this.#context.createMediaStreamSource(new MediaStream([track]));
      source.connect(this.#out);
      this.#sources.set(track, source);
    }
  }

  close() {
    for (const source of this.#sources.values()) source.disconnect();
    this.#context.close().catch(() => {});
  }
}
