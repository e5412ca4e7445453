import {$, el} from './dom.js';
import {wordsOf} from './problems.js';
import {learn, t} from './words.js';

/** @typedef {import('./controls.js').Controls} Controls */
/** The client has it, which the page has loaded already. @typedef {typeof import('/client/turnhub.js').levelOf} LevelOf */

/** From this level on, −45 dB, it is a voice that is heard. Nothing so loud for so long, milliseconds: something is wrong. */
const voice = 0.25, patience = 5000;
/** What is recorded to be played back, milliseconds. */
const sample = 3000;

/** @param {Controls} controls @param {LevelOf} levelOf */
export async function openTest(controls, levelOf) {
  await learn();
  return new SoundTest(controls, levelOf);
}

/** A few tones that go up, as a sound for an element: only those can be sent to the chosen speaker in every browser that lets one choose. */
function chime() {
  const context = new AudioContext(), out = context.createMediaStreamDestination();
  let at = context.currentTime + 0.1;
  for (const tone of [523, 659, 784, 1047]) {
    const oscillator = context.createOscillator(), gain = context.createGain();
    oscillator.frequency.value = tone;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.3, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.35);
    oscillator.connect(gain).connect(out);
    oscillator.start(at);
    oscillator.stop(at + 0.35);
    at += 0.25;
  }
  context.resume().catch(() => {});
  return {stream: out.stream, length: 1700, close: () => { context.close().catch(() => {}); }};
}

/**
 * A test of the chosen microphone and speaker, among the devices: what is heard, a sound to hear, and oneself played back.
 * Nothing of it goes to anybody.
 */
export class SoundTest {
  #controls;
  #place = $('#sound-test');
  #button = $('#try-sound');
  #fill = el('i');
  #strength = el('div', {class: 'strength', role: 'meter', 'aria-label': t('sound.level'), 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': '0'}, this.#fill);
  #said = el('p', {role: 'status'});
  #heardOf = el('p', {role: 'status'});
  #play = el('button', {type: 'button', class: 'secondary', onclick: () => this.#playChime()}, t('sound.play'));
  #record = el('button', {type: 'button', class: 'secondary', onclick: () => this.#playBack()}, t('sound.record'));
  #audio = new Audio();
  #levelFor;
  /** @type {ReturnType<LevelOf> | null} */ #level = null;
  /** Whose sound that is. @type {MediaStreamTrack | null} */ #levelOf = null;
  /** @type {any} */ #timer = null;
  /** When the microphone was heard last, or began to be listened to. */ #since = 0;
  #heard = false;
  /** Ends what is played or recorded. @type {() => void} */ #stop = () => {};

  /** @param {Controls} controls @param {LevelOf} levelOf */
  constructor(controls, levelOf) {
    this.#controls = controls;
    this.#levelFor = levelOf;
    this.#record.hidden = typeof MediaRecorder === 'undefined';
    this.#place.append(this.#strength, this.#said, this.#play, this.#record, this.#heardOf);
  }

  toggle() {
    if (this.#place.hidden) this.#open();
    else this.#close();
  }

  #open() {
    this.#place.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.#say(this.#heardOf, '');
    this.#say(this.#said, '');
    this.#tick();
  }

  #close() {
    this.#place.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    clearTimeout(this.#timer);
    this.#listen(null);
    this.#stop();
  }

  /** Written anew it would be read out anew. @param {HTMLElement} where @param {string} text */
  #say(where, text) {
    if (where.textContent !== text) where.textContent = text;
  }

  /** @param {MediaStreamTrack | null} track */
  #listen(track) {
    if (track === this.#levelOf) return;
    this.#level?.close();
    this.#levelOf = track;
    this.#level = track && this.#levelFor(new MediaStream([track]));
    this.#since = performance.now();
    this.#heard = false;
  }

  /** Ten times a second, for as long as somebody sees it: the call has begun, or the dialog is closed, and it ends. */
  #tick() {
    if (!this.#place.getClientRects().length) return this.#close();
    this.#listen(this.#controls.media.audio);
    const level = this.#controls.media.sending.audio ? this.#level?.read() ?? 0 : 0;
    if (level > voice) {
      this.#heard = true;
      this.#since = performance.now();
    }
    this.#fill.style.transform = `scaleX(${level.toFixed(2)})`;
    this.#strength.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    this.#say(this.#said, this.#verdict());
    this.#record.disabled = !this.#controls.media.sending.audio;
    this.#timer = setTimeout(() => this.#tick(), 100);
  }

  /** What is to be said of the microphone. */
  #verdict() {
    const {media} = this.#controls, problem = media.problems.audio;
    if (problem) return wordsOf(problem);
    if (!media.enabled.audio) return t('sound.muted');
    if (!media.audio) return t('sound.starting');
    if (media.audio.muted) return t('sound.system');
    if (performance.now() - this.#since > patience) return t('sound.silent');
    return t(this.#heard ? 'sound.heard' : 'sound.speak');
  }

  /** On the chosen speaker. @param {{stream?: MediaStream, url?: string}} what */
  async #start({stream, url}) {
    const {speaker} = this.#controls;
    this.#audio.srcObject = stream ?? null;
    if (url) this.#audio.src = url;
    if ('setSinkId' in this.#audio) await /** @type {any} */ (this.#audio).setSinkId(speaker).catch(() => {});
    await this.#audio.play();
  }

  async #playChime() {
    this.#stop();
    const {stream, length, close} = chime();
    const ending = setTimeout(() => this.#stop(), length);
    this.#stop = () => {
      this.#stop = () => {};
      clearTimeout(ending);
      this.#audio.pause();
      this.#audio.srcObject = null;
      close();
    };
    try {
      await this.#start({stream});
      this.#say(this.#heardOf, t('sound.playing'));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Records for a moment, and plays that. */
  async #playBack() {
    this.#stop();
    const {audio: track} = this.#controls.media;
    if (!track) return;
    /** @type {Blob[]} */ const parts = [];
    const recorder = new MediaRecorder(new MediaStream([track]));
    let url = '', wanted = true;
    const ending = setTimeout(() => { if (recorder.state !== 'inactive') recorder.stop(); }, sample);
    this.#stop = () => {
      this.#stop = () => {};
      wanted = false;
      clearTimeout(ending);
      if (recorder.state !== 'inactive') recorder.stop();
      this.#audio.pause();
      if (url) URL.revokeObjectURL(url);
      this.#audio.removeAttribute('src');
      this.#record.removeAttribute('aria-busy');
    };
    recorder.ondataavailable = ({data}) => parts.push(data);
    recorder.onstop = async () => {
      if (!wanted) return;
      url = URL.createObjectURL(new Blob(parts, {type: recorder.mimeType}));
      this.#audio.onended = () => {
        this.#stop();
        this.#say(this.#heardOf, t('sound.replayed'));
      };
      try {
        await this.#start({url});
        this.#say(this.#heardOf, t('sound.replaying'));
        this.#record.removeAttribute('aria-busy');
      } catch (error) {
        if (wanted) this.#failed(error);
      }
    };
    recorder.start();
    this.#record.setAttribute('aria-busy', 'true');
    this.#say(this.#heardOf, t('sound.recording'));
  }

  /** @param {unknown} error */
  #failed(error) {
    console.warn('turnhub: sound', error);
    this.#stop();
    this.#say(this.#heardOf, t('sound.unplayed'));
  }
}
