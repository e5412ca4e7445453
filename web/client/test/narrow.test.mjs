// A call over a simulated narrow line: a queue of bytes that empties at the line's rate, packets that are timed through it as
// the other side's are, and a browser that sends what it is allowed. SEED=n repeats one schedule, SCHEDULES=n makes more.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Asking, leastAsked} from '../call/path/asking.js';
import {NarrowLine, plenty, soundFloor, soundTakes} from '../call/path/narrow.js';
import {chance} from './model/world.mjs';

const tick = 10;

/**
 * The control of a browser: its estimate goes down to what arrives when something waits, up by 8 % a second, and to no more
 * than half as much again as is sent. Where it sends less than it might and the most that it may send changes, it tries twice as much by
 * a burst of packets, and twice as much again where that arrives.
 */
class Browser {
  estimate = 300_000;
  #most = 0;
  #downAt = -Infinity;
  #tryAt = Infinity;
  /** What it did not send of what it might, of half a second, in bits. */
  #spared = 0;
  #spare = false;

  /** It is to begin anew with so much. @param {number} rate */
  begin(rate) { this.estimate = rate; }

  /** @returns the bits of a burst @param {number} sent @param {number} arrives bits per second @param {boolean} finds what it tries comes as it was sent */
  step(now, {most, sent, arrives, wait, rate, finds}) {
    const half = this.estimate * 0.65 * 0.5;
    this.#spared = Math.max(-half, Math.min(half, this.#spared + ((this.estimate * 0.65 - sent) * tick) / 1000));
    this.#spare = this.#spared > half * (this.#spare ? 0.5 : 0.8);
    if (wait > 150 && now - this.#downAt > 700) {
      this.#downAt = now;
      this.estimate = Math.max(60_000, Math.min(this.estimate, 0.85 * arrives));
    } else if (this.estimate < 1.5 * sent + 10_000 && wait < 50) {
      this.estimate *= 1.08 ** (tick / 1000);
    }
    const changed = most !== this.#most;
    this.#most = most;
    if (now >= this.#tryAt) {
      const got = finds ? Math.min(2 * this.estimate, 0.9 * rate) : 0, whole = got > 1.4 * this.estimate;
      this.estimate = Math.max(this.estimate, got);
      this.#tryAt = Infinity;
      if (!whole) return 0;
    } else if (!changed || !this.#spare || this.#tryAt < Infinity) {
      return 0;
    }
    if (this.estimate >= most) return 0;
    this.#tryAt = now + 150;
    return Math.max(5 * 1200 * 8, 2 * this.estimate * 0.015);
  }
}

/**
 * Plays a call. `rate(t)` is what the line takes, bits per second, at so many milliseconds; a bucket lets one packet pass at once.
 * @returns a look each 100 ms: when, the wait in the queue, and what was allowed
 */
