import {Emitter} from './emitter.js';

/** @typedef {'audio' | 'video'} Kind */
/** @typedef {'refused' | 'missing' | 'busy' | 'insecure' | 'failed'} ProblemCode */

/**
 * Why there is no microphone or camera.
 * @typedef {object} Problem
 * @property {Kind} kind
 * @property {ProblemCode} code
 * @property {string} text in plain words, with what the visitor can do
 * @property {unknown} error what the browser said
 */

/**
 * @typedef {object} MediaEvents
 * @property {{kind: Kind, track: MediaStreamTrack | null}} track what is sent of this kind has changed
 * @property {void} change something about the devices or their state has changed
 * @property {MediaDeviceInfo[]} devices the list of devices has changed
 */

/**
 * @typedef {object} MediaOptions
 * @property {number} [maxVideoWidth] pixels; default 1280, on machines with one or two cores 640
 * @property {number} [maxVideoHeight] pixels; default 720, or 360
 * @property {number} [maxFrameRate] default 30
 */

/** @param {Kind} kind @param {unknown} error @returns {Problem} */
export function explain(kind, error) {
  const device = kind === 'audio' ? 'microphone' : 'camera';
  const name = /** @type {any} */ (error)?.name ?? '';
  /** @param {ProblemCode} code @param {string} text @returns {Problem} */
  const problem = (code, text) => ({kind, code, text, error});
  if (name === 'InsecureContext') {
    return problem('insecure', `Browsers give the ${device} only to pages with a secure address (https://). Open this page by https.`);
  }
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return problem('refused', `The ${device} is blocked for this page. To allow it, click the icon at the left end of the address bar and set “${device === 'camera' ? 'Camera' : 'Microphone'}” to “Allow”.`);
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return problem('missing', `No ${device} was found. Plug one in and it is taken up at once.`);
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return problem('busy', `The ${device} is in use by another program or switched off. Close the other program and try again.`);
  }
  return problem('failed', `The ${device} could not be started (${name || String(error)}).`);
}

/**
 * What this person sends: a microphone, and a camera or the screen. Tracks come and go; senders follow the `track`
 * event. Without a camera the call is audio only, without a microphone receive only, and `problems` says why.
 * @extends {Emitter<MediaEvents>}
 */
export class LocalMedia extends Emitter {
  /** What is sent, for a preview; its tracks change. */
  stream = new MediaStream();
  /** @type {Partial<Record<Kind, Problem>>} */
  problems = {};
  /** Wanted by the visitor: `false` is muted, or camera off. */
  enabled = {audio: true, video: true};
  /** @type {MediaStreamTrack | null} */
  screen = null;

  /** @type {{audio: MediaStreamTrack | null, video: MediaStreamTrack | null}} */ #tracks = {audio: null, video: null};
  /** @type {{audio?: string, video?: string}} */ #chosen = {};
  /** @type {MediaOptions} */ #options;
  #wanted = {audio: false, video: false};
  /** @type {Set<Kind>} */ #awaited = new Set();
  #closed = false;
  /** @type {() => void} */ #unwatch = () => {};

  /** @param {MediaOptions} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    const devices = globalThis.navigator?.mediaDevices;
    if (!devices?.addEventListener) return;
    const changed = () => this.#onDeviceChange();
    devices.addEventListener('devicechange', changed);
    this.#unwatch = () => devices.removeEventListener('devicechange', changed);
  }

  /**
   * Media that the page got by itself.
   * @param {MediaStream} stream
   */
  static from(stream) {
    const media = new LocalMedia();
    for (const track of stream.getTracks()) media.#set(/** @type {Kind} */ (track.kind), track);
    return media;
  }

  /**
   * Opens the devices; a missing or refused one is not an error but a `problem`.
   * @param {{audio?: boolean, video?: boolean}} [want]
   * @returns {Promise<Problem[]>}
   */
  async open({audio = true, video = true} = {}) {
    this.#wanted = {audio, video};
    if (audio && video) {
      // One question to the visitor instead of two; where it fails each kind is tried alone, which also says why.
      const both = await this.#capture({audio: this.#constraints('audio'), video: this.#constraints('video')}).catch(() => null);
      if (both) {
        for (const track of both.getTracks()) this.#set(/** @type {Kind} */ (track.kind), track);
        return [];
      }
    }
    if (video) await this.#acquire('video');
    if (audio) await this.#acquire('audio');
    return Object.values(this.problems);
  }

