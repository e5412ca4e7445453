import fs from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../out/', import.meta.url));

/**
 * Keeps how a page looks, as e2e/out/NAME.png, where E2E_PICTURES is set: painting some hundred of them takes a minute
 * that a run which nobody looks at has no use for.
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
export async function screenshot(page, name) {
  if (!process.env.E2E_PICTURES) return;
  await fs.mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}${name}.png` });
}