function play(milliseconds, rate, {wants = 1_500_000, jitter = () => 0, answers = true, says = true, files = () => false, padded = () => {}, drops = false, follows = true, apart = false, sees = Infinity, thinks = 300_000, expected = Infinity, finds = () => true, begins = () => {}} = {}) {
  const line = new NarrowLine(), browser = new Browser(), looks = [];
  browser.estimate = thinks;
  line.expect(expected, 0);
  let queue = 0, bucket = 0, fileShare = 0;
  /** What was sent and what arrived, in bits as browsers count them, in the last second. */
  const sent = [], bare = [], arrived = [];
  const within = (list, now) => { while (list.length && list[0].at <= now - 1000) list.shift(); return list.reduce((sum, {bits}) => sum + bits, 0); };
  const probes = [];
  for (let now = 0; now < milliseconds; now += tick) {
    const {picture, video, audio, long, files: filesMost, less, scale, frameRate} = line.allowance;
    // Firefox makes packets of sound no longer and no smaller.
    const sound = !follows ? 40_000 : long ? 25_500 : Math.min(audio, 40_000), perSecond = long && follows ? 25 : 50;
    // However coarse, a picture of that size and so many of them have so many bits; the smallest do not fill what they may have.
    const floor = (5000 * Math.min(frameRate, 15)) / scale ** 2;
    const pictures = picture ? Math.max(scale === 4 && frameRate <= 4 ? 12_000 : Math.max(30_000, floor), Math.min(video, browser.estimate - (apart ? 0 : sound), wants, (sees / scale ** 2) * (Math.min(frameRate, 15) / 15), scale === 4 && frameRate <= 4 ? 12_000 : Infinity)) : 0;
    fileShare = files(now) ? Math.min(filesMost, 2_000_000) : 0;
    const counted = (pictures + sound + perSecond * 42 * 8 + fileShare) * (tick / 1000);
    const burst = browser.step(now, {most: ((picture ? Math.min(video, 2_500_000) : 0) + sound) * (less ? 0.99 : 1), sent: pictures + (apart ? 0 : sound + perSecond * 42 * 8),
      arrives: within(arrived, now) - (apart ? sound + perSecond * 136 * 8 : 0), wait: (queue / rate(now)) * 1000, rate: rate(now), finds: finds(now)});
    const onLine = counted + burst + ((pictures / 8000 + perSecond + fileShare / 8000) * 94 * 8 * tick) / 1000;
    const before = queue, passes = (rate(now) * tick) / 1000;
    queue = Math.max(0, queue + onLine - passes - bucket);
    const left = before + onLine - queue;
    // A server that drops what has waited, and lets small messages go first.
    if (drops) queue = Math.min(queue, rate(now) * 0.2);
    bucket = Math.max(0, Math.min(1540 * 8, bucket + passes - left));
    sent.push({at: now, bits: onLine});
    bare.push({at: now, bits: counted + burst});
    arrived.push({at: now, bits: left});
    for (const probe of probes) probe.ahead -= left;
    if (now % 250 === 0) {
      const bits = (100 + line.pad * 1.12) * 8;
      queue += bits;
      sent.push({at: now, bits});
      probes.push({ahead: drops && !line.pad ? bits : queue, at: now, pad: line.pad});
      if (line.pad) {
        padded(line.pad);
        line.padded(now);
      }
    }
    const beside = apart ? sound + perSecond * 42 * 8 : 0;
    const look = (delay, pad) => {
      line.take({now, stream: true, delay: Math.max(0, delay + jitter(now)), sent: within(sent, now), bare: within(bare, now),
      received: answers ? within(arrived, now) : 0, pad, files: fileShare, available: says ? browser.estimate + beside : 0, apart: beside, shows: pictures, spoken: follows ? 0 : sound + perSecond * (42 + 94) * 8});
      if (!line.begins) return;
      browser.begin(line.begins);
      begins(now, line.begins);
    };
    while (probes.length && probes[0].ahead <= 0) {
      const {at, pad} = probes.shift();
      look(now - at, pad);
    }
    // One that is on its way counts for as long as it is.
    if (probes.length && now % 100 === 0 && now - probes[0].at > 200) look(now - probes[0].at, 0);
    if (now % 100 === 0) looks.push({now, wait: (queue / rate(now)) * 1000, sound, pictures, estimate: browser.estimate, ...line.allowance});
  }
  return looks;
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const from = (looks, start, end = Infinity) => looks.filter(({now}) => now >= start && now < end);
/** How often pictures were left out or came back. */
const turns = (looks) => looks.filter((look, i) => i && (look.picture && look.scale > 0) !== looks[i - 1].picture).length;

/** How long, in seconds, nobody sees a fresh picture from then on: it waits, or there is none. @param {number} late milliseconds */
const unseen = (looks, start, end, late = 500) => from(looks, start, end).filter(({picture, wait}) => !picture || wait > late).length / 10;

const open = 20_000_000;
for (const kbit of [300, 200, 130]) {
  test(`${kbit} kbit/s in the middle of a call that sends little more: pictures are hardly late, and never left out`, (t) => {
    const looks = play(30_000, (now) => (now < 8000 ? open : kbit * 1000), {wants: 100_000});
    const late = unseen(looks, 8000, 30_000);
    t.diagnostic(`${kbit} kbit/s: late for ${late} s`);
    assert.ok(late <= 0.5, `late for ${late} s`);
  });
}

test('what waits is let through beside the least picture where the line has room for it', (t) => {
  const looks = play(30_000, (now) => (now < 8000 ? open : 200_000), {wants: 1_500_000});
  const late = unseen(looks, 8000, 30_000), away = from(looks, 8000).filter(({picture}) => !picture).length / 10;
  t.diagnostic(`late for ${late} s, of them left out for ${away}`);
  assert.ok(away <= 2.5 && late <= 5, `late for ${late} s, left out for ${away}`);
});

for (const kbit of [300, 200, 130, 80, 64]) {
  test(`${kbit} kbit/s: nothing waits long, sound keeps its rate, and everything is back within 10 s`, (t) => {
    const looks = play(70_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000));
    // What was on its way when the line became narrow has to get through first, at whatever rate that takes.
    const narrow = from(looks, kbit < 100 ? 26_000 : 11_000, 45_000), wait = narrow.map((look) => look.wait);
    const shown = narrow.filter(({picture}) => picture);
    t.diagnostic(`${kbit} kbit/s: waits ${Math.round(median(wait))} ms, at worst ${Math.round(Math.max(...wait))} ms; pictures ${Math.round((100 * shown.length) / narrow.length)} % of the time, `
      + `${Math.round(median(shown.map(({pictures}) => pictures)) / 1000) || 0} kbit/s, sides ÷ ${median(shown.map(({scale}) => scale))}, ${median(shown.map(({frameRate}) => frameRate))} a second; `
      + `sound ${median(narrow.map(({sound}) => sound)) / 1000} kbit/s; ${turns(narrow)} turns`);
    if (kbit > 70) assert.ok(median(wait) <= 250, `waits ${median(wait)} ms`);
    if (kbit > 70) assert.ok(Math.max(...wait) <= 1000, `waits ${Math.max(...wait)} ms at worst`);
    assert.ok(narrow.every(({sound}) => sound >= soundFloor));
    assert.ok(turns(narrow) <= 12, `${turns(narrow)} turns`);
    if (kbit >= 130) assert.ok(shown.length > narrow.length * 0.7, 'the picture stays');
    if (kbit <= 80) assert.ok(shown.length < narrow.length * 0.2, 'the picture goes');
    const back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 1_400_000);
    t.diagnostic(`${kbit} kbit/s: back after ${back && (back.now - 45_000) / 1000} s`);
    assert.ok(back && back.now <= 55_000, `back ${back?.now}`);
    assert.deepEqual({...looks.at(-1), files: 0}, {...looks.at(-1), ...plenty, files: 0});
  });
}