  /** What is sent now. */
  get audio() { return this.#tracks.audio; }
  /** What is sent now: the screen while it is shared, else the camera. */
  get video() { return this.screen ?? this.#tracks.video; }
  /** The camera, also while the screen is shared. */
  get camera() { return this.#tracks.video; }

  /** @param {Kind} kind */
  track(kind) { return kind === 'audio' ? this.audio : this.video; }

  /** What the others should be told: whether sound, picture and screen are being sent. */
  get sending() {
    return {
      audio: this.audio !== null && this.enabled.audio,
      video: this.video !== null && (this.screen !== null || this.enabled.video),
      screen: this.screen !== null,
    };
  }

  /**
   * Switches the microphone or the camera. A camera that is off is released, so that its light goes out.
   * @param {Kind} kind
   * @param {boolean} [on] default: the other way round; one that could not be opened is tried again
   */
  async toggle(kind, on = !this.enabled[kind] || kind in this.problems) {
    this.enabled[kind] = on;
    const track = this.#tracks[kind];
    if (kind === 'audio') {
      if (track) track.enabled = on;
      else if (on) await this.#acquire('audio');
    } else if (!on) {
      this.#set('video', null);
    } else if (!track) {
      await this.#acquire('video');
    }
    this.emit('change', undefined);
    return this.enabled[kind];
  }

  /**
   * Takes another device, also in the middle of a call.
   * @param {Kind} kind @param {string} deviceId
   */
  async choose(kind, deviceId) {
    this.#chosen[kind] = deviceId;
    if (kind === 'video' && !this.enabled.video) return;
    // Some cameras and phones open one device at a time only.
    if (kind === 'video') this.#tracks.video?.stop();
    await this.#acquire(kind);
  }

  /** The device to take when this kind is opened. @param {Kind} kind @param {string} deviceId */
  prefer(kind, deviceId) {
    this.#chosen[kind] = deviceId;
  }

  /** The id of the device in use. @param {Kind} kind */
  deviceId(kind) {
    return this.#tracks[kind]?.getSettings().deviceId ?? this.#chosen[kind] ?? '';
  }

  /** @returns {Promise<MediaDeviceInfo[]>} */
  async devices() {
    return (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  }

  /** Shares the screen in place of the camera. @returns {Promise<boolean>} false: the visitor chose nothing */
  async share() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({video: {frameRate: {max: 15}}, audio: false});
    } catch (error) {
      if (/** @type {any} */ (error)?.name === 'NotAllowedError') return false;
      throw error;
    }
    this.unshare();
    const [track] = stream.getVideoTracks();
    track.contentHint = 'detail';
    track.addEventListener('ended', () => { if (this.screen === track) this.unshare(); });
    this.screen = track;
    this.#publish('video');
    return true;
  }

  unshare() {
    const {screen} = this;
    if (!screen) return;
    this.screen = null;
    screen.stop();
    this.#publish('video');
  }

  /** Stops every device. */
  close() {
    this.#closed = true;
    this.#unwatch();
    this.unshare();
    this.#set('audio', null);
    this.#set('video', null);
  }

  /** @param {Kind} kind @returns {MediaTrackConstraints} */
  #constraints(kind) {
    // Two cores cannot encode and decode 720p without dropping frames.
    const small = (navigator.hardwareConcurrency ?? 4) <= 2;
    const {maxVideoWidth = small ? 640 : 1280, maxVideoHeight = small ? 360 : 720, maxFrameRate = 30} = this.#options;
    const deviceId = this.#chosen[kind] ? {deviceId: {exact: this.#chosen[kind]}} : {};
    if (kind === 'audio') return {...deviceId, echoCancellation: true, noiseSuppression: true, autoGainControl: true};
    return {
      ...deviceId,
      width: {ideal: maxVideoWidth, max: maxVideoWidth},
      height: {ideal: maxVideoHeight, max: maxVideoHeight},
      frameRate: {ideal: maxFrameRate, max: maxFrameRate},
    };
  }

  /** @param {MediaStreamConstraints} constraints */
  async #capture(constraints) {
    if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error('no secure context'), {name: 'InsecureContext'});
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    if (this.#closed) for (const track of stream.getTracks()) track.stop();
    return stream;
  }

