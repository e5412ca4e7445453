import fs from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../out/', import.meta.url));

/**
 * Keeps how a page looks, as e2e/out/NAME.png.
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
export async function screenshot(page, name) {
  await fs.mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}${name}.png` });
}