for (const kbit of [300, 130, 80]) {
  test(`${kbit} kbit/s with a browser that does not say what it thinks: everything is back within 10 s`, (t) => {
    const looks = play(60_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000), {says: false});
    const back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 1_400_000);
    t.diagnostic(`back after ${back && (back.now - 45_000) / 1000} s`);
    assert.ok(back && back.now <= 55_000, `back ${back?.now}`);
  });
}

for (const kbit of [300, 200, 130]) {
  test(`${kbit} kbit/s with a browser that neither says what it thinks nor makes longer packets of sound: nothing waits long`, (t) => {
    const looks = play(60_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000), {says: false, follows: false, wants: 1_500_000});
    // What was on its way before has two thirds of a line of 130 kbit/s taken from it by the sound.
    const narrow = from(looks, kbit < 200 ? 16_000 : 11_000, 45_000), wait = narrow.map((look) => look.wait), shown = narrow.filter(({picture}) => picture);
    t.diagnostic(`${kbit} kbit/s: waits ${Math.round(median(wait))} ms, at worst ${Math.round(Math.max(...wait))} ms; pictures ${Math.round((100 * shown.length) / narrow.length)} % of the time; ${turns(narrow)} turns`);
    const back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 1_400_000);
    t.diagnostic(`back after ${back && (back.now - 45_000) / 1000} s`);
    assert.ok(median(wait) <= 250 && Math.max(...wait) <= 1000, `waits ${median(wait)} ms, ${Math.max(...wait)} ms at worst`);
    assert.ok(back && back.now <= 55_000, `back ${back?.now}`);
  });
}

for (const kbit of [300, 130, 80]) {
  test(`${kbit} kbit/s with a browser that does not count sound in what it thinks: nothing waits long, and everything is back within 10 s`, (t) => {
    let asked = 0, less = false;
    const looks = play(60_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000), {apart: true});
    for (const look of from(looks, 26_000, 45_000)) {
      if (look.less !== less) asked++;
      less = look.less;
    }
    const wait = from(looks, 26_000, 45_000).map((look) => look.wait), back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 1_400_000);
    t.diagnostic(`waits ${Math.round(median(wait))} ms, at worst ${Math.round(Math.max(...wait))} ms; asked for more ${asked} times; back after ${back && (back.now - 45_000) / 1000} s`);
    assert.ok(median(wait) <= 250 && Math.max(...wait) <= 1000 && asked <= 2, `waits ${median(wait)} ms, ${Math.max(...wait)} ms at worst, asked ${asked} times`);
    assert.ok(back && back.now <= 55_000, `back ${back?.now}`);
  });
}

