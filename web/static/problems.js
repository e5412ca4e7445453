import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').LocalMedia} LocalMedia */

/**
 * What to say of the problems with the devices: no sentence contradicts another.
 * @param {LocalMedia['problems']} problems
 * @returns {{text: string, codes: string}[]} `codes`: such as "audio-refused video-refused"
 */
export function describeProblems({audio, video}) {
  if (audio && video && audio.code === video.code) {
    return [{text: `${t(`problem.both-${audio.code}`)} ${t('problem.unheard-unseen')}`, codes: `audio-${audio.code} video-${video.code}`}];
  }
  const said = [];
  if (video) said.push({text: [wordsOf(video), audio ? '' : t('problem.sound-only')].join(' ').trim(), codes: `video-${video.code}`});
  if (audio) said.push({text: `${wordsOf(audio)} ${video ? t('problem.unheard-unseen') : t('problem.unheard')}`, codes: `audio-${audio.code}`});
  return said;
}

/** Why there is no microphone or camera, and what the visitor can do. @param {import('/client/turnhub.js').Problem} problem */
export function wordsOf({kind, code}) {
  return t(`problem.${kind}-${code}`);
}
