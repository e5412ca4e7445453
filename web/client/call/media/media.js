import {Emitter} from '../../base/emitter.js';
import {Altered} from './altered.js';
import {Device} from './device.js';
import {Screen} from './screen.js';

/** @typedef {import('./problems.js').Kind} Kind */
/** @typedef {import('./problems.js').Problem} Problem */

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

/**
 * What this person sends: a microphone, a camera, and the screen. Tracks come and go; senders follow the `track`
 * event. Without a camera the call is audio only, without a microphone receive only, and `problems` says why.
 *
 * What was switched off is off: see Device.
 * @extends {Emitter<MediaEvents>}
 */
export class LocalMedia extends Emitter {
  /** The microphone and the camera, for a preview; its tracks change. */
  stream = new MediaStream();
  /** Wanted by the visitor: `false` is muted, or camera off. Setting it is `toggle`. @type {Record<Kind, boolean>} */
  enabled;

  /** @type {MediaOptions} */ #options;
  /** @type {Record<Kind, Device>} */ #devices;
  #screen = new Screen(() => this.#published('video'));
  /** What the camera's pictures are made into, where they are. */ #altered = new Altered(() => this.#published('video'));
  /** Noise is taken out of the microphone's sound. */ #quiet = true;
  #closed = false;
  /** @type {() => void} */ #unwatch = () => {};

