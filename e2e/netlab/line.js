/** @typedef {import('playwright-core').Page} Page */

/**
 * What one page of a call has come to, ten times a second.
 * @typedef {object} Note
 * @property {number} at milliseconds since 1970
 * @property {number} rtt seconds
 * @property {number} frames decoded so far
 * @property {number} width of the picture
 * @property {number} samples of sound so far
 * @property {number} concealed of them invented
 * @property {number} audio bytes of sound received so far, without headers
 * @property {number} video bytes of pictures received so far
 * @property {number} sent bytes sent so far
 * @property {boolean} off the other side has left the picture out
 * @property {number} spoken bytes of sound sent so far, without headers
 * @property {boolean} twice the sound that is sent is redundant
 * @property {boolean} hears that what is heard is
 * @property {number} lost share of the sound sent that is lost, as the other side says
 * @property {string} limit kbit/s that the browser thinks it may send
 * @property {number} again packets of pictures that the other side has asked for again so far
 * @property {number} whole pictures it has asked for that need no other, so far
 * @property {number} most kbit/s that the page lets it send of pictures; 0: none are sent
 * @property {string} beside what was opened beside the call since the note before: connections, sockets, files
 */

/** Notes that are further apart, milliseconds, are those of a page that had no time. */
const stoodStill = 400;

/** Starts to note how the line goes. @param {Page} page */
export function noteLine(page) {
  return page.evaluate(() => {
    const all = /** @type {any} */ (window);
    all.lineNotes = [];
    let made = all.calls.length, loaded = performance.getEntriesByType('resource').length;
    /** @type {string[]} */ let sockets = [];
    all.WebSocket = new Proxy(WebSocket, { construct: (Native, [url, ...rest]) => {
      sockets.push(new URL(url, location.href).pathname);
      return new Native(url, ...rest);
    } });
    const beside = () => {
      const files = performance.getEntriesByType('resource'), opened = [...sockets, ...files.slice(loaded).map(({ name }) => new URL(name).pathname), ...all.calls.slice(made).map(() => 'connection')];
      [made, loaded, sockets] = [all.calls.length, files.length, []];
      return opened.join(' ');
    };
    const redundant = (/** @type {string} */ sdp) => {
      const [, first] = /^m=audio \d+ \S+ (\d+)/m.exec(sdp) ?? [];
      return first !== undefined && new RegExp(`^a=rtpmap:${first} red/`, 'mi').test(sdp);
    };
    const look = async () => {
      const pc = all.calls.filter((/** @type {RTCPeerConnection} */ call) => call.connectionState === 'connected').at(-1);
      if (pc) {
        const report = await /** @type {any} */ (window).statsOf(pc);
        const note = { at: Date.now(), rtt: 0, frames: 0, width: 0, samples: 0, concealed: 0, audio: 0, video: 0, sent: 0, off: false, limit: '', spoken: 0, twice: false, hears: false, lost: 0, most: 0, again: 0, whole: 0, beside: beside() };
        const transport = [...report.values()].find((stat) => stat.type === 'transport' && stat.selectedCandidatePairId);
        for (const stat of report.values()) {
          if (transport ? stat.id === transport.selectedCandidatePairId : stat.type === 'candidate-pair' && stat.selected) {
            note.rtt = stat.currentRoundTripTime ?? 0;
            note.sent = stat.bytesSent;
            note.limit = `${Math.round(stat.availableOutgoingBitrate / 1000)}`;
          }
          if (stat.type === 'inbound-rtp' && stat.kind === 'video') {
            note.frames += stat.framesDecoded ?? 0;
            note.width = Math.max(note.width, stat.frameWidth ?? 0);
            note.video += stat.bytesReceived;
          }
          if (stat.type === 'outbound-rtp' && stat.kind === 'audio') note.spoken += stat.bytesSent;
          if (stat.type === 'outbound-rtp' && stat.kind === 'video') {
            note.again += stat.nackCount ?? 0;
            note.whole += stat.pliCount ?? 0;
          }
          if (stat.type === 'remote-inbound-rtp' && stat.kind === 'audio') note.lost = Math.max(note.lost, stat.fractionLost ?? 0);
          if (stat.type === 'inbound-rtp' && stat.kind === 'audio') {
            note.samples += stat.totalSamplesReceived ?? 0;
            note.concealed += stat.concealedSamples ?? 0;
            note.audio += stat.bytesReceived;
          }
        }
        const sends = pc.getSenders().find((/** @type {RTCRtpSender} */ { track }) => track?.kind === 'video')?.getParameters().encodings[0];
        if (sends?.active) note.most = Math.round((sends.maxBitrate ?? 0) / 1000);
        // The order of who hears says what is sent: RED before Opus.
        note.twice = redundant(pc.remoteDescription?.sdp ?? '');
        note.hears = redundant(pc.localDescription?.sdp ?? '');
        note.off = document.querySelector('.tile[data-line~="no-picture"]') !== null;
        all.lineNotes.push(note);
      }
      setTimeout(look, 100);
    };
    return look();
  });
}

