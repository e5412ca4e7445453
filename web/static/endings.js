import {t, whyOf} from './words.js';

/** @typedef {{state: string, title: string, text: string, icon: 'warning' | 'hang-up'}} Ending */

/** What is nobody's doing, or that of neither of the two. */
const wrong = ['lost', 'revoked', 'shutdown'];

/** Reasons of protocol.md that have words of their own. @param {string} reason @param {string} who @returns {[title: string, text: string] | null} */
function wordsFor(reason, who) {
  switch (reason) {
    case 'declined': return [t('ending.declined'), t('ending.declined-text', {who})];
    case 'busy': return [t('ending.busy'), t('ending.busy-text', {who})];
    case 'timeout': return [t('ending.timeout', {who}), t('ending.timeout-text')];
    case 'unavailable': return [t('ending.unavailable', {who}), t('ending.unavailable-text')];
    case 'lost': return [t('ending.lost'), t('ending.lost-text')];
    case 'revoked': return [t('ending.revoked'), ''];
    case 'shutdown': return [t('ending.shutdown'), t('ending.shutdown-text')];
    case 'removed': return [t('ending.removed'), t('ending.removed-text')];
    case 'ended': return [t('ending.ended'), t('ending.ended-text')];
    case 'declined-here': return [t('ending.not-admitted'), t('ending.removed-text')];
    case 'locked': return [t('ending.locked'), t('ending.locked-text')];
    case 'door-full': return [t('ending.door-full'), t('ending.door-full-text')];
    default: return null;
  }
}

/**
 * What to say at the end of a call.
 * @param {import('/client/turnhub.js').Ended} ended
 * @param {string} who the other one in a call by name
 * @param {string} room '' in a call by name
 * @returns {Ending}
 */
export function describeEnding({reason, detail, by, code}, who, room) {
  if (by === 'host') {
    const [title, text] = wordsFor(reason === 'declined' ? 'declined-here' : reason, who) ?? [t('ending.left'), ''];
    return {state: reason, title, text, icon: 'hang-up'};
  }
  const icon = wrong.includes(reason) ? 'warning' : 'hang-up';
  const other = who || t('ending.other');
  // What the other one wrote, or why it could not be.
  const why = detail || (code ? whyOf({code}) : '');
  const own = wordsFor(reason, other);
  if (own) return {state: reason, title: own[0], text: why || own[1], icon};
  if (room) return {state: 'ended', title: t('ending.left'), text: why || t('ending.left-text'), icon};
  if (by === 'peer') return {state: 'ended', title: t('ending.by-peer', {who: other}), text: why, icon};
  return {state: 'ended', title: t('ending.by-self'), text: why || (who ? t('ending.with', {who}) : ''), icon};
}
