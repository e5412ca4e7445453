/** @typedef {import('./path/narrow.js').Allowance} Allowance */

/**
 * How much somebody wants to receive: as much as the line takes, little (`saver`), or no pictures (`sound`).
 * @typedef {'automatic' | 'saver' | 'sound'} Wish
 */
/** @typedef {'thumb' | 'applause' | 'heart' | 'laughter' | 'surprise' | 'party'} Reaction */

/** @type {readonly unknown[]} */ const wishes = ['automatic', 'saver', 'sound'];
/** @type {readonly Reaction[]} */ export const reactions = ['thumb', 'applause', 'heart', 'laughter', 'surprise', 'party'];

/** @param {unknown} wish @returns {Wish} what is not known here is no wish */
export const wishOf = (wish) => (wishes.includes(wish) ? /** @type {Wish} */ (wish) : 'automatic');

/** @param {unknown} reaction @returns {reaction is Reaction} */
export const isReaction = (reaction) => /** @type {readonly unknown[]} */ (reactions).includes(reaction);

/** So many reactions of one person are told at once, and then one each so often, milliseconds. */
export const reactionsAtOnce = 5, reactionEvery = 1000;

/** The most of pictures and of sound that goes to whoever saves data, or by whom: about 120 MB an hour, of sound and a face that can be read. */
const saving = {video: 240_000, scale: 2, frameRate: 15, audio: 24_000};

/** What is sent at the most, bits per second: ours, who saves, and theirs. @param {Wish} ours @param {Wish} theirs */
export function most(ours, theirs) {
  if (theirs === 'sound') return {video: 0, audio: saving.audio};
  return ours === 'automatic' && theirs === 'automatic' ? {video: Infinity, audio: Infinity} : saving;
}

/**
 * What may be sent where people wish less than the line takes; what it takes counts all the same.
 * @param {Allowance} line @param {Wish} ours @param {Wish} theirs
 * @returns {Allowance}
 */
export function within(line, ours, theirs) {
  if (ours === 'automatic' && theirs === 'automatic') return line;
  return {
    ...line, picture: line.picture && theirs !== 'sound', video: Math.min(line.video, saving.video), scale: Math.max(line.scale, saving.scale),
    frameRate: Math.min(line.frameRate, saving.frameRate), audio: Math.min(line.audio, saving.audio),
  };
}
