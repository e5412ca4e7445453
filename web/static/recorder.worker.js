/**
 * Writes a recording piece by piece into a file of this site's own, where what is written stays when the page is closed; and says when
 * it is time for the next picture, as the clock of a page that is not looked at does not. To it: {open: name}, {piece}, {close}, {beat: in how
 * many ms}. From it: {opened}, {full}, {closed}, {beat}, once for each.
 */
export {};

/** @type {any} */ let file = null;
let at = 0;
/** One after the other. @type {Promise<void>} */ let queue = Promise.resolve();

/** @param {string} name */
async function open(name) {
  try {
    const root = await navigator.storage.getDirectory();
    file = await /** @type {any} */ (await root.getFileHandle(name, {create: true})).createSyncAccessHandle();
    postMessage({opened: true});
  } catch {
    postMessage({opened: false});
  }
}

/** @param {ArrayBuffer} piece */
async function write(piece) {
  if (!file) return;
  try {
    const bytes = file.write(new Uint8Array(piece), {at});
    at += bytes;
    await file.flush();
    if (bytes < piece.byteLength) throw new Error('no room');
  } catch {
    postMessage({full: true});
  }
}

async function close() {
  await file?.close();
  file = null;
  postMessage({closed: at});
}

onmessage = ({data}) => {
  if (data.beat) setTimeout(() => postMessage({beat: true}), data.beat);
  else queue = queue.then(() => (data.open ? open(data.open) : data.piece ? write(data.piece) : close()));
};
