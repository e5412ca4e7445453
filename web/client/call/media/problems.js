/** @typedef {'audio' | 'video'} Kind */
/** @typedef {'refused' | 'missing' | 'busy' | 'insecure' | 'unanswered' | 'failed'} ProblemCode */

/**
 * Why there is no microphone or camera, as a code; the page has the words.
 * @typedef {object} Problem
 * @property {Kind} kind
 * @property {ProblemCode} code `insecure`: browsers give devices only to pages with a secure address; `refused`: blocked for
 *   this page; `missing`: none is there; `busy`: in use by another program or switched off; `unanswered`: the visitor has not answered
 *   the browser's question yet; `failed`: anything else
 * @property {unknown} error what the browser said
 */

/** @type {Record<string, ProblemCode>} */
const codes = {
  InsecureContext: 'insecure', NotAllowedError: 'refused', SecurityError: 'refused', NotFoundError: 'missing',
  OverconstrainedError: 'missing', NotReadableError: 'busy', AbortError: 'busy',
};

/** @param {Kind} kind @param {unknown} error @returns {Problem} */
export function explain(kind, error) {
  const name = /** @type {any} */ (error)?.name ?? '';
  return {kind, code: Object.hasOwn(codes, name) ? codes[name] : 'failed', error};
}