for (const kbit of [300, 130, 80]) {
  test(`${kbit} kbit/s with a browser that finds nothing by itself, as behind a proxy that hands on at once what comes one by one: everything is back within 10 s`, (t) => {
    const begun = [];
    const looks = play(60_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000), {finds: (now) => now < 5000, begins: (now, rate) => begun.push([now, rate])});
    const back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 450_000);
    t.diagnostic(`back after ${back && (back.now - 45_000) / 1000} s, begun anew ${begun.join(' ')}`);
    assert.ok(back && back.now <= 55_000, `back ${back?.now}`);
    assert.ok(begun.length <= 2 && begun.every(([now]) => now >= 45_000), 'and only once the line takes more');
  });
}

test('a browser that is to begin anew and has too much for the line is not asked again soon', () => {
  const begun = [];
  // What comes in a moment comes at once, as over a line that others leave alone for half a second now and then.
  play(120_000, (now) => (now < 5000 || now % 3000 < 700 ? open : 130_000), {finds: () => false, begins: (now) => begun.push(now)});
  assert.ok(begun.length <= 12, `${begun.length} times`);
  assert.ok(begun.every((now, i) => i === 0 || now - begun[i - 1] >= 10_000), `${begun}`);
});

test('a browser that does not say what it thinks is spared for a moment as soon as much more passes, not more than twice, and makes its pictures large again after that', (t) => {
  for (const kbit of [130, 80]) {
    const looks = from(play(60_000, (now) => (now < 5000 || now >= 40_000 ? open : kbit * 1000), {says: false, follows: false, apart: true}), 40_000);
    const spared = looks.map(({picture, scale, frameRate}) => picture && scale === 4 && frameRate <= 4), begun = looks.filter((_, i) => spared[i] && !spared[i - 1]);
    const whole = looks.findIndex(({narrow, frameRate}) => !narrow && frameRate === Infinity);
    t.diagnostic(`${kbit} kbit/s: spared from ${begun.map(({now}) => (now - 40_000) / 1000)} s, all of it allowed from ${whole / 10} s`);
    assert.ok(begun.length >= 1 && begun.length <= 2, `${begun.map(({now}) => now)}`);
    if (kbit > 100) assert.ok(spared.indexOf(true) <= whole, 'before pictures fill what it thinks');
    const afresh = looks.filter((look, i) => look.afresh && !looks[i - 1]?.afresh);
    assert.ok(afresh.length >= 1 && afresh.length <= 3 && (kbit < 100 || afresh[0].now > begun[0].now), `${afresh.map(({now}) => now)}`);
    assert.ok(looks.every(({less}) => !less), 'each change has it make anew what it receives');
  }
});

test('pages that are late have everything back within 10 s too', (t) => {
  const random = chance(5), backs = [];
  for (const late of [20, 40]) for (const kbit of [300, 130, 80]) {
    const looks = play(60_000, (now) => (now < 5000 || now >= 45_000 ? open : kbit * 1000), {jitter: () => random.within(0, late)});
    const back = looks.find((look) => look.now >= 45_000 && !look.narrow && look.pictures >= 1_400_000);
    backs.push(back ? (back.now - 45_000) / 1000 : Infinity);
  }
  t.diagnostic(`back after ${backs.join(', ')} s`);
  assert.ok(Math.max(...backs) <= 10, `back after ${backs} s`);
});

test('a camera that sees little is shown whole on a line that would not take a full picture of that size', () => {
  const turned = [];
  for (const [sees, least] of [[150_000, 1], [Infinity, 1.5]]) {
    const looks = from(play(90_000, (now) => (now < 8000 ? open : 450_000), {sees, wants: 1_500_000}), 50_000);
    assert.equal(median(looks.map(({scale}) => scale)), least);
    assert.ok(median(looks.map(({wait}) => wait)) <= 250);
    turned.push(looks.filter(({scale}, i) => i && scale !== looks[i - 1].scale).length);
  }
  assert.ok(turned[0] <= 2, `its size changes ${turned} times`);
});

