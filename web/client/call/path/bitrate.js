import {transceiverOf} from './connection.js';
import {plenty, soundFloor} from './narrow.js';
import {changesDearly} from './browsers.js';
import {eachOfTwo} from './redundancy.js';
import {healingTimes as times} from '../../base/times.js';

/**
 * What one person sends to each of the others in a mesh: everybody uploads one stream per peer, so what each gets
 * falls as the room grows. An uplink of about 3 Mbit/s carries every row.
 * @type {{video: number, scale: number, frameRate: number, audio: number}[]} bits per second, division of width and
 * height, frames per second; by the number of others, less one
 */
const rows = [
  {video: 2_500_000, scale: 1, frameRate: 30, audio: 48_000},
  {video: 1_200_000, scale: 1, frameRate: 30, audio: 40_000},
  {video: 800_000, scale: 1.5, frameRate: 30, audio: 40_000},
  {video: 550_000, scale: 2, frameRate: 24, audio: 32_000},
  {video: 400_000, scale: 2, frameRate: 20, audio: 32_000},
];

/** The most people in a call, oneself included: a mesh of more asks too much of phones and uplinks. */
export const meshLimit = rows.length + 1;

/**
 * @param {number} others how many people receive from us
 * @param {boolean} [screen] a shared screen keeps its pixels and gives up frames instead
 */
export function budget(others, screen = false) {
  const row = rows[Math.min(Math.max(others, 1), rows.length) - 1];
  return screen ? {...row, scale: 1, frameRate: Math.min(row.frameRate, 15)} : row;
}

/**
 * What is sent to one of so many at the most, bits per second.
 * @param {number} others @param {boolean} pictures of a camera or a screen are sent @param {{video: number, audio: number}} [most] that people want
 */
export function wanted(others, pictures, most = {video: Infinity, audio: Infinity}) {
  const {video, audio} = budget(others);
  return Math.min(audio, most.audio) + (pictures ? Math.min(video, most.video) : 0);
}

/** Pictures whose sides are divided by so much more begin anew. */
const muchSmaller = 2;

/** A share of what is sent, and as much less of it as is a change and no more. */
const aLittle = 0.99;

/**
 * What one picture may have, and sound.
 * @param {number} others @param {'' | import('./connection.js').Showing} screen @param {boolean} shown whether it is for the screen beside the camera
 * @param {import('./narrow.js').Allowance} line what the line takes
 */
function share(others, screen, shown, line) {
  const alone = screen !== 'beside', isScreen = alone ? screen !== '' : shown, row = budget(others, isScreen);
  const part = alone ? 1 : shown ? 0.8 : 0.2;
  const scale = alone || shown ? row.scale : row.scale * 2, frameRate = alone || shown ? row.frameRate : Math.min(row.frameRate, 15);
  return {
    video: Math.round(part * Math.min(row.video, line.video) * (line.less ? aLittle : 1)),
    // Of a screen one wants to read what it says: half of its pixels go, and no more.
    scale: isScreen ? Math.max(scale, Math.min(line.scale, 1.5)) : Math.max(scale, line.scale),
    frameRate: Math.min(frameRate, line.frameRate),
    audio: Math.min(row.audio, line.audio),
    isScreen,
  };
}

/**
 * By how much width and height are divided so that no more is sent of a camera than the other side shows. In steps: the
 * encoder is made anew at each.
 * @param {MediaStreamTrack | null} track @param {number} shown pixels
 */
function fitting(track, shown) {
  const {width = 0, height = 0} = track?.getSettings?.() ?? {};
  return Math.max(1, Math.ceil(8 * Math.sqrt((width * height) / shown)) / 8);
}

/**
 * All that is written to the parameters of one person's senders, one after the other. Who writes has read before: two at
 * once, and the later write takes back what the earlier one did (a key frame that was asked for at the moment of healing
 * switched the picture off again). A browser that answers late or never holds up the rest for a moment only. As each asks
 * what is wanted when its turn comes, one that waits does for all: however often something changes, the queue stays short.
 */
export class Senders {
  /** @type {Promise<void>} */ #queue = Promise.resolve();
  /** What waits for its turn. @type {Set<unknown>} */ #waiting = new Set();
  /** Those that were made anew to forget the size of their pictures, as long as they are to. @type {WeakSet<RTCRtpSender>} */ #made = new WeakSet();
  /** @type {import('../../base/clock.js').Clock} */ #clock;