/**
 * Sums up what was noted.
 * @param {Page} page @param {number} narrowed when the line became narrow @param {number} freed when it was wide again
 * @param {number} findingOut milliseconds that are left out of the round trips
 * @param {{width: number, frames: number}} [full] full quality, frames per second; without it what was before the line became narrow
 */
export async function readLine(page, narrowed, freed, findingOut, full) {
  /** @type {Note[]} */
  const notes = await page.evaluate(() => /** @type {any} */ (window).lineNotes);
  const during = notes.filter(({ at }) => at >= narrowed && at < freed);
  const trips = during.filter(({ at }) => at >= narrowed + findingOut).map(({ rtt }) => rtt * 1000).sort((a, b) => a - b);
  let still = 0, off = 0, gap = 0, later = 0, silence = 0, lastFrame = narrowed;
  for (const [index, note] of during.entries()) {
    const before = during[index - 1];
    if (!before) continue;
    const step = note.at - before.at;
    // Where the page itself stood still nothing is known of the line.
    if (step > stoodStill) {
      lastFrame += step;
      silence = 0;
      continue;
    }
    if (note.off) off += step;
    // Another connection counts anew.
    if (note.frames !== before.frames || note.off) {
      if (note.at - lastFrame >= 500 && !before.off) still += note.at - lastFrame;
      lastFrame = note.at;
    }
    // Away is what was wholly invented; the buffer's stretching of what has come is not.
    const samples = note.samples - before.samples, concealed = note.concealed - before.concealed;
    silence = samples === 0 || concealed > samples * 0.8 ? silence + step : 0;
    gap = Math.max(gap, silence);
    if (note.at - silence >= narrowed + findingOut) later = Math.max(later, silence);
  }
  if (freed - lastFrame >= 500) still += freed - lastFrame;
  const [first, last] = [during[0], during.at(-1)];
  if (!first || !last) throw new Error('nothing was noted');
  const seconds = (last.at - first.at) / 1000;
  /** What was added to a count in that time. @param {'samples' | 'concealed' | 'audio'} key */
  const counted = (key) => during.reduce((sum, note, index) => sum + (index ? Math.max(0, note[key] - during[index - 1][key]) : 0), 0);
  const samples = counted('samples');
  // What it has settled on, of the last third.
  const settled = during.slice(Math.floor((during.length * 2) / 3)), span = ((settled.at(-1)?.at ?? 0) - settled[0].at) / 1000;
  const added = (/** @type {'frames' | 'video' | 'audio'} */ key) => settled.reduce((sum, note, index) => sum + (index ? Math.max(0, note[key] - settled[index - 1][key]) : 0), 0);
  // Full quality: as large a picture as before, and nine of ten of its frames in two seconds.
  const calm = notes.filter(({ at }) => at < narrowed), [start] = calm, end = calm.at(-1);
  const width = full?.width ?? Math.max(...calm.map((note) => note.width));
  const rate = full?.frames ?? (start && end ? ((end.frames - start.frames) * 1000) / (end.at - start.at) : NaN);
  const whole = notes.find((note, index) => {
    const later = notes.slice(index).find(({ at }) => at >= note.at + 2000);
    return note.at > freed && note.width >= width && later && later.frames - note.frames >= 0.9 * 2 * rate;
  });
  const perSecond = notes.filter((_, index) => index % (process.env.E2E_NOTES === 'fine' ? 3 : 10) === 0);
  return {
    /** Milliseconds; NaN where the line was not narrow for long enough. */
    median: Math.round(trips[trips.length >> 1] ?? NaN),
    worst: Math.round(trips.at(-1) ?? NaN),
    /** Seconds. */
    still: still / 1000,
    off: off / 1000,
    gap,
    /** Whether the sound that came over the line was redundant at any time. */
    twice: during.some(({ hears }) => hears) ? 'yes' : 'no',
    later,
    /** Per cent; NaN where no sound was counted. */
    invented: samples ? (100 * counted('concealed')) / samples : NaN,
    /** kbit/s. */
    sounds: Math.round((counted('audio') * 8) / 1000 / seconds),
    /** In the end: pixels across, pictures a second, kbit/s. */
    picture: added('frames') ? { width: settled[settled.length >> 1].width, frames: added('frames') / span, kbit: Math.round((added('video') * 8) / 1000 / span) } : null,
    /** Seconds; Infinity: not as long as was looked. */
    back: whole ? (whole.at - freed) / 1000 : Infinity,
    notes: perSecond.slice(1).map((note, index) => {
      const before = perSecond[index], span = (note.at - before.at) / 1000;
      const rateOf = (/** @type {'audio' | 'video' | 'sent'} */ key) => Math.round(((note[key] - before[key]) * 8) / 1000 / span);
      return `${((note.at - narrowed) / 1000).toFixed(1)} s: rtt ${Math.round(note.rtt * 1000)} frames ${note.frames - before.frames} width ${note.width} sound ${rateOf('audio')} picture ${rateOf('video')} sent ${rateOf('sent')} available ${note.limit} allowed ${note.most} asked again ${note.again - before.again} whole ${note.whole - before.whole} invented ${Math.round(note.concealed - before.concealed)} ${note.off ? 'off' : ''} ${notes.filter(({ at }) => at > before.at && at <= note.at).map((each) => each.beside).filter(Boolean).join(' ')}`;
    }),
  };
}

