/** @typedef {{state: string, title: string, text: string, icon: 'warning' | 'hang-up'}} Ending */

/** Reasons of protocol.md that have words of their own. @type {Record<string, (who: string) => [title: string, text: string]>} */
const words = {
  declined: (who) => ['The call was declined', `${who} has seen that you called.`],
  busy: (who) => ['The line is busy', `${who} is in another call, and is told that you called.`],
  timeout: (who) => [`${who} did not answer`, 'Try again later, or send a link to a room.'],
  unavailable: (who) => [`${who} is not online`, 'People can be called while this page is open on one of their devices, with their call name set.'],
  lost: () => ['The connection was lost', 'It could not be brought back. Check your network and call again.'],
  revoked: () => ['The operator has ended this call', ''],
  shutdown: () => ['The server is going down', 'Call again in a minute.'],
};

/** What is nobody's doing, or that of neither of the two. */
const wrong = ['lost', 'revoked', 'shutdown'];

/**
 * What to say at the end of a call.
 * @param {{reason: string, detail: string, by: 'self' | 'peer' | 'server'}} ended
 * @param {string} who the other one in a call by name
 * @param {string} room '' in a call by name
 * @returns {Ending}
 */
export function describeEnding({reason, detail, by}, who, room) {
  const icon = wrong.includes(reason) ? 'warning' : 'hang-up';
  if (reason in words) {
    const [title, text] = words[reason](who || 'The other side');
    return {state: reason, title, text: detail || text, icon};
  }
  if (room) return {state: 'ended', title: 'You have left the room', text: detail || 'The link still works: you can join again.', icon};
  if (by === 'peer') return {state: 'ended', title: `${who || 'The other side'} has ended the call`, text: detail, icon};
  return {state: 'ended', title: 'You have ended the call', text: detail || (who ? `It was with ${who}.` : ''), icon};
}