  /** @param {import('../../base/clock.js').Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Puts the budget in force, unless it is already. What it is, is asked when its turn comes.
   * @param {() => {pc: RTCPeerConnection | null, others: number, screen: '' | import('./connection.js').Showing, lost: boolean, allowance?: import('./narrow.js').Allowance, shown?: number}} wanted
   * @param {unknown} [about] tells those of other connections from those of the one in use
   */
  limit(wanted, about = 'in use') {
    return this.#next(about, async () => {
      const {pc, others, screen, lost, allowance = plenty, shown = Infinity} = wanted();
      if (pc && pc.signalingState !== 'closed') await applyBudget(pc, others, screen, lost, allowance, shown, this.#made);
    });
  }

  /** @param {() => RTCPeerConnection | null} connection */
  keyFrame(connection) {
    return this.#next('key frame', async () => {
      const pc = connection();
      if (pc && pc.signalingState !== 'closed') await sendKeyFrame(pc);
    });
  }

  /** @param {unknown} what @param {() => Promise<void>} step */
  #next(what, step) {
    if (this.#waiting.has(what)) return this.#queue;
    this.#waiting.add(what);
    this.#queue = this.#queue.then(() => {
      this.#waiting.delete(what);
      /** @type {any} */ let timer;
      const late = new Promise((resolve) => { timer = this.#clock.setTimeout(() => resolve(undefined), times.parameters); });
      return Promise.race([step().catch(() => {}), late]).then(() => this.#clock.clearTimeout(timer));
    });
    return this.#queue;
  }
}

/**
 * Applies the budget to what a connection sends. A screen and a camera beside it share what one picture may take.
 * @param {RTCPeerConnection} pc
 * @param {number} others
 * @param {'' | import('./connection.js').Showing} screen '' while none is shared
 * @param {boolean} lost nothing that is sent arrives: pictures wait, and what comes first on a new path is a key frame
 * @param {import('./narrow.js').Allowance} line what the line takes
 * @param {number} seen pixels of a camera that the other side shows
 * @param {WeakSet<RTCRtpSender>} made anew, as they were to forget the size of their pictures
 */
async function applyBudget(pc, others, screen, lost, line, seen, made) {
  await Promise.all(pc.getTransceivers().map(async (transceiver) => {
    const {sender, receiver: {track: {kind}}} = transceiver;
    const shown = kind === 'video' && transceiver === transceiverOf(pc, 'video', true);
    const {video, scale, frameRate, audio, isScreen} = share(others, screen, shown, line);
    let parameters = sender.getParameters();
    if (!parameters.encodings?.length) return; // not negotiated yet
    const picture = kind === 'video' && {active: !lost && line.picture, maxBitrate: video, scaleResolutionDownBy: isScreen ? scale : Math.max(scale, fitting(sender.track, seen)), maxFramerate: frameRate};
    if (picture && isOver(parameters.encodings[0], picture, lost, line.narrow)) {
      await forgetSent(sender, lost ? {} : picture).catch(() => {});
      parameters = sender.getParameters();
    }
    const [encoding] = parameters.encodings;
    if (picture && line.narrow && asGood(encoding, picture) && changesDearly(pc)) picture.maxBitrate = encoding.maxBitrate ?? picture.maxBitrate;
    const wanted = picture || sound(isTwice(parameters) ? Math.min(audio, eachOfTwo) : audio, line.long && makesLonger(parameters), parameters);
    // What is in force already is not set again: the encoder would be made anew, at the first picture too.
    const same = Object.entries(wanted).every(([key, value]) => encoding[/** @type {keyof typeof encoding} */ (key)] === value);
    const forgets = kind === 'video' && forgetsSize(parameters, line.afresh);
    if (!line.afresh) made.delete(sender);
    if (same && !forgets) return;
    Object.assign(encoding, wanted);
    // A connection that closes meanwhile has nothing left to limit.
    await sender.setParameters(parameters).catch(() => {});
    // Who knows no such weighing, as Firefox, forgets what it has made of them with the sender.
    if (!forgets || !line.afresh || made.has(sender) || /** @type {any} */ (sender.getParameters()).degradationPreference === 'balanced') return;
    made.add(sender);
    await forgetSent(sender, {}).catch(() => {});
  }));
}

