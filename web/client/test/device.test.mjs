// What was switched off is off: LocalMedia against a browser that answers late, in any order, or with an error, under
// random wishes, choices, pulled devices and screens. SEED=n repeats one run, SCHEDULES=n makes more of them.
import test from 'node:test';
import assert from 'node:assert/strict';

class FakeTrack extends EventTarget {
  enabled = true;
  readyState = 'live';
  constructor(kind, deviceId, facingMode) { super(); this.kind = kind; this.settings = {deviceId, facingMode}; }
  getSettings() { return this.settings; }
  stop() { this.readyState = 'ended'; }
  pull() { if (this.readyState === 'ended') return; this.readyState = 'ended'; this.dispatchEvent(new Event('ended')); }
}
class FakeStream {
  constructor(tracks = []) { this.tracks = [...tracks]; }
  getTracks() { return [...this.tracks]; }
  getVideoTracks() { return this.tracks.filter(({kind}) => kind === 'video'); }
  getAudioTracks() { return this.tracks.filter(({kind}) => kind === 'audio'); }
  addTrack(track) { if (!this.tracks.includes(track)) this.tracks.push(track); }
  removeTrack(track) { this.tracks = this.tracks.filter((other) => other !== track); }
}

/** A browser with devices that can be pulled out, whose every answer waits until the test lets it out. */
class FakeDevices extends EventTarget {
  questions = [];
  tracks = [];
  plugged = {audio: 1, video: 2};
  allowed = true;
  ask(kinds, wanted) {
    return new Promise((resolve, reject) => { this.questions.push({kinds, wanted, resolve, reject}); });
  }
  getUserMedia(want) { return this.ask(['audio', 'video'].filter((kind) => want[kind]), want); }
  getDisplayMedia() { return this.ask(['screen'], {}); }
  async enumerateDevices() {
    return ['audio', 'video'].flatMap((kind) => Array.from({length: this.plugged[kind]}, (_, i) => ({kind: `${kind}input`, deviceId: `${kind}${i}`})));
  }
  answer(index, fail) {
    const [{kinds, wanted, resolve, reject}] = this.questions.splice(index, 1);
    const error = (name) => reject(Object.assign(new Error(name), {name}));
    if (fail) return error(fail);
    if (!this.allowed) return error('NotAllowedError');
    const made = [];
    for (const kind of kinds) {
      if (kind === 'screen') {
        made.push(new FakeTrack('video', 'screen'), new FakeTrack('audio', 'screen'));
        continue;
      }
      const exact = wanted[kind].deviceId?.exact;
      if (!this.plugged[kind]) return error('NotFoundError');
      if (exact && Number(exact.slice(5)) >= this.plugged[kind]) return error('OverconstrainedError');
      const facing = wanted[kind].facingMode?.exact;
      if (facing && this.plugged.video < 2) return error('OverconstrainedError');
      made.push(new FakeTrack(kind, exact ?? `${kind}0`, facing));
    }
    this.tracks.push(...made);
    resolve(new FakeStream(made));
  }
}

globalThis.MediaStream = FakeStream;
const {LocalMedia} = await import('../call/media/media.js');

const settle = async () => { for (let i = 0; i < 12; i++) await null; };

