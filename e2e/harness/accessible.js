// Whether a view can be used by everybody: by axe-core's rules, and with nothing cut off on a small phone or a laptop.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { faultsNow } from './layout.js';
import { screenshot } from './screenshot.js';

/** @typedef {import('playwright-core').Page} Page */

const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * What axe-core finds wrong. It must have looked at something.
 * @param {Page} page @param {string} [root] selector of the part that is looked at
 * @returns {Promise<{impact: string, text: string}[]>}
 */
export async function complaints(page, root = 'html') {
  await page.evaluate(await axe);
  const { passes, violations } = await page.evaluate(async (root) => {
    const found = await /** @type {any} */ (window).axe.run(root, { resultTypes: ['violations'] });
    return { passes: found.passes.length, violations: found.violations.map((/** @type {any} */ { id, impact, help, nodes }) => (
      { impact, text: `${id}: ${help}: ${nodes.map((/** @type {any} */ { html }) => html).join(' ')}` })) };
  }, root);
  assert.ok(passes > 5, 'axe has looked at something');
  return violations;
}

/** Nothing of what is shown keeps somebody out. @param {Page} page @param {string} view @param {string} [root] */
export async function accessible(page, view, root) {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  assert.deepEqual((await complaints(page, root)).map(({ text }) => text), [], view);
}

/** Nor is anything cut off, or on anything else. @param {Page} page @param {string} view the name of its pictures @param {string} [root] */
export async function judge(page, view, root) {
  for (const size of [{ width: 320, height: 568 }, { width: 1280, height: 800 }]) {
    await page.setViewportSize(size);
    assert.deepEqual(await faultsNow(page), [], `${view}, ${size.width}`);
    await screenshot(page, `${view}-${size.width}`);
  }
  await accessible(page, view, root);
}