/**
 * Whether nobody needs the pictures that were sent, or wait to be: none arrives, or on a narrow line one that is much smaller needs none
 * of them, and would have to wait for those, and for what the other side asks again of them.
 * @param {RTCRtpEncodingParameters} before @param {{active: boolean, scaleResolutionDownBy: number}} picture @param {boolean} lost @param {boolean} narrow
 */
const isOver = ({active, scaleResolutionDownBy: scale = 1}, picture, lost, narrow) => (
  (active === true && lost) || (narrow && picture.active && picture.scaleResolutionDownBy >= scale * muchSmaller));

/**
 * Whether a picture may have about as much as before: so much more is hardly a better one, and so much less is hardly too much.
 * @param {RTCRtpEncodingParameters} before @param {{active: boolean, maxBitrate?: number}} picture
 */
const asGood = ({active, maxBitrate = 0}, picture) => active === picture.active && (picture.maxBitrate ?? 0) > maxBitrate * 0.85 && (picture.maxBitrate ?? 0) < maxBitrate * 1.5;

/**
 * Chromium makes pictures smaller by itself where it has few bits for them, and larger again after 60 pictures that it could have
 * made better, a step at a time. It forgets what it has made of them when it is told to weigh their size against their number,
 * and no longer.
 * @param {any} parameters @param {boolean} afresh
 * @returns {boolean} whether there is something to set
 */
function forgetsSize(parameters, afresh) {
  const weighs = parameters.degradationPreference === 'balanced';
  if (weighs === afresh) return false;
  if (afresh) parameters.degradationPreference = 'balanced';
  else delete parameters.degradationPreference;
  return true;
}

/** Whether sound is sent twice: the first codec is the one in use. @param {RTCRtpSendParameters} parameters */
const isTwice = ({codecs}) => /^audio\/red$/i.test(codecs?.[0]?.mimeType ?? '');

/** Whether the browser makes packets of sound longer where it is told to. @param {any} parameters of a sender */
export const makesLonger = ({encodings: [encoding]}) => 'adaptivePtime' in encoding;

/**
 * Whether the other side says when each packet came of what is sent by these: only those are in what Chromium thinks of the
 * line, and Firefox says it of pictures alone. @param {RTCRtpParameters} parameters
 */
export const isEstimated = ({headerExtensions}) => !headerExtensions || headerExtensions.some(({uri}) => /transport-wide-cc/.test(uri));

/**
 * What is set of sound. At 20 ms what is around the packets takes more of the line than what is in them. Chromium makes
 * them 40 ms long when it has less than this, to which it adds what is around them where it knows that: it sends 25 kbit/s.
 * With more it makes them 20 ms again, unless it is told to choose no more: then they stay as they are.
 * @param {number} audio bits per second @param {boolean} long @param {any} parameters
 */
function sound(audio, long, parameters) {
  const [encoding] = parameters.encodings;
  return {maxBitrate: !long ? audio : isEstimated(parameters) ? 8000 : soundFloor, ...(long || encoding.adaptivePtime ? {adaptivePtime: true} : {})};
}

/**
 * Has a sender forget the packets that it has sent: Chromium tries a new path by sending them again, and the other
 * side, which takes their pictures for new ones, stands still for as long as they are old. A change of codec makes
 * the sender anew; the next change takes it back before any picture is sent.
 * @param {RTCRtpSender} sender @param {Partial<RTCRtpEncodingParameters>} next what else is set
 */
async function forgetSent(sender, next) {
  /** @type {any} */ let parameters = sender.getParameters();
  const [used] = parameters.codecs;
  const other = parameters.codecs.find((/** @type {any} */ {mimeType}) => mimeType !== used.mimeType && /VP[89]|H264|AV1/.test(mimeType));
  if (!other) return;
  Object.assign(parameters.encodings[0], next, {codec: other});
  await sender.setParameters(parameters);
  parameters = sender.getParameters();
  delete parameters.encodings[0].codec;
  await sender.setParameters(parameters);
}

/**
 * Has the encoders begin anew with a picture that needs no other. After an outage the other side waits up to 3 s
 * before it asks for one. Browsers that do not know the option ignore it, and their peers ask.
 * @param {RTCPeerConnection} pc
 */
async function sendKeyFrame(pc) {
  await Promise.all(pc.getSenders().map(async (sender) => {
    if (sender.track?.kind !== 'video') return;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return;
    const encodingOptions = parameters.encodings.map(() => ({keyFrame: true}));
    await /** @type {any} */ (sender).setParameters(parameters, {encodingOptions}).catch(() => {});
  }));
}