  /** @param {Kind} kind */
  async #acquire(kind) {
    /** @returns {Promise<MediaStream>} */
    const attempt = () => this.#capture({[kind]: this.#constraints(kind)});
    try {
      const stream = await attempt().catch(async (error) => {
        if (error?.name !== 'OverconstrainedError' && error?.name !== 'NotFoundError') throw error;
        // The chosen device is gone, or cannot do what was asked: any device, any size.
        delete this.#chosen[kind];
        return this.#capture({[kind]: true});
      });
      this.#set(kind, stream.getTracks()[0]);
      return true;
    } catch (error) {
      const problem = this.problems[kind] = explain(kind, error);
      if (problem.code === 'refused') this.#awaitPermission(kind);
      if (this.#tracks[kind]?.readyState === 'ended') this.#set(kind, null, true);
      this.emit('change', undefined);
      return false;
    }
  }

  /** @param {Kind} kind @param {MediaStreamTrack | null} track @param {boolean} [keepProblem] */
  #set(kind, track, keepProblem = false) {
    const old = this.#tracks[kind];
    if (old === track) return;
    this.#tracks[kind] = track;
    old?.stop();
    if (track) {
      this.enabled[kind] = kind === 'video' ? true : this.enabled[kind];
      track.enabled = this.enabled[kind];
      track.addEventListener('ended', () => { if (this.#tracks[kind] === track) this.#onUnplugged(kind); });
    }
    if (!keepProblem) delete this.problems[kind];
    this.#publish(kind);
  }

  /** @param {Kind} kind */
  #publish(kind) {
    const track = this.track(kind);
    for (const old of this.stream.getTracks()) {
      if (old.kind === kind && old !== track) this.stream.removeTrack(old);
    }
    if (track && !this.stream.getTracks().includes(track)) this.stream.addTrack(track);
    this.emit('track', {kind, track});
    this.emit('change', undefined);
  }

  /** What was refused may be allowed later, in the browser's own settings. @param {Kind} kind */
  async #awaitPermission(kind) {
    if (this.#awaited.has(kind)) return;
    this.#awaited.add(kind);
    const name = /** @type {PermissionName} */ (kind === 'audio' ? 'microphone' : 'camera');
    const status = await navigator.permissions?.query({name}).catch(() => null);
    if (status) status.onchange = () => { if (status.state === 'granted' && this.#misses(kind)) this.#acquire(kind); };
  }

  /** Wanted, and not there. @param {Kind} kind */
  #misses(kind) {
    return !this.#closed && this.#wanted[kind] && this.enabled[kind] && !this.#tracks[kind];
  }

  /** The device in use was pulled out: another one takes its place. @param {Kind} kind */
  async #onUnplugged(kind) {
    delete this.#chosen[kind];
    this.#set(kind, null);
    if (this.enabled[kind]) await this.#acquire(kind);
  }

  async #onDeviceChange() {
    const devices = await this.devices();
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      const plugged = devices.some((device) => device.kind === `${kind}input`);
      if (plugged && this.#misses(kind) && this.problems[kind]?.code !== 'refused') await this.#acquire(kind);
    }
    this.emit('devices', devices);
  }
}

/**
 * The loudness of a stream's sound, 0 to 1, for a level meter.
 * @param {MediaStream} stream
 * @returns {{read: () => number, close: () => void}}
 */
export function levelOf(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  const source = context.createMediaStreamSource(stream);
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    read() {
      if (context.state === 'suspended') context.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      // −60 dB to 0 dB
      const decibels = 10 * Math.log10(sum / samples.length + 1e-9);
      return Math.min(1, Math.max(0, (decibels + 60) / 60));
    },
    close() {
      source.disconnect();
      context.close().catch(() => {});
    },
  };
}
