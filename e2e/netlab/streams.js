/** @typedef {import('playwright-core').Page} Page */

/** What is further apart, milliseconds, are notes of a page that had no time. */
const stoodStill = 400;
/** So many packets of sound a second are those of 20 ms, but for a few. */
const short = 45;

/** Starts to note what each stream of each connection has come to, ten times a second. @param {Page} page */
export function noteStreams(page) {
  return page.evaluate(() => {
    const all = /** @type {any} */ (window);
    all.streamNotes = [];
    /** @type {Map<any, number>} */ const numbers = new Map();
    const look = async () => {
      /** @type {Record<string, any>} */ const streams = {};
      for (const pc of all.calls) {
        if (pc.connectionState !== 'connected') continue;
        if (!numbers.has(pc)) numbers.set(pc, numbers.size + 1);
        for (const stat of (await all.statsOf(pc)).values()) {
          if (stat.type !== 'inbound-rtp') continue;
          streams[`${numbers.get(pc)} ${stat.kind} ${stat.mid ?? ''}`] = stat.kind === 'video' ? { frames: stat.framesDecoded ?? 0, width: stat.frameWidth ?? 0 }
            : { samples: stat.totalSamplesReceived ?? 0, concealed: stat.concealedSamples ?? 0, packets: stat.packetsReceived ?? 0, energy: stat.totalAudioEnergy ?? 0 };
        }
      }
      all.streamNotes.push({ at: Date.now(), streams });
      setTimeout(look, 100);
    };
    return look();
  });
}

/**
 * What became of each stream between two moments, and of the packets of sound after them.
 * @param {Page} page @param {number} from @param {number} to @param {number} [findingOut] milliseconds that are left out of the gaps
 */
export async function readStreams(page, from, to, findingOut = 0) {
  /** @type {{at: number, streams: Record<string, any>}[]} */
  const notes = await page.evaluate(() => /** @type {any} */ (window).streamNotes);
  return [...new Set(notes.flatMap(({ streams }) => Object.keys(streams)))].flatMap((name) => {
    const all = notes.filter(({ streams }) => streams[name]).map(({ at, streams }) => ({ at, ...streams[name] }));
    const during = all.filter(({ at }) => at >= from && at < to), [first] = during, last = during[during.length - 1];
    if (during.length < 3) return [];
    /** Since when nothing has come, the longest of that, and how long nothing came for half a second or more. */
    let since = first.at, gap = 0, still = 0;
    for (const [i, note] of during.entries()) {
      const before = during[i - 1] ?? note, samples = note.samples - before.samples;
      // Where the page itself stood still nothing is known of the line.
      if (note.at - before.at > stoodStill) since += note.at - before.at;
      const comes = name.includes('video') ? note.frames !== before.frames : samples > 0 && note.concealed - before.concealed <= samples * 0.8;
      if (!comes && note !== last) continue;
      if (note.at > from + findingOut) gap = Math.max(gap, note.at - Math.max(since, from + findingOut));
      if (note.at - since >= 500) still += note.at - since;
      since = note.at;
    }
    const again = all.find((note) => {
      const later = all.find(({ at }) => at >= note.at + 2000);
      return note.at > to && later && (later.packets - note.packets) * 1000 >= short * (later.at - note.at);
    });
    const perSecond = all.filter(({ at }, i) => at >= from && (!i || Math.floor((at - from) / 1000) !== Math.floor((all[i - 1].at - from) / 1000)));
    return [{
      name, gap, still: still / 1000, width: last.width ?? 0,
      /** Per cent of the sound. */
      invented: (100 * (last.concealed - first.concealed)) / Math.max(1, last.samples - first.samples),
      /** Seconds until packets of sound were of 20 ms again; Infinity: not as long as was looked. */
      short: again ? (again.at - to) / 1000 : Infinity,
      seconds: perSecond.slice(1).map((note, i) => (name.includes('video') ? `${note.frames - perSecond[i].frames}x${note.width}` : note.packets - perSecond[i].packets)).join(' '),
    }];
  });
}
