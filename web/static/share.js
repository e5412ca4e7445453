import qrcode from './vendor/qrcode/qrcode.js';
import {$, toast} from './dom.js';
import {t} from './words.js';

/**
 * Draws a QR code: dark on light in either theme, since cameras expect that.
 * @param {HTMLCanvasElement} canvas @param {string} text
 */
export function drawQR(canvas, text) {
  const code = qrcode(0, 'M');
  code.addData(text);
  code.make();
  const count = code.getModuleCount(), quiet = 3, scale = 8;
  canvas.width = canvas.height = (count + 2 * quiet) * scale;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = '#10151c';
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      if (code.isDark(row, column)) context.fillRect((column + quiet) * scale, (row + quiet) * scale, scale, scale);
    }
  }
}

/** @param {string} link @param {string} [title] what a phone's own list of ways calls it */
export async function copyLink(link, title = t('lobby.share-title')) {
  try {
    if (matchMedia('(pointer: coarse)').matches && navigator.share) {
      await navigator.share({title, url: link});
      return;
    }
    await navigator.clipboard.writeText(link);
    toast(t('lobby.copied'));
  } catch (error) {
    if (/** @type {any} */ (error)?.name !== 'AbortError') prompt(t('lobby.copy'), link);
  }
}

/** A link as people read it: the letters of the room, not their codes. @param {string} link */
export function readable(link) {
  const at = link.indexOf('#') + 1;
  return link.slice(0, at) + decodeURIComponent(link.slice(at));
}

/** The link that the QR code shows. */
let shown = '';

export function copyShown() {
  return copyLink(shown);
}

/** @param {string} link */
export function showQR(link) {
  shown = link;
  drawQR($('#qr'), link);
  $('#qr-link').textContent = readable(link);
  /** @type {HTMLDialogElement} */ ($('#qr-dialog')).showModal();
}
