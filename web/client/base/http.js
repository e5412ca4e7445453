import {httpTimes} from './times.js';

/**
 * Asks a server for JSON. What has not come in time is given up: on a connection that was kept open and has frozen since,
 * a browser waits for minutes.
 * @param {URL} url @param {RequestInit} [options] @param {number} [within] milliseconds @param {typeof fetch} [get]
 * @returns {Promise<{answer: Response, said: any} | null>} `said` is null where the body is no JSON; null: nobody answered
 */
export async function ask(url, options, within = httpTimes.answer, get = globalThis.fetch) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), within);
  try {
    const answer = await get(url, {...options, signal: late.signal});
    const text = await answer.text();
    try {
      return {answer, said: JSON.parse(text)};
    } catch {
      return {answer, said: null};
    }
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}