test('a browser that thinks too little of a line that is not narrow as we see it is shown that it takes more', () => {
  // It has slowed down by itself before anything waited for long.
  const looks = play(40_000, (now) => (now >= 8000 && now < 20_000 && now % 1000 < 300 ? 60_000 : open));
  const back = looks.find((look) => look.now >= 20_000 && look.pictures >= 1_400_000);
  assert.ok(back && back.now <= 30_000, `back ${back?.now}`);
});

test('long messages take little of a narrow line, and a browser is not asked to look for more on it', () => {
  for (const kbit of [130, 300, 1000]) {
    let bytes = 0, asked = 0, less = false;
    const looks = play(100_000, () => kbit * 1000, {padded: (pad) => { bytes += pad; }});
    for (const look of looks) {
      if (look.less !== less) asked++;
      less = look.less;
    }
    assert.ok((bytes * 8) / 100 <= kbit * 1000 * 0.12, `${kbit} kbit/s: ${Math.round((bytes * 8) / 100)} bit/s`);
    assert.ok(asked <= 2, `${kbit} kbit/s: asked ${asked} times`);
  }
});

test('it reacts within a second', () => {
  const looks = play(8000, (now) => (now < 5000 ? open : 130_000));
  const cut = looks.find(({narrow}) => narrow);
  assert.ok(cut && cut.now <= 6000, `after ${cut && cut.now - 5000} ms`);
});

test('it reacts where a server drops pictures that are late and lets small messages go before them', () => {
  for (const kbit of [80, 130, 200]) {
    const looks = play(30_000, (now) => (now < 5000 ? open : kbit * 1000), {drops: true});
    const cut = looks.find(({narrow}) => narrow);
    assert.ok(cut && cut.now <= 8000, `${kbit} kbit/s: after ${cut && cut.now - 5000} ms`);
  }
  assert.ok(play(30_000, () => open, {drops: true}).every(({narrow}) => !narrow));
});

test('a line that is narrow from the beginning, of which a server drops what is late, is known within a second', (t) => {
  for (const kbit of [80, 130, 200]) {
    const looks = play(30_000, () => kbit * 1000, {drops: true, thinks: 600_000});
    const cut = looks.find(({narrow}) => narrow);
    t.diagnostic(`${kbit} kbit/s: after ${cut?.now} ms; pictures ÷ ${median(from(looks, 2000, 8000).map(({scale}) => scale))}`);
    assert.ok(cut && cut.now <= 1000, `${kbit} kbit/s: after ${cut?.now} ms`);
  }
  const wide = play(30_000, () => open, {drops: true, thinks: 600_000});
  assert.ok(wide.every(({narrow}) => !narrow));
});

test('a line of which is known before that it is narrow is not filled at first', (t) => {
  for (const [takes, rate, small] of [[118_000, 130_000, true], [70_000, 80_000, true], [118_000, open, false]]) {
    const looks = play(20_000, () => rate, {expected: takes, thinks: takes * 0.8, drops: small});
    const waits = Math.max(...from(looks, 0, 4000).map(({wait}) => wait)), away = from(looks, 0, 10_000).filter(({picture}) => !picture).length / 10;
    const whole = looks.find(({now, scale}) => now > 0 && scale === 1)?.now ?? Infinity;
    t.diagnostic(`${takes} expected of ${rate}: waits ${waits} ms at most at first, picture left out for ${away} s, all of it from ${whole} ms on`);
    assert.equal(looks[0].picture, true, 'it begins with a picture');
    if (small) assert.ok(waits < 400, `${waits} ms`);
    if (rate === 130_000) assert.ok(away < 1, `left out for ${away} s`);
    if (!small) assert.ok(whole < 6000, `all of it from ${whole} ms on`);
  }
});

test('what was expected of a line is nothing once the path is none of those that are measured', () => {
  const line = new NarrowLine();
  assert.equal(line.expect(5_000_000, 0), plenty);
  assert.equal(line.expect(118_000, 0).narrow, true);
  assert.equal(line.take({now: 10, stream: false, delay: 0, sent: 0}), plenty);
  assert.equal(line.take({now: 20, stream: true, delay: 0, sent: 100_000}).narrow, false);
});

