import {$, el, initials, toast} from './dom.js';
import {recall, remember} from './settings.js';
import {Mix, paint, trackOf} from './recorder.picture.js';
import {learn, sizeOf, t} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('./records.js').Tools} Tools */

/**
 * A piece is written so often, milliseconds. So many pictures are painted a second, or as many as take this part of the time: what the browser
 * has not encoded yet waits in memory without an end, and a page that does nothing but paint connects nobody.
 */
const piece = 1000, rate = 15, share = 1 / 4;
/** Of a recording that is kept in memory, bytes. */
const most = 500e6;
/** How long somebody has to be there before it is said that a program tells of no recording, milliseconds. */
const patience = 4000;

/** What the browser can write, the best first: of a WebM file that was cut off every piece can be played. */
const kinds = ['video/webm;codecs=vp8,opus', 'video/webm', 'video/mp4'];

/** @param {Tools} tools */
export async function openRecorders(tools) {
  await learn();
  return new Recorders(tools);
}

/** @param {string} type */
const endingOf = (type) => (type.includes('mp4') ? 'mp4' : 'webm');

/** Gives a file to the visitor, among the downloads. @param {Blob} content @param {string} name */
function save(content, name) {
  const url = URL.createObjectURL(content);
  el('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 600_000); // it may be large, and the disk slow
}

/** A file of this site's own. @param {string} name */
const stored = async (name) => (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
/** @param {string} name */
const forget = async (name) => { await (await navigator.storage.getDirectory()).removeEntry(name).catch(() => {}); };

/** Where the pieces go: to a file of this site's own, or into memory where there is none. */
class Store {
  #worker = new Worker('/static/recorder.worker.js', {type: 'module'});
  /** @type {Blob[]} */ #kept = [];
  #bytes = 0;
  #name = '';
  /** @type {(message: any) => void} */ #answer = () => {};
  /** @type {(error: Error) => void} */ #fail = () => {};
  /** There is no room for more. @type {() => void} */ onfull = () => {};
  /** Time for another picture. @type {() => void} */ onbeat = () => {};

  constructor() {
    this.#worker.onmessage = ({data}) => {
      if (data.beat) this.#beat();
      else if (data.full) this.onfull();
      else this.#answer(data);
    };
    this.#worker.onerror = () => this.#fail(new Error('what writes the recording cannot be loaded'));
    this.#worker.postMessage({beat: 1000 / rate});
  }

  #beat() {
    const begun = performance.now();
    try {
      this.onbeat();
    } finally {
      const took = performance.now() - begun;
      this.#worker.postMessage({beat: Math.max(1, 1000 / rate - took, took / share - took)});
    }
  }

  get inMemory() { return !this.#name; }

  /** @param {any} message @returns {Promise<any>} */
  #ask(message) {
    return new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#fail = reject;
      this.#worker.postMessage(message);
    });
  }

  /** @param {string} name */
  async open(name) {
    const {opened} = await this.#ask({open: name});
    if (!opened) return;
    this.#name = name;
    remember('recording', name);
  }

  /** @param {Blob} data */
  async add(data) {
    this.#bytes += data.size;
    if (this.#name) {
      const content = await data.arrayBuffer();
      this.#worker.postMessage({piece: content}, [content]);
      return;
    }
    this.#kept.push(data);
    if (this.#bytes > most) this.onfull();
  }

  /** @param {string} name of the file for the visitor @param {string} type */
  async finish(name, type) {
    if (!this.#name) {
      save(new Blob(this.#kept, {type}), name);
    } else {
      await this.#ask({close: true});
      save(await stored(this.#name), name);
      remember('recorded', this.#name);
      remember('recording', '');
    }
  }

  drop() { this.#worker.terminate(); }
}

/** The recordings of this page: one at a time. */
export class Recorders {
  #tools;
  /** @type {(() => void) | null} ends the one that is made */ #end = null;
  #note = $('#recording');

  /** @param {Tools} tools */
  constructor(tools) {
    this.#tools = tools;
  }

  /** @param {Call} call */
  toggle(call) {
    if (this.#end) return this.#end();
    const type = globalThis.MediaRecorder && kinds.find((kind) => MediaRecorder.isTypeSupported(kind));
    if (!type || !HTMLCanvasElement.prototype.captureStream) return toast(t('recording.unable'), 'bad');
    this.#end = () => {}; // not twice
    // Another window of this browser may be at it: one of them has the file.
    if (!navigator.locks) return this.#record(call, type, false);
    navigator.locks.request('turnhub-recording', {ifAvailable: true}, (lock) => this.#record(call, type, lock !== null))
      .catch((error) => { console.warn('turnhub: recording', error); return this.#record(call, type, false); }); // it may be forbidden here
  }

  /** @param {Call} call @param {string} type @param {boolean} alone @returns {Promise<void>} settled when it is saved */
  async #record(call, type, alone) {
    const stamp = new Date().toISOString().slice(0, 19).replace(/[T:]/g, '-'), name = `turnhub-${stamp}.${endingOf(type)}`;
    const button = $('#record'), before = button.textContent;
    /** @type {Mix | null} */ let mix = null;
    /** @type {Store | null} */ let store = null;
    try {
      mix = new Mix();
      store = new Store();
      if (alone) await store.open(name);
      if (call.phase !== 'active') return;
      button.textContent = t('recording.stop');
      await this.#run(call, type, mix, store);
      await store.finish(name, type.split(';')[0]);
      toast(t('recording.saved'));
    } catch (error) {
      // What was written is offered at the next opening.
      console.warn('turnhub: recording', error);
      toast(t('error.unknown'), 'bad');
    } finally {
      call.recording = false;
      this.#note.hidden = true;
      button.textContent = before;
      mix?.close();
      store?.drop();
      this.#end = null;
    }
  }

  /** Takes pictures and sound until it is stopped, or the call is over. @param {Call} call @param {string} type @param {Mix} mix @param {Store} store */
  async #run(call, type, mix, store) {
    const canvas = document.createElement('canvas');
    canvas.getContext('2d', {alpha: false}); // before it is a track
    const pictures = trackOf(canvas, rate);
    call.recording = true; // before anything is taken
    this.#tools.blip('record');
    /** By peer: since when it is there, and whether it was said that it is left out. @type {Map<object, number>} */ const waiting = new Map();
    const begun = performance.now();
    let toldOfSound = false;
    const look = () => {
      if (!toldOfSound && !mix.runs && performance.now() - begun > patience) {
        toldOfSound = true;
        toast(t('recording.no-sound'), 'bad');
      }
      paint(canvas, call, initials, t('person.you'), this.#tools.nameOf);
      pictures.painted();
      mix.follow(call);
      for (const peer of call.peers) {
        if (peer.media.recordings || peer.state !== 'connected') continue;
        const since = waiting.get(peer) ?? performance.now();
        waiting.set(peer, since);
        if (performance.now() - since < patience) continue;
        waiting.set(peer, Infinity);
        toast(t('recording.left-out', {who: this.#tools.nameOf(peer)}), 'bad');
      }
    };
    look();
    const stream = new MediaStream([pictures.track, mix.track]);
    const recorder = new MediaRecorder(stream, {mimeType: type, videoBitsPerSecond: 1_500_000, audioBitsPerSecond: 96_000});
    store.onbeat = look;
    const stop = this.#end = () => { if (recorder.state !== 'inactive') recorder.stop(); };
    store.onfull = () => {
      if (recorder.state !== 'inactive') toast(t('recording.full'), 'bad');
      stop();
    };
    /** Pieces stay in their order. @type {Promise<void>} */ let adding = Promise.resolve();
    recorder.ondataavailable = ({data}) => { adding = adding.then(() => store.add(data)); };
    const off = call.on('ended', stop);
    this.#note.replaceChildren(el('span', {}, t('recording.you')), el('button', {type: 'button', class: 'quiet', onclick: stop}, t('recording.stop')));
    this.#note.hidden = false;
    if (store.inMemory) toast(t('recording.memory', {size: sizeOf(most)}));
    try {
      await new Promise((resolve) => {
        recorder.onstop = resolve;
        recorder.onerror = (event) => { console.warn('turnhub: recording', event); resolve(event); }; // what there is is saved
        recorder.start(piece);
      });
    } finally {
      off();
      call.recording = false;
      store.onbeat = () => {};
      for (const track of stream.getTracks()) track.stop();
      await adding;
    }
  }

  /** A recording that was cut off is offered to the visitor; the copy of one that was saved goes. */
  async restore() {
    await navigator.locks?.request('turnhub-recording', {ifAvailable: true}, async (lock) => {
      if (!lock) return; // another window is at it
      const done = recall('recorded'), cut = recall('recording');
      if (done) await forget(done);
      remember('recorded', '');
      const content = cut ? await stored(cut).catch(() => null) : null;
      if (!content?.size) {
        if (cut) await forget(cut);
        remember('recording', '');
        return;
      }
      await new Promise((resolve) => {
        /** @param {string} key */
        const over = (key) => {
          if (key) remember(key, cut);
          remember('recording', '');
          note.remove();
          resolve(undefined);
        };
        const note = el('div', {class: 'note kept', role: 'status'}, el('span', {}, t('recording.found')),
          el('button', {type: 'button', class: 'secondary', onclick: () => { save(content, cut); over('recorded'); }}, t('recording.save')),
          el('button', {type: 'button', class: 'quiet', onclick: () => { forget(cut); over(''); }}, t('recording.delete')));
        $('.start').prepend(note);
      });
    });
  }
}
