// The world of the model test: time that moves only when told, chance with a seed, and two networks with what can happen
// to them. The globals that the client uses are put in its place once; nothing here waits for real time.

/** Chance that can be had again: mulberry32. @param {number} seed */
export function chance(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const within = (least, most) => least + next() * (most - least);
  return {next, within, one: (of) => of[Math.floor(next() * of.length)], happens: (probability) => next() < probability};
}

/** Timers in a heap, by time and then by order. Each belongs to the side in whose code it was set; a side that is frozen waits. */
export class Time {
  now = 0;
  /** Whose code runs; '': the world's. */
  side = '';
  /** @type {Record<string, number>} until when */ frozen = {};
  #heap = [];
  #count = 0;

  set(run, milliseconds, every = 0, side = this.side) {
    // What is left of a wait can be less than the clock's last digit: time has to go on all the same, as a browser's does.
    const wait = milliseconds > 0 ? Math.max(0.001, milliseconds) : 0;
    const timer = {at: this.now + wait, order: this.#count++, run, every, side, dead: false, unref() { return this; }, refresh() { return this; }};
    this.#push(timer);
    return timer;
  }

  clear(timer) {
    if (timer) timer.dead = true;
  }

  #push(timer) {
    const heap = this.#heap;
    let i = heap.push(timer) - 1;
    while (i) {
      const up = (i - 1) >> 1;
      if (before(heap[up], timer)) break;
      heap[i] = heap[up];
      i = up;
    }
    heap[i] = timer;
  }

  #pop() {
    const heap = this.#heap, top = heap[0], last = heap.pop();
    if (!heap.length) return top;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1], heap[down])) down++;
      if (before(last, heap[down])) break;
      heap[i] = heap[down];
      i = down;
    }
    heap[i] = last;
    return top;
  }

  /** Runs what is due until then, and after each all that it has begun. */
  async until(end) {
    let began = this.now, ran = 0;
    while (this.#heap.length && this.#heap[0].at <= end) {
      const timer = this.#pop();
      if (timer.dead) continue;
      this.now = timer.at;
      if (this.now > began) [began, ran] = [this.now, 0];
      // A timer that sets itself again with no time between would go on for ever.
      if (++ran > 100_000) throw new Error(`time stands still at ${this.now}: ${timer.side} ${timer.run}`);
      const thaw = this.frozen[timer.side] ?? 0;
      if (thaw > this.now) { // in their order, when it wakes
        timer.at = thaw;
        this.#push(timer);
        continue;
      }
      this.side = timer.side;
      if (timer.every) {
        timer.at += timer.every;
        timer.order = this.#count++;
        this.#push(timer);
      }
      timer.run();
      await settle();
    }
    this.now = end;
    this.side = '';
  }

  clearAll() {
    this.#heap = [];
  }
}

const before = (a, b) => a.at < b.at || (a.at === b.at && a.order < b.order);

const {setImmediate: immediate} = globalThis;
/** Everything that promises have begun is done. */
const settle = () => new Promise((resolve) => immediate(resolve));

class FakeTrack extends EventTarget {
  readyState = 'live';
  enabled = true;
  muted = false;
  constructor(kind) { super(); this.kind = kind; this.id = `${kind}-${Math.random()}`; }
  stop() { this.readyState = 'ended'; }
  getSettings() { return {}; }
}

export class FakeStream {
  #tracks;
  constructor(tracks = []) { this.#tracks = new Set(tracks); }
  getTracks() { return [...this.#tracks]; }
  getVideoTracks() { return this.getTracks().filter(({kind}) => kind === 'video'); }
  getAudioTracks() { return this.getTracks().filter(({kind}) => kind === 'audio'); }
  addTrack(track) { this.#tracks.add(track); }
  removeTrack(track) { this.#tracks.delete(track); }
}

export const track = (kind) => new FakeTrack(kind);

/** What the client finds instead of a browser, for as long as a test runs. @param {Time} time @param {() => number} random @param {Record<string, any>} classes */
export function install(time, random, classes) {
  Object.assign(globalThis, {
    setTimeout: (run, milliseconds) => time.set(run, milliseconds),
    setInterval: (run, milliseconds) => time.set(run, milliseconds, milliseconds),
    clearTimeout: (timer) => time.clear(timer),
    clearInterval: (timer) => time.clear(timer),
    MediaStream: FakeStream,
    fetch: async () => { throw new TypeError('nobody answers'); },
    ...classes,
  });
  const getUserMedia = async ({audio, video}) => new FakeStream([...(audio ? [track('audio')] : []), ...(video ? [track('video')] : [])]);
  Object.defineProperty(globalThis, 'navigator', {configurable: true, value: {mediaDevices: {getUserMedia}, userAgent: ''}});
  performance.now = () => time.now;
  Math.random = random; // the jitter of attempts, so that a seed plays the same again
}