  /** @param {MediaOptions} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    /** @param {Kind} kind */
    const device = (kind) => new Device(kind,
      async (loose) => (await this.#capture({[kind]: loose || this.#constraints(kind)})).getTracks().find((track) => track.kind === kind),
      (track) => (track ? this.#published(kind) : this.emit('change', undefined)));
    this.#devices = {audio: device('audio'), video: device('video')};
    const {audio, video} = this.#devices;
    const toggle = this.toggle.bind(this);
    this.enabled = {
      get audio() { return audio.wished; },
      set audio(on) { toggle('audio', on); },
      get video() { return video.wished; },
      set video(on) { toggle('video', on); },
    };
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
    for (const track of stream.getTracks()) media.#devices[/** @type {Kind} */ (track.kind)].take(track);
    return media;
  }

  /**
   * Opens the devices; a missing or refused one is not an error but a `problem`. What has been switched off before is
   * not opened.
   * @param {{audio?: boolean, video?: boolean}} [want]
   * @returns {Promise<Problem[]>}
   */
  async open({audio = true, video = true} = {}) {
    const {audio: microphone, video: camera} = this.#devices;
    microphone.open(audio);
    camera.open(video);
    if (microphone.missing && camera.missing && !microphone.starting && !camera.starting) {
      // One question to the visitor instead of two; where it fails each kind is tried alone, which also says why.
      const both = this.#capture({audio: this.#constraints('audio'), video: this.#constraints('video')}).catch(() => null);
      /** @param {Kind} kind */
      const part = async (kind) => (await both)?.getTracks().find((track) => track.kind === kind);
      await Promise.all([microphone.settleWith(part('audio')), camera.settleWith(part('video'))]);
    } else {
      await Promise.all([camera.settle(), microphone.settle()]);
    }
    return Object.values(this.problems);
  }

  /** Why there is no microphone or camera. @returns {Partial<Record<Kind, Problem>>} */
  get problems() {
    const {audio, video} = this.#devices;
    return {...(audio.problem && {audio: audio.problem}), ...(video.problem && {video: video.problem})};
  }

  /** What is sent now. */
  get audio() { return this.#devices.audio.track; }
  /** What is sent now where one picture is: the screen while it is shared, else the camera. */
  get video() { return this.screen ?? this.camera; }
  /** The camera as the others see it, also while the screen is shared. */
  get camera() { return this.#altered.of(this.#devices.video.track); }
  /** The screen while it is shared. @type {MediaStreamTrack | null} */
  get screen() { return this.#screen.video; }
  /** The sound of what is shared, where the browser gives it. @type {MediaStreamTrack | null} */
  get screenSound() { return this.#screen.audio; }
  /** Identifies to the others what belongs to the screen. */
  get screenStream() { return this.#screen.stream; }

  /** @param {Kind} kind */
  track(kind) { return kind === 'audio' ? this.audio : this.video; }

  /** Whether the browser is being asked for it: the visitor has to answer, or the device starts. @param {Kind} kind */
  starting(kind) { return this.#devices[kind].starting; }

  /**
   * Settled when the browser has answered its first question for a device; at once where none is open. Until then no connection
   * is made: macOS and iOS ask for the local network when one looks for its ways, and that would come before the camera.
   * @param {number} [most] milliseconds
   */
  async answered(most) {
    /** @type {any} */ let timer;
    const answers = Promise.all(Object.values(this.#devices).map(({firstQuestion}) => firstQuestion));
    await (most === undefined ? answers : Promise.race([answers, new Promise((resolve) => { timer = setTimeout(resolve, most); })]));
    clearTimeout(timer);
  }

  /** Whether the browser's first question for a device is open. */
  get asking() { return Object.values(this.#devices).some(({firstQuestion}) => firstQuestion !== null); }

  /** What is being sent: the microphone, the camera, the screen. */
  get sending() {
    return {audio: this.#devices.audio.on, video: this.#devices.video.on && this.camera !== null, screen: this.screen !== null};
  }

  /**
   * Switches the microphone or the camera. Off is off before this returns, whatever the browser answers later. A
   * camera that is off is released, so that its light goes out.
   * @param {Kind} kind
   * @param {boolean} [on] default: the other way round; one that could not be opened is tried again
   * @returns {Promise<boolean>} whether it is wanted now; settled when the browser has answered
   */
  async toggle(kind, on = this.#otherWay(kind)) {
    const device = this.#devices[kind];
    device.wish(on);
    const settled = device.settle();
    this.emit('change', undefined);
    await settled;
    return device.wished;
  }

  /** @param {Kind} kind */
  #otherWay(kind) {
    const device = this.#devices[kind];
    return !device.wished || (device.problem !== undefined && !device.starting);
  }

  /**
   * Takes another device, also in the middle of a call.
   * @param {Kind} kind @param {string} deviceId
   */
  async choose(kind, deviceId) {
    this.#devices[kind].choose(deviceId);
    const settled = this.#devices[kind].settle();
    this.emit('change', undefined);
    await settled;
  }

  /** The device to take when this kind is opened. @param {Kind} kind @param {string} deviceId */
  prefer(kind, deviceId) {
    if (this.#devices[kind].track) this.#devices[kind].chosen = deviceId;
    else this.#devices[kind].choose(deviceId);
  }

  /**
   * Has the browser take noise out of the microphone's sound and level its loudness, or leave both as they are, as music
   * wants it; echo is taken out either way. In the middle of a call the track is changed, or another one takes its place.
   * @param {boolean} on
   * @returns {Promise<boolean>} whether it is so now; false: this browser leaves it as it is
   */
  async suppressNoise(on) {
    this.#quiet = on;
    const {track} = this.#devices.audio;
    if (globalThis.navigator?.mediaDevices?.getSupportedConstraints?.().noiseSuppression === undefined) return false;
    if (!track) return true; // of the next one it is asked
    const done = () => (this.#devices.audio.track?.getSettings().noiseSuppression ?? on) === on;
    if (done()) return true;
    const {deviceId: _, ...processing} = this.#constraints('audio');
    await track.applyConstraints({...track.getConstraints?.(), ...processing}).catch(() => {});
    if (track !== this.#devices.audio.track || this.#quiet !== on || done()) return done();
    // The new one is there before the old one goes.
    await this.choose('audio', this.#devices.audio.chosen || this.deviceId('audio'));
    return done();
  }

  /**
   * Has the camera's pictures made into others, such as with a blurred background, before anybody sees them: the preview as
   * well. Nothing of the camera is shown until the first of them is there.
   * @param {import('./altered.js').Alter | null} alter null: as the camera gives them
   * @returns {Promise<boolean>} false: it has failed, and no picture is sent
   */
  alter(alter) {
    const settled = this.#altered.by(alter, this.#devices.video.track);
    this.#published('video');
    return settled;
  }

  /** Takes the camera that looks the other way; where cameras do not say which way they look, the next one. */
  async flip() {
    const {video} = this.#devices;
    const facing = video.track?.getSettings().facingMode ?? video.facing;
    if (facing) {
      video.choose('', facing === 'environment' ? 'user' : 'environment');
    } else {
      const cameras = (await this.devices()).filter(({kind, deviceId}) => kind === 'videoinput' && deviceId);
      const next = cameras[(cameras.findIndex(({deviceId}) => deviceId === this.deviceId('video')) + 1) % cameras.length];
      if (next) video.choose(next.deviceId);
    }
    const settled = video.settle();
    this.emit('change', undefined);
    await settled;
  }

  /** Which way the camera looks: 'user', 'environment', or '' where it does not say. */
  get facing() { return this.#devices.video.track?.getSettings?.().facingMode ?? ''; }

  /** The id of the device in use. @param {Kind} kind */
  deviceId(kind) {
    return this.#devices[kind].track?.getSettings().deviceId ?? this.#devices[kind].chosen;
  }

  /** @returns {Promise<MediaDeviceInfo[]>} */
  async devices() {
    return (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  }

  /**
   * Shares the screen, beside the camera, with its sound where the browser offers that. `unshare` before the visitor
   * has chosen takes it back.
   * @returns {Promise<boolean>} false: the visitor chose nothing
   */
  share() { return this.#screen.share(); }

  unshare() { this.#screen.unshare(); }

  /** Stops every device. */
  close() {
    this.#closed = true;
    this.#unwatch();
    this.unshare();
    this.#devices.audio.close();
    this.#devices.video.close();
  }

  /** @param {Kind} kind @returns {MediaTrackConstraints} */
  #constraints(kind) {
    // Two cores cannot encode and decode 720p without dropping frames.
    const small = (navigator.hardwareConcurrency ?? 4) <= 2;
    const {maxVideoWidth = small ? 640 : 1280, maxVideoHeight = small ? 360 : 720, maxFrameRate = 30} = this.#options;
    const {chosen, facing} = this.#devices[kind];
    const device = chosen ? {deviceId: {exact: chosen}} : facing ? {facingMode: {exact: facing}} : {};
    if (kind === 'audio') return {...device, echoCancellation: true, noiseSuppression: this.#quiet, autoGainControl: this.#quiet};
    return {
      ...device,
      width: {ideal: maxVideoWidth, max: maxVideoWidth},
      height: {ideal: maxVideoHeight, max: maxVideoHeight},
      frameRate: {ideal: maxFrameRate, max: maxFrameRate},
    };
  }

  /** @param {MediaStreamConstraints} constraints */
  async #capture(constraints) {
    if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error('no secure context'), {name: 'InsecureContext'});
    return navigator.mediaDevices.getUserMedia(constraints);
  }

  /** What is sent of this kind has changed. @param {Kind} kind */
  #published(kind) {
    const track = kind === 'audio' ? this.audio : this.camera;
    for (const old of this.stream.getTracks()) {
      if (old.kind === kind && old !== track) this.stream.removeTrack(old);
    }
    if (track && !this.stream.getTracks().includes(track)) this.stream.addTrack(track);
    this.emit('track', {kind, track: this.track(kind)});
    this.emit('change', undefined);
  }

  async #onDeviceChange() {
    const devices = await this.devices();
    if (this.#closed) return;
    for (const device of Object.values(this.#devices)) {
      const plugged = devices.some(({kind}) => kind === `${device.kind}input`);
      if (plugged && device.track === null && device.problem?.code !== 'refused') device.settle();
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