test('a narrow line on which nothing passes for a moment now and then keeps its picture for most of the time', (t) => {
  for (const [drops, most] of [[true, 1], [false, 7]]) {
    let away = 0, calls = 0;
    for (const sees of [60_000, 150_000, Infinity]) for (let seed = 1; seed <= 12; seed++) {
      const random = chance(seed), stalls = Array.from({length: 3}, () => [random.within(1000, 22_000), random.within(200, 1000)]), narrowed = seed % 2 ? 8000 : 0;
      const stands = (now) => stalls.some(([at, long]) => now >= at && now < at + long);
      const looks = play(24_000 + narrowed, (now) => (now < narrowed ? open : stands(now - narrowed) ? 4000 : 130_000), {drops, sees, thinks: 600_000, jitter: () => random.within(0, 40)});
      away += from(looks, narrowed).filter(({picture}) => !picture).length / 10;
      calls++;
    }
    t.diagnostic(`${drops ? 'what is late is dropped' : 'all of it comes'}: left out for ${(away / calls).toFixed(1)} of 24 s`);
    assert.ok(away / calls <= most, `left out for ${away / calls} s`);
  }
});

test('a line that takes everything is left alone, whatever it jitters', () => {
  const random = chance(7);
  const looks = play(60_000, () => open, {jitter: () => random.within(0, 80)});
  assert.ok(looks.every(({narrow}) => !narrow));
});

test('a path without a stream is the browser\'s own affair', () => {
  const line = new NarrowLine();
  for (let now = 0; now < 10_000; now += 250) assert.equal(line.take({now, stream: false, delay: 3000, sent: 1e6}), plenty);
});

test('who leaves TCP is free at once', () => {
  const line = new NarrowLine();
  for (let now = 0; now < 5000; now += 250) line.take({now, stream: true, delay: 900, sent: 80_000, received: 60_000});
  assert.equal(line.allowance.narrow, true);
  assert.equal(line.take({now: 5000, stream: false, delay: 0, sent: 0}), plenty);
});

test('what the other side asks for lowers what is sent and nothing else', () => {
  const line = new NarrowLine();
  const take = (now, asked) => line.take({now, stream: true, delay: 0, sent: 500_000, asked});
  assert.equal(take(0, Infinity).narrow, false);
  for (let now = 250; now < 3000; now += 250) take(now, leastAsked);
  const {picture, audio, narrow} = line.allowance;
  assert.deepEqual({picture, audio, narrow}, {picture: false, audio: soundFloor, narrow: true});
  assert.equal(take(3000, Infinity).narrow, false, 'and no longer than it asks');
});

test('who hears late asks for less, and for more again when it is over', () => {
  const asking = new Asking();
  assert.equal(asking.take(0, 100, 0, 500_000), Infinity);
  const first = asking.take(2000, 1200, 0, 200_000);
  assert.equal(first, 150_000);
  assert.equal(asking.take(2500, 1200, 0, 200_000), first, 'what was asked needs its time');
  assert.ok(asking.take(5000, 1200, 0, 1000) >= leastAsked);
  const later = [];
  for (let now = 7500; now < 20_000; now += 100) later.push(asking.take(now, 20, 0, 100_000));
  assert.ok(later.every((most, i) => i === 0 || most >= later[i - 1]), 'never less while all is well');
  assert.equal(later.at(-1), Infinity);
});

test('who hears late for a moment leaves the other side its least picture', () => {
  const asking = new Asking(), least = soundTakes(soundFloor, true) + 31_000, asked = [];
  // What is on its way when a line becomes narrow takes some seconds to go out, however little is sent meanwhile.
  for (let now = 1000; now < 4500; now += 100) asked.push(asking.take(now, 700, 0, 95_000));
  assert.deepEqual([Math.min(...asked), asked[0]], [least, least]);
  for (let now = 4500; now < 8000; now += 100) asked.push(asking.take(now, 700, 0, 95_000));
  assert.ok(asked.at(-1) < least, 'where it stays late no picture fits');
});

test('who has no room for the sound alone asks for less, whose answers take of it', () => {
  const asking = new Asking();
  const first = asking.take(2000, 0, 300, 200_000);
  assert.equal(first, 80_000);
  for (let now = 4000; now < 10_000; now += 100) assert.ok(asking.take(now, 0, 0, 80_000) < 2.5 * first, 'little more while our line is narrow');
  assert.equal(asking.take(10_000, 0, 0, 80_000, false), Infinity, 'and all of it when it is not');
});

