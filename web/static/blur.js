import {toast} from './dom.js';
import {remember} from './settings.js';
import {learn, t} from './words.js';

/** @typedef {import('/client/turnhub.js').LocalMedia} LocalMedia */
/** @typedef {{load: {share: number, each: number, pictures: number}}} Load of a second: of a core, of a picture in milliseconds, and how many there were */

/** A first picture that has not come by then does not come, milliseconds. */
const patience = 8000;

/** What there is in Chromium alone. @type {{MediaStreamTrackProcessor?: any, MediaStreamTrackGenerator?: any}} */
const streams = /** @type {any} */ (globalThis);

/**
 * Blurs what is behind the visitor, in a worker (blur.worker.js), before anybody gets a picture. Where that fails, or costs
 * more than half a core of the processor, it is switched off, and the visitor is told; in a call the camera goes off with it,
 * for nobody is to be seen as he did not choose.
 */
export class Blur {
  #media;
  #switch;
  /** @type {Worker | null} */ #worker = null;
  /** @type {Promise<void>} */ #ready = Promise.resolve();
  #last = 0;
  /** The number of the camera that is blurred; 0: none. */ #live = 0;
  /** What waits for the first picture of a camera, by its number. @type {Map<number, () => void>} */ #first = new Map();
  /** Takes the pictures of the one that runs. @type {(message: any) => void} */ #hear = () => {};

  /** @param {LocalMedia} media @param {HTMLInputElement} control */
  constructor(media, control) {
    this.#media = media;
    this.#switch = control;
  }

  /** @param {boolean} on */
  async set(on) {
    remember('blur', on ? 'on' : '');
    if (!on) return this.#end();
    this.#switch.setAttribute('aria-busy', 'true');
    await this.#media.alter((camera) => this.#alter(camera)); // now, and for every camera that comes
    this.#switch.removeAttribute('aria-busy');
  }

  /** @param {'failed' | 'dear'} why */
  async #fail(why) {
    if (!this.#switch.checked) return;
    this.#switch.checked = false;
    const seen = document.body.dataset.view === 'call' && this.#media.enabled.video;
    if (seen) await this.#media.toggle('video', false);
    this.set(false);
    await learn();
    toast(t(`blur.${seen ? 'off' : why}`), 'bad');
  }

  #end() {
    this.#last++;
    this.#media.alter(null);
    this.#worker?.terminate();
    this.#worker = null;
    this.#hear = () => {};
    delete this.#switch.dataset.load;
  }

  /** The worker, once it has the model. */
  async #work() {
    if (!this.#worker) {
      const worker = this.#worker = new Worker('/static/blur.worker.js', {type: 'module'});
      this.#ready = new Promise((resolve, reject) => {
        worker.onerror = () => reject(new Error('the worker does not start'));
        worker.onmessage = ({data}) => {
          if (data.ready) resolve();
          else if (data.first) this.#first.get(data.first)?.();
          else if (data.dear) this.#fail('dear');
          else if (data.load) this.#switch.dataset.load = JSON.stringify(data.load);
          else if (data.failed) {
            // A camera that has ended takes its stream away from under the worker, which may see that first.
            if (data.id && data.id !== this.#live) return;
            console.warn('turnhub: the background is not blurred', data.failed);
            reject(new Error(data.failed));
            this.#fail('failed');
          } else this.#hear(data);
        };
      });
    }
    await this.#ready;
    return this.#worker;
  }

  /** @param {MediaStreamTrack} camera */
  async #alter(camera) {
    const id = ++this.#last;
    try {
      return await this.#begin(await this.#work(), id, camera);
    } catch (error) {
      if (id === this.#last) this.#fail('failed'); // else another camera was chosen meanwhile
      throw error;
    }
  }

  /** @param {Worker} worker @param {number} id @param {MediaStreamTrack} camera */
  async #begin(worker, id, camera) {
    const {track, close} = streams.MediaStreamTrackProcessor && streams.MediaStreamTrackGenerator ? this.#stream(worker, id, camera) : this.#pictures(worker, id, camera);
    const first = new Promise((resolve, reject) => {
      this.#first.set(id, () => resolve(undefined));
      setTimeout(() => reject(new Error('no picture has come')), patience);
    });
    this.#live = id;
    const end = () => {
      if (this.#live === id) this.#live = 0;
      this.#first.delete(id);
      worker.postMessage({stop: id});
      close();
      track.stop();
    };
    try {
      await first;
      this.#first.delete(id);
    } catch (error) {
      end();
      throw error;
    }
    return {track, close: end};
  }

  /** Frames go through the worker without the page. @param {Worker} worker @param {number} id @param {MediaStreamTrack} camera */
  #stream(worker, id, camera) {
    const {readable} = new streams.MediaStreamTrackProcessor({track: camera, maxBufferSize: 1});
    const track = /** @type {MediaStreamTrack} */ (new streams.MediaStreamTrackGenerator({kind: 'video'}));
    const {writable} = /** @type {any} */ (track);
    worker.postMessage({start: id, readable, writable}, [readable, writable]);
    return {track, close() {}};
  }

  /** The page takes a picture when the worker asks for it, and paints what comes back. @param {Worker} worker @param {number} id @param {MediaStreamTrack} camera */
  #pictures(worker, id, camera) {
    const video = document.createElement('video'), canvas = document.createElement('canvas');
    video.muted = video.playsInline = true;
    video.srcObject = new MediaStream([camera]);
    video.play().catch(() => {});
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', {alpha: false}));
    const [track] = /** @type {MediaStreamTrack[]} */ (canvas.captureStream().getVideoTracks());
    let busy = false;
    this.#hear = async ({next, picture, id: of}) => {
      if (picture) {
        busy = false;
        if (of === id) {
          if (canvas.width !== picture.width || canvas.height !== picture.height) Object.assign(canvas, {width: picture.width, height: picture.height});
          context.drawImage(picture, 0, 0);
          this.#first.get(id)?.();
        }
        picture.close();
      } else if (next === id && !busy && video.readyState >= 2 && video.videoWidth) {
        busy = true;
        const taken = await createImageBitmap(video).catch(() => null);
        if (taken) worker.postMessage({picture: taken, id}, [taken]);
        else busy = false;
      }
    };
    worker.postMessage({start: id});
    return {track, close() { video.srcObject = null; }};
  }
}
