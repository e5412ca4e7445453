/** @typedef {'audio' | 'video'} Kind */
/** @typedef {'refused' | 'missing' | 'busy' | 'insecure' | 'failed'} ProblemCode */

/**
 * Why there is no microphone or camera.
 * @typedef {object} Problem
 * @property {Kind} kind
 * @property {ProblemCode} code
 * @property {string} text in plain words, with what the visitor can do
 * @property {unknown} error what the browser said
 */

/** @param {Kind} kind @param {unknown} error @returns {Problem} */
export function explain(kind, error) {
  const device = kind === 'audio' ? 'microphone' : 'camera';
  const name = /** @type {any} */ (error)?.name ?? '';
  /** @param {ProblemCode} code @param {string} text @returns {Problem} */
  const problem = (code, text) => ({kind, code, text, error});
  if (name === 'InsecureContext') {
    return problem('insecure', `Browsers give the ${device} only to pages with a secure address (https://). Open this page by https.`);
  }
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return problem('refused', `The ${device} is blocked for this page. To allow it, click the icon beside the address in the address bar and set “${device === 'camera' ? 'Camera' : 'Microphone'}” to “Allow”.`);
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return problem('missing', `No ${device} was found. Plug one in and it is taken up at once.`);
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return problem('busy', `The ${device} is in use by another program or switched off. Close the other program and try again.`);
  }
  return problem('failed', `The ${device} could not be started (${name || String(error)}).`);
}