test('who asked for less asks for all of it again once two of three long messages have come at much more, unless that was wrong a moment ago', () => {
  const asking = new Asking();
  const ask = (now) => asking.take(now, 700, 0, 100_000);
  const first = ask(2000);
  assert.ok(first < 100_000);
  const least = (now) => asking.take(now, 20, 0, 60_000);
  asking.passed(2500, first * 1.5);
  asking.passed(2700, first * 1.5);
  assert.equal(least(2800), first, 'a little more says nothing');
  asking.passed(3000, first * 3);
  assert.equal(least(3100), first, 'nor does one alone');
  asking.passed(3200, first);
  asking.passed(3400, first * 3);
  assert.ok(Math.abs(least(3500) - first * 1.8) < 1, `${least(3500)}`);
  asking.passed(3600, 20_000_000);
  asking.passed(3800, 20_000_000);
  assert.equal(least(3900), Infinity);
  const again = ask(5000);
  assert.ok(again < 100_000);
  for (const now of [5200, 5400, 5600]) asking.passed(now, 20_000_000);
  assert.equal(least(5700), again, 'that was wrong');
});

test('what long messages show of the way here says nothing of the answers on ours', () => {
  const asking = new Asking();
  const first = asking.take(2000, 0, 300, 200_000);
  for (const now of [2200, 2400, 2600]) asking.passed(now, 20_000_000);
  assert.equal(asking.take(2700, 0, 0, 80_000), first);
});

test('files give way to sound and picture', () => {
  const looks = play(30_000, () => 400_000, {wants: 120_000, files: (now) => now > 5000});
  const late = from(looks, 12_000);
  assert.ok(median(late.map(({wait}) => wait)) <= 250, `waits ${median(late.map(({wait}) => wait))}`);
  assert.ok(median(late.map(({files}) => files)) >= 8000);
});

// What must be true of every line: see the assertions. A schedule has a few rates, noise that comes and goes, and a free end.
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({length: Number(process.env.SCHEDULES ?? 40)}, (_, i) => i + 1);
test('random lines', () => {
  for (const seed of seeds) {
    const random = chance(seed);
    const rates = Array.from({length: 5}, () => [50, 64, 80, 100, 130, 200, 300, 500, 1000, 5000][Math.floor(random.next() * 10)] * 1000);
    const length = random.within(4000, 15_000), busy = random.within(200, 3000), noisy = random.happens(0.5);
    const rate = (now) => {
      const whole = now >= rates.length * length ? open : rates[Math.floor(now / length)];
      return noisy && now < rates.length * length && Math.floor(now / busy) % 2 ? whole * 0.7 : whole;
    };
    // What sound takes of what a browser thinks, it cannot spare to see that it might send more.
    const follows = random.happens(0.7), end = rates.length * length + (follows ? 20_000 : 30_000);
    const looks = play(end, rate, {wants: random.within(100_000, 2_500_000), jitter: () => random.within(0, 40), answers: random.happens(0.7),
      says: random.happens(0.7), apart: random.happens(0.3), follows});
    const told = `SEED=${seed} (${rates.map((r) => r / 1000)}, ${Math.round(length)} ms each)`;
    assert.ok(looks.every(({sound, audio}) => sound >= soundFloor && audio >= soundFloor), `${told}: sound below its floor`);
    assert.ok(looks.every(({video, scale, frameRate, files}) => video >= 20_000 && scale >= 1 && scale <= 4 && frameRate >= 4 && files >= 8000), `${told}: not what a sender takes`);
    const last = looks.at(-1);
    assert.ok(!last.narrow && last.picture, `${told}: not whole in the end`);
    const seconds = looks.length / 10;
    assert.ok(turns(looks) <= Math.max(8, seconds / 1.5), `${told}: ${turns(looks)} turns in ${seconds} s`);
    // Where sound alone fits hardly, what was on its way takes long.
    const settled = looks.filter(({now}) => now % length > 5000 && rate(now) >= (follows ? 100_000 : 200_000));
    if (settled.length > 50) assert.ok(median(settled.map(({wait}) => wait)) <= 400, `${told}: waits ${median(settled.map(({wait}) => wait))} ms`);
  }
});
