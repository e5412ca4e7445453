/**
 * Tells of what the browser says about the network and the page; nothing where there is no browser.
 * @param {{changed: () => void, leaving: () => void}} tell `changed`: the network is back or another one; `leaving`:
 *   the page goes and does not come back
 * @returns {() => void} ends it
 */
export function watchPage({changed, leaving}) {
  if (typeof globalThis.addEventListener !== 'function') return () => {};
  const ends = new AbortController();
  const {signal} = ends;
  globalThis.addEventListener('online', changed, {signal});
  globalThis.addEventListener('pagehide', (event) => { if (!event.persisted) leaving(); }, {signal});
  /** @type {any} */ (globalThis.navigator)?.connection?.addEventListener?.('change', changed, {signal});
  return () => ends.abort();
}
