/** @typedef {import('/client/turnhub.js').LocalMedia} LocalMedia */

/** What keeps both devices from this page, said once. @type {Record<string, string>} */
const both = {
  insecure: 'Browsers give camera and microphone only to pages with a secure address (https://). Open this page by https.',
  refused: 'Camera and microphone are blocked for this page. To allow them, click the icon beside the address in the address bar and set both to “Allow”.',
  missing: 'No camera and no microphone were found. What you plug in is taken up at once.',
  busy: 'Camera and microphone are in use by another program or switched off. Close the other program and try again.',
  failed: 'Camera and microphone could not be started.',
};
const deaf = 'You can join, hear and see the others, but they will not hear you.';

/**
 * What to say of the problems with the devices: no sentence contradicts another.
 * @param {LocalMedia['problems']} problems
 * @returns {{text: string, codes: string}[]} `codes`: such as "audio-refused video-refused"
 */
export function describeProblems({audio, video}) {
  if (audio && video && audio.code === video.code) {
    return [{text: `${both[audio.code]} You can join, hear and see the others, but they will not hear you, nor see you.`, codes: `audio-${audio.code} video-${video.code}`}];
  }
  const said = [];
  if (video) said.push({text: `${video.text} ${audio ? '' : 'You can join with sound only.'}`.trim(), codes: `video-${video.code}`});
  if (audio) said.push({text: `${audio.text} ${video ? 'You can join, hear and see the others, but they will not hear you, nor see you.' : deaf}`, codes: `audio-${audio.code}`});
  return said;
}
