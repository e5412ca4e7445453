import {$} from './dom.js';
import {nameOf} from './names.js';
import {blip} from './ring.js';
import {recall} from './settings.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Peer} Peer */
/** What the recorder needs of the page: it is loaded by itself, and would get others of its own. @typedef {typeof tools} Tools */

const tools = {nameOf, blip};

/** @type {Call | null} the one that is going on */ let running = null;
/** @type {Promise<import('./recorder.js').Recorders> | null} loaded when somebody records */ let recorders = null;

const load = () => {
  recorders ??= import('./recorder.js').then(({openRecorders}) => openRecorders(tools));
  recorders.catch(() => { recorders = null; });
  return recorders;
};

/** Says who records the call, to the eye, to a screen reader and by a sound, for as long as it lasts. @param {Call} call */
export function tellOfRecordings(call) {
  const note = $('#records');
  /** @type {Set<Peer>} */ let known = new Set();
  const tell = () => {
    const now = new Set([...call.peers].filter(({media}) => media.recording));
    if ([...now].some((peer) => !known.has(peer))) blip('record');
    known = now;
    const text = [...now].map((peer) => t('call.records', {who: nameOf(peer)})).join(' ');
    note.hidden = !text;
    if (note.textContent !== text) note.textContent = text;
  };
  /** @param {Peer} peer */
  const follow = (peer) => {
    peer.on('media', tell);
    peer.on('name', tell);
    tell();
  };
  running = call;
  for (const peer of call.peers) follow(peer);
  call.on('peer', follow);
  call.on('peer-left', tell);
  call.on('ended', () => {
    note.hidden = true;
    if (running === call) running = null;
  });
  tell();
}

$('#record').addEventListener('click', async () => {
  /** @type {HTMLDialogElement} */ ($('#devices-dialog')).close();
  const opened = await load();
  if (running?.phase === 'active') opened.toggle(running);
});

// One that was cut off waits for its owner; of one that was saved the copy goes.
if (recall('recording') || recall('recorded')) load().then((opened) => opened.restore()).catch(() => {});