function mulberry(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param {number} seed */
async function schedule(seed) {
  const random = mulberry(seed), pick = (list) => list[Math.floor(random() * list.length)];
  const devices = new FakeDevices();
  let permission = null;
  Object.defineProperty(globalThis, 'navigator', {configurable: true, value: {
    mediaDevices: devices, hardwareConcurrency: 4, permissions: {query: async () => (permission ??= {state: 'denied', onchange: null})},
  }});
  const media = new LocalMedia();
  const wish = {audio: true, video: true, screen: false};
  let opened = false, closed = false;
  const log = [];
  const senders = {audio: null, video: null};
  // As a sender that follows the event, and never looks by itself.
  media.on('track', ({kind}) => { senders[kind] = media.track(kind); });
  const check = () => {
    const live = (kind, id) => devices.tracks.filter((track) => track.kind === kind && (track.settings.deviceId === 'screen') === !!id && track.readyState === 'live');
    for (const kind of ['audio', 'video']) {
      const loud = live(kind).filter(({enabled}) => enabled);
      if (!wish[kind] || closed) {
        assert.equal(media.sending[kind], false, `${kind} is said to be on`);
        assert.deepEqual(loud, [], `${kind} is off, and a track is live`);
        assert.ok(!senders[kind] || senders[kind].settings.deviceId === 'screen' || senders[kind].readyState === 'ended' || !senders[kind].enabled, `${kind} is off, and is sent`);
      }
      assert.ok(live(kind).length <= 1, `two devices of kind ${kind} at once`);
      if (media.sending[kind]) assert.deepEqual(loud, [kind === 'audio' ? media.audio : media.camera], 'said to be on, and is not');
      assert.equal(media.enabled[kind], wish[kind]);
    }
    if (!wish.screen) {
      assert.equal(media.sending.screen, false);
      assert.deepEqual(live('video', 'screen'), [], 'a screen is shared that nobody wants to share');
      assert.deepEqual(live('audio', 'screen'), []);
    }
  };
  const acts = {
    open: () => { opened = true; media.open(); },
    toggle: () => { const kind = pick(['audio', 'video']); const on = random() < 0.5; wish[kind] = on; media.toggle(kind, on); },
    click: () => { const kind = pick(['audio', 'video']); media.toggle(kind); wish[kind] = media.enabled[kind]; },
    assign: () => { const kind = pick(['audio', 'video']); wish[kind] = media.enabled[kind] = random() < 0.5; },
    choose: () => { const kind = pick(['audio', 'video']); media.choose(kind, `${kind}${pick([0, 1, 2])}`); },
    flip: () => { media.flip(); },
    share: () => { wish.screen = true; media.share().then((chosen) => { if (!chosen && !media.screen) wish.screen = false; }, () => { if (!media.screen) wish.screen = false; }); },
    unshare: () => { wish.screen = false; media.unshare(); },
    plug: () => { devices.plugged[pick(['audio', 'video'])] = pick([0, 1, 2]); devices.dispatchEvent(new Event('devicechange')); },
    pull: () => { const live = devices.tracks.filter(({readyState, settings}) => readyState === 'live' && settings.deviceId !== 'screen'); if (live.length) pick(live).pull(); },
    end: () => { const live = devices.tracks.filter(({readyState, settings, kind}) => readyState === 'live' && settings.deviceId === 'screen' && kind === 'video'); if (live.length) { pick(live).pull(); if (!media.screen) wish.screen = false; } },
    permit: () => { devices.allowed = random() < 0.7; if (permission && devices.allowed) { permission.state = 'granted'; permission.onchange?.(); } },
    answer: () => { if (devices.questions.length) devices.answer(Math.floor(random() * devices.questions.length), random() < 0.15 ? pick(['NotAllowedError', 'NotReadableError', 'NotFoundError', 'AbortError']) : ''); },
  };
  const names = ['open', 'toggle', 'toggle', 'toggle', 'click', 'click', 'assign', 'choose', 'flip', 'share', 'unshare', 'plug', 'pull', 'end', 'permit', 'answer', 'answer', 'answer', 'answer'];
  const steps = 4 + Math.floor(random() * 24);
  try {
    for (let i = 0; i < steps; i++) {
      const name = pick(names);
      acts[name]();
      log.push(name);
      if (name !== 'answer') check(); // at once: off is off before the call has returned
      // What the browser resolves is handled before the next click, as in a browser.
      if (name === 'answer' || random() < 0.6) { await settle(); check(); }
    }
    if (random() < 0.1) { closed = true; media.close(); wish.screen = false; log.push('close'); check(); }
    // Everything is answered, and then what is there is what is wished.
    devices.allowed = true;
    devices.plugged = {audio: 1, video: 2};
    for (let i = 0; i < 50; i++) {
      await settle();
      if (!devices.questions.length) break;
      devices.answer(0, '');
    }
    await settle();
    assert.equal(devices.questions.length, 0, 'the browser is asked for ever');
    check();
    if (closed) return;
    for (const kind of ['audio', 'video']) {
      // One that failed says so, and a click tries again.
      if (media.problems[kind]) { media.toggle(kind, wish[kind]); for (let i = 0; i < 9; i++) { await settle(); if (devices.questions.length) devices.answer(0, ''); } }
      if (!opened && !media.audio && !media.camera) continue;
      if (opened) assert.equal(media.sending[kind], wish[kind], `${kind}: wished ${wish[kind]}`);
    }
    check();
  } catch (error) {
    error.message = `SEED=${seed}: ${error.message}\n${log.join(' ')}`;
    throw error;
  }
}

test('what was switched off is off, in every order of wishes and answers', async () => {
  const first = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
  const count = process.env.SEED ? 1 : Number(process.env.SCHEDULES ?? (process.env.E2E_LONG ? 300_000 : 2000));
  console.log(`SEED=${first}, ${count} schedules`);
  for (let i = 0; i < count; i++) await schedule(first + i);
});
