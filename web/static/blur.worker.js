/**
 * Blurs what is behind a person, off the page's thread. Pictures come as a stream of frames, and go as one, where the browser
 * has that (MediaStreamTrackProcessor); else one by one as bitmaps. Of what it takes the page is told every second.
 *
 * To it: {start: id, readable, writable}, {picture, id}, {stop: id}. From it: {ready} or {failed}, {failed, id}, {first: id}, {picture, id}, {load}.
 */
import {Segmenter, size} from './segment.js';

/** At least so many milliseconds from one picture to the next; where that is too much for the processor, the second. */
const paces = [40, 80];
/** What is measured at a time, milliseconds, and how much of it may be work: half a core. */
const measured = 1000, bearable = 0.5;
/** So many times in a row it may be more: other programs have their moments. The first picture compiles the code, and is not counted. */
const patience = 4;

/** @param {number} width @param {number} height @returns {OffscreenCanvasRenderingContext2D} */
function sheet(width, height, options = {}) {
  const context = new OffscreenCanvas(width, height).getContext('2d', options);
  if (!context) throw new Error('no canvas');
  return /** @type {OffscreenCanvasRenderingContext2D} */ (context);
}

const small = sheet(size.width, size.height, {willReadFrequently: true, alpha: false});
const person = sheet(size.width, size.height), background = sheet(size.width, size.height);
const whole = sheet(16, 16);

/** @type {Segmenter} */ let segmenter;
/** The one that is wanted now; what belongs to another one has ended. */ let wanted = 0;
let pace = 0, last = 0, worked = 0, pictures = 0, since = 0, tooMuch = 0;

/** @param {any} message @param {Transferable[]} [moved] */
const tell = (message, moved = []) => postMessage(message, {transfer: moved});

/** How a picture stands in the model's: in its middle, as large as it can be. @param {number} width @param {number} height */
function boxOf(width, height) {
  const scale = Math.min(size.width / width, size.height / height);
  const across = Math.round(width * scale), down = Math.round(height * scale);
  const left = (size.width - across) >> 1, top = (size.height - down) >> 1;
  return {left, top, right: left + across, bottom: top + down};
}

/** Makes one picture, on `whole`. @param {VideoFrame | ImageBitmap} picture @param {number} width @param {number} height */
function make(picture, width, height) {
  const box = boxOf(width, height), across = box.right - box.left, down = box.bottom - box.top;
  small.fillRect(0, 0, size.width, size.height);
  small.drawImage(picture, box.left, box.top, across, down);
  const found = segmenter.look(small.getImageData(0, 0, size.width, size.height).data, box);
  person.putImageData(new ImageData(found.person, size.width, size.height), 0, 0);
  background.putImageData(new ImageData(found.background, size.width, size.height), 0, 0);
  if (whole.canvas.width !== width || whole.canvas.height !== height) Object.assign(whole.canvas, {width, height});
  whole.globalCompositeOperation = 'copy';
  whole.drawImage(person.canvas, box.left, box.top, across, down, 0, 0, width, height);
  whole.globalCompositeOperation = 'source-in';
  whole.drawImage(picture, 0, 0, width, height);
  whole.globalCompositeOperation = 'destination-over';
  whole.drawImage(background.canvas, box.left, box.top, across, down, 0, 0, width, height);
}

/** Counts what was worked, and says so. @param {number} from */
function count(from) {
  const now = performance.now();
  worked += now - from;
  pictures++;
  if (since === 0) { // the first one
    since = now;
    worked = pictures = 0;
    return;
  }
  const passed = now - since;
  if (passed < measured) return;
  const share = worked / passed;
  tell({load: {share, each: worked / pictures, pictures}});
  tooMuch = share > bearable ? tooMuch + 1 : 0;
  if (tooMuch > patience) {
    tooMuch = 0;
    if (++pace === paces.length) {
      wanted = 0;
      tell({dear: true});
    }
  }
  worked = pictures = 0;
  since = now;
}

/** Whether it is too early for the next picture. @param {number} now */
const early = (now) => now - last < paces[pace] - 4;

/** A stream of frames, until it ends or another one is wanted. @param {number} id @param {ReadableStream<VideoFrame>} readable @param {WritableStream<VideoFrame>} writable */
async function run(id, readable, writable) {
  const reader = readable.getReader(), writer = writable.getWriter();
  let first = true;
  try {
    while (wanted === id) {
      const {value: frame, done} = await reader.read();
      if (done) break;
      const now = performance.now();
      if (wanted !== id || early(now)) {
        frame.close();
        continue;
      }
      last = now;
      const {displayWidth, displayHeight, timestamp} = frame;
      try {
        make(frame, displayWidth, displayHeight);
      } finally {
        frame.close();
      }
      await writer.write(new VideoFrame(whole.canvas, {timestamp, alpha: 'discard'}));
      count(now);
      if (first) tell({first: id});
      first = false;
    }
  } catch (error) {
    if (wanted === id) tell({failed: String(error), id});
  } finally {
    // A picture that waits here and is closed by nobody holds the camera's next one up.
    reader.read().then(({value}) => value?.close()).finally(() => reader.cancel()).catch(() => {});
    writer.close().catch(() => {});
  }
}

/** One picture of a page that has no streams of them. @param {number} id @param {ImageBitmap} picture */
function answer(id, picture) {
  const now = performance.now(), {width, height} = picture;
  if (id !== wanted) return picture.close();
  last = now;
  make(picture, width, height);
  picture.close();
  const made = whole.canvas.transferToImageBitmap();
  count(now);
  tell({picture: made, id}, [made]);
}

/** Whoever has no stream of frames is asked for the next one: a page that is not looked at has no clock that runs on time. */
let clock = 0;
function ask() {
  clearInterval(clock);
  if (wanted) clock = setInterval(() => tell({next: wanted}), paces[Math.min(pace, paces.length - 1)]);
}

onmessage = ({data}) => {
  if (data.start) {
    wanted = data.start;
    pace = tooMuch = since = last = 0;
    if (data.readable) run(data.start, data.readable, data.writable);
    else ask();
  } else if (data.picture) {
    const before = pace;
    answer(data.id, data.picture);
    if (pace !== before) ask();
  } else if (data.stop === wanted) {
    wanted = 0;
    clearInterval(clock);
  }
};

Segmenter.load('./segment.wasm', './vendor/selfie/selfie_segmentation_landscape.tflite').then((loaded) => {
  segmenter = loaded;
  tell({ready: true});
}, (error) => tell({failed: String(error)}));
