/** @typedef {import('playwright-core').Page} Page */

/**
 * What is wrong with a view as it is laid out now: pieces of text, controls and pictures that lie on each other or are cut off.
 * Runs in the page.
 */
export function faults() {
  const chat = document.querySelector('#chat:not([hidden]), #host:not([hidden])');
  const cover = chat && getComputedStyle(chat).position === 'fixed' ? chat : null; // on small screens it lies on all else
  const root = document.querySelector('dialog[open]') ?? cover ?? document.body;
  const name = (/** @type {Element} */ e) => `${e.tagName.toLowerCase()}${e.id && `#${e.id}`}${e.classList.length ? `.${e.classList[0]}` : ''} “${(e.textContent ?? '').trim().slice(0, 24)}”`;
  /** @type {{element: Element, box: DOMRect, words: boolean}[]} */ const pieces = [];
  /** @type {string[]} */ const wrong = [];
  /** How much of a box its ancestors let be seen, or be scrolled to. @param {Element} element @param {DOMRect} box @param {boolean} words */
  const seen = (element, box, words) => {
    let { left, right, top, bottom } = box;
    let fixed = false;
    for (let e = words ? element : element.parentElement; e && e !== document.body && !fixed; e = e.parentElement) {
      const { overflowX, overflowY, position, textOverflow } = getComputedStyle(e);
      const clip = e.getBoundingClientRect();
      if (textOverflow === 'ellipsis') return { left: Math.max(left, clip.left), right: Math.min(right, clip.right), top, bottom, full: true };
      if (overflowX === 'hidden' || overflowX === 'clip') { left = Math.max(left, clip.left); right = Math.min(right, clip.right); }
      if (overflowY === 'hidden' || overflowY === 'clip') { top = Math.max(top, clip.top); bottom = Math.min(bottom, clip.bottom); }
      if (/auto|scroll/.test(overflowX + overflowY)) { // what is outside can be scrolled to, what is inside is seen
        top = Math.max(top, clip.top); bottom = Math.min(bottom, clip.bottom); left = Math.max(left, clip.left); right = Math.min(right, clip.right);
        return { left, right, top, bottom, full: true };
      }
      fixed = position === 'fixed';
    }
    const full = right - left >= box.width - 1.5 && bottom - top >= box.height - 1.5;
    return { left, right, top, bottom, full };
  };
  /** @param {Element} element @param {DOMRect} box @param {boolean} words */
  const add = (element, box, words) => {
    if (box.width < 2 || box.height < 2 || element.closest('.hidden, .toasts, .notes, [aria-hidden=true]:not(.avatar)')) return;
    for (let e = /** @type {Element | null} */ (element); e; e = e.parentElement) {
      const { visibility, opacity, clipPath } = getComputedStyle(e);
      if (visibility === 'hidden' || opacity === '0' || clipPath === 'inset(50%)') return; // for screen readers, or nobody
    }
    const { left, right, top, bottom, full } = seen(element, box, words);
    if (!full) wrong.push(`cut off: ${name(element)}`);
    if (right - left > 1 && bottom - top > 1) pieces.push({ element, box: new DOMRect(left, top, right - left, bottom - top), words });
    if (full && (left < -1 || right > innerWidth + 1)) wrong.push(`outside: ${name(element)} ${Math.round(left)}–${Math.round(right)}`);
  };
  for (const element of root.querySelectorAll('button, a, input, select, canvas, .tile, .preview-frame, .avatar')) add(element, element.getBoundingClientRect(), false);
  for (const button of root.querySelectorAll('button, a')) {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = button;
    if (clientWidth > 1 && (scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1)) wrong.push(`larger than its button: ${name(button)}`);
  }
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement;
    if (!parent || !node.textContent?.trim() || parent.closest('option, noscript, script, style, button, a, select')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    add(parent, range.getBoundingClientRect(), true);
  }
  for (const [i, a] of pieces.entries()) {
    for (const b of pieces.slice(i + 1)) {
      if (a.element === b.element || a.element.contains(b.element) || b.element.contains(a.element)) continue;
      // What is painted on a picture lies on the avatar in place of it.
      if ([a, b].some(({ element }) => element.matches('.avatar')) && a.element.closest('.tile, .preview-frame') && a.element.closest('.tile, .preview-frame') === b.element.closest('.tile, .preview-frame')) continue;
      // In a call of two the own picture lies on the other's, as everywhere; not on what is written there.
      if (a.element.matches('.tile') && b.element.matches('.tile')) continue;
      const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      // A line of text is taller than its letters.
      if (width > 2 && height > (a.words || b.words ? 5 : 2)) wrong.push(`${name(a.element)} and ${name(b.element)} lie on each other, ${Math.round(width)} × ${Math.round(height)}`);
    }
  }
  // A table may be scrolled sideways where the keyboard can do it and screen readers are told what it is (WCAG 2.2, 1.4.10).
  for (const e of [root, ...root.querySelectorAll(':not([role=group][tabindex="0"][aria-labelledby]:has(> table), input, select)')]) {
    if (/auto|scroll/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1) wrong.push(`has to be scrolled sideways: ${name(e)}`);
  }
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push(`wider than the screen by ${scrollWidth - clientWidth}`);
  return wrong;
}

/** The same once what watches sizes has run. @param {Page} page */
export async function faultsNow(page) {
  await page.evaluate(async () => {
    for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame);
  });
  return page.evaluate(faults);
}