/**
 * Sums up what became of the sound while packets were lost.
 * @param {Page} page @param {number} began when packets began to be lost @param {number} ended when they no longer were
 */
export async function readSound(page, began, ended) {
  /** @type {Note[]} */
  const notes = await page.evaluate(() => /** @type {any} */ (window).lineNotes);
  // Of the time in which packets were lost, what was heard once and what was heard twice; and while none was, which is the machine's doing.
  const invented = (/** @type {boolean} */ twice, from = began, to = ended) => {
    let samples = 0, concealed = 0, last = 0;
    for (const [index, note] of notes.entries()) {
      const before = notes[index - 1];
      if (!before || note.at < from || note.at >= to || note.hears !== twice || before.hears !== twice || note.samples < before.samples) continue;
      samples += note.samples - before.samples;
      concealed += note.concealed - before.concealed;
      last += note.at - before.at;
    }
    return `${samples ? ((100 * concealed) / samples).toFixed(1) : '–'} % (${(last / 1000).toFixed(0)} s)`;
  };
  const rate = (/** @type {number} */ from, /** @type {number} */ to) => {
    const span = notes.filter(({ at }) => at >= from && at < to);
    if (span.length < 2) throw new Error('nothing was noted');
    // Another connection counts anew.
    const spoken = span.reduce((sum, note, index) => sum + Math.max(0, index ? note.spoken - span[index - 1].spoken : 0), 0);
    return Math.round((spoken * 8) / (span[span.length - 1].at - span[0].at));
  };
  const turns = notes.filter((note, index) => index > 0 && note.twice !== notes[index - 1].twice);
  return {
    clean: invented(false, 0, began),
    once: invented(false),
    twice: invented(true),
    calm: rate(0, began),
    during: rate(began, ended),
    end: rate((notes.at(-1)?.at ?? 0) - 3000, Infinity),
    /** When the sound that is sent became redundant, and was no longer, seconds after packets began, and ended, to be lost. */
    redundant: turns.map(({ at, twice }) => (twice ? `from ${((at - began) / 1000).toFixed(1)} s` : `until ${((at - ended) / 1000).toFixed(1)} s after`)).join(', ') || 'never',
    notes: notes.filter((_, index) => index % 10 === 0).map((note, index, all) => {
      const before = all[index - 1] ?? note, span = Math.max(1, note.at - before.at);
      return `${((note.at - began) / 1000).toFixed(1)} s: lost ${(100 * note.lost).toFixed(0)} % sound ${Math.round(((note.spoken - before.spoken) * 8) / span)} sent ${Math.round(((note.sent - before.sent) * 8) / span)} available ${note.limit} rtt ${Math.round(note.rtt * 1000)} invented ${((100 * (note.concealed - before.concealed)) / Math.max(1, note.samples - before.samples)).toFixed(1)} % frames ${note.frames - before.frames} ${note.twice ? 'RED' : ''}`;
    }),
  };
}
