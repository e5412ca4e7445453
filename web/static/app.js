import {Call, Hub, LocalMedia, isHosted, meshLimit, randomRoom, titleOfRoom} from '/client/turnhub.js';
import {answering, Away} from './away.js';
import {$, dress, toast} from './dom.js';
import {Chat} from './chat.js';
import {Controls} from './controls.js';
import {describeEnding} from './endings.js';
import {Hosted, followHost, hostLink, secretOf, takeSecret} from './hosted.js';
import {InCall} from './incall.js';
import {Incoming} from './incoming.js';
import {Missed} from './missed.js';
import {keepOpen} from './awake.js';
import {listenToKeys} from './keys.js';
import {Stage} from './stage.js';
import {allowNotifications, ring, silence} from './ring.js';
import {Links} from './links.js';
import {offerLanguages} from './language.js';
import {carriedNames, embedded, linkHere, linkToName, linkedRoom, misnamedRoom, offered, ownName, ownUser, recall, remember, suppose, takeOffer, token, troubleshooting, userSecret} from './settings.js';
import {copyLink, copyShown, drawQR, showQR} from './share.js';
import {plainName, roomOf} from './rooms.js';
import {tellOfRecordings} from './records.js';
import {t, whyOf} from './words.js';

/** @typedef {import('/client/turnhub.js').Invitation} Invitation */

document.documentElement.dataset.runs = ''; // again.js
const {body, title} = document;
const nameField = /** @type {HTMLInputElement} */ ($('#name'));
const userField = /** @type {HTMLInputElement} */ ($('#user'));
const roomField = /** @type {HTMLInputElement} */ ($('#room'));
const hostedSwitch = /** @type {HTMLInputElement} */ ($('#hosted'));
const calleeField = /** @type {HTMLInputElement} */ ($('#callee'));

const media = new LocalMedia();
const controls = new Controls(media);
const stage = new Stage(controls);
const chat = new Chat();
const inCall = new InCall(controls, stage);
const links = new Links();
const hosted = new Hosted();
const missed = new Missed((user) => callBack(user));
const incoming = new Incoming((invitation) => answer(invitation), missed);
const away = new Away({rings: (call) => incoming.rings(call), answer: (call) => incoming.take(call)});

/** @type {Hub} */ let hub;
/** @type {Call} */ let call;
/** Where the page is a part of another one. @type {import('./embed.js').Embedding | undefined} */ let embedding;
/** The call name that a link of the visitor's other device offers. */ let offer = offered;
/** How to come back from the notice. @type {() => void} */ let again = () => location.reload();
/** The other one in a call by name: how to call again, and what the page says. */ let partner = {user: '', name: ''};

// ---- views

/** @param {'lobby' | 'call' | 'notice'} view */
function show(view) {
  body.dataset.view = view;
  for (const id of ['lobby', 'call', 'notice']) $(`#${id}`).hidden = id !== view;
  if (view !== 'call') body.dataset.people = '0';
  keepOpen(view === 'call');
  controls.inLobby(view === 'lobby');
}

/**
 * Something ended or cannot begin: says what, and what one can do.
 * @param {string} state @param {string} title @param {string} text @param {string} [action] @param {() => void} [run]
 */
function notice(state, title, text, action = t('notice.again'), run = () => location.reload()) {
  show('notice');
  body.dataset.state = state;
  $('#notice-title').textContent = title;
  $('#notice-text').textContent = text;
  $('#notice-again').textContent = action;
  dress($('#notice-icon'), 'warning');
  $('#notice-call').hidden = true;
  $('#notice-chat').hidden = !chat.kept; // whatever has ended: it is here until the tab is closed
  $('#notice-again').className = 'primary';
  $('#notice-home').hidden = false;
  again = run;
  $('#notice-again').focus();
}

function lobby() {
  show('lobby');
  const linked = linkedRoom();
  const misnamed = misnamedRoom();
  takeSecret(linked, () => { if (body.dataset.view === 'lobby' && linkedRoom() === linked) lobby(); });
  if (linked || !hosted.wanted) hosted.use(linked);
  roomField.value = titleOfRoom(linked) || misnamed?.near || roomField.value || randomRoom();
  $('#room-hint').hidden = !misnamed;
  $('#lobby-lead').hidden = misnamed !== null; // the hint is on a small screen's first view then
  if (misnamed) {
    $('#room-hint').textContent = t(misnamed.near ? 'lobby.misnamed' : 'lobby.misnamed-all', {name: misnamed.name.slice(0, 60)});
  }
  $('#lobby-title').textContent = linked ? t('lobby.join') : t('lobby.start');
  $('#lobby-lead').textContent = linked ? t('lobby.join-lead') : t('lobby.start-lead');
  $('#room-label').hidden = true;
  $('#invite-form').hidden = linked !== '';
  $('#hosted-label').hidden = linked !== '' || !isSecureContext;
  $('#hosted-hint').hidden = !isHosted(linked);
  $('#hosted-hint').textContent = isHosted(linked) ? t(hosted.mine ? 'lobby.hosted-mine' : 'lobby.hosted') : '';
  showOwnLink();
  document.title = title;
  newCall();
}

// ---- the hub

function openHub() {
  hub?.close();
  const user = ownUser();
  hub = new Hub({name: ownName() || undefined, token, ...(user ? {user, userSecret: userSecret()} : {})});
  const mine = hub;
  $('#carry').hidden = true; // until it has its name
  hub.on('state', (state) => {
    if (hub !== mine) return;
    showConnection(state);
    if (state === 'open' && body.dataset.state === 'no-websocket') lobby();
  });
  hub.on('error', (error) => {
    if (error.code === 'no-websocket' && body.dataset.view === 'lobby') {
      return notice('no-websocket', t('notice.no-websocket'), t('notice.no-websocket-text', {host: location.host}));
    }
    if (error.code !== 'user-taken') return toast(whyOf(error), 'bad');
    toast(t('lobby.user-taken', {user}), 'bad');
    remember('user', '');
    userField.value = '';
    openHub();
  });
  hub.on('welcome', () => {
    body.dataset.session = mine.id;
    if (hub !== mine) return;
    $('#carry').hidden = !mine.user || Boolean(token); // which proves the name everywhere
    consider();
  });
  hub.on('closed', ({code, why}) => { if (hub === mine) onClosed(code, why); });
  hub.on('token', ({after}) => toast(t('connection.access-ends', {seconds: Math.ceil(after / 1000)}), 'bad'));
  hub.on('restart', () => stage.banner(t('connection.restart')));
  hub.on('presence', showPresence);
  incoming.attach(hub);
  away.use(hub);
  links.use(hub);
  hub.connect().catch(() => {});
  newCall();
}

/** @param {Hub['state']} state */
function showConnection(state) {
  const pill = $('#connection');
  pill.dataset.state = state;
  body.dataset.hub = state;
  /** @type {HTMLElement} */ (pill.querySelector('.words')).textContent = t(`connection.${state}`);
  if (body.dataset.view === 'call') {
    stage.banner(state === 'reconnecting' ? t('connection.lost') : '');
  }
}

/** @param {number} code of protocol.md, or 0: this is no turnhub server any more @param {import('/client/turnhub.js').Closed['why']} [why] */
function onClosed(code, why) {
  if (code === 1000) return;
  if (code === 4001) notice('replaced', t('notice.replaced'), t('notice.replaced-text'), t('notice.use-here'));
  else if (code === 4003) notice('refused', t('notice.refused'), t('notice.ask-for-link', {why: why ? t(`closed.${why}`) : t('closed.4003')}));
  else if (code === 4004) notice('revoked', t('notice.revoked'), t('closed.4004'));
  else if (code === 4000 || code === 4007 || code === 4009) notice('closed', t('notice.closed'), t(`closed.${code}`));
  else notice('closed', t('notice.closed'), code === 0 ? t('error.no-hub') : t('closed.other'));
}

// ---- the call

/** A call for the next click, with everything ready that can be before it. */
function newCall() {
  if (!hub || (call && call.phase !== 'idle' && call.phase !== 'ended')) return;
  if (call?.phase === 'idle') call.leave();
  const mine = new Call(hub, {media, screens: true, recordings: true, ...troubleshooting});
  call = mine;
  mine.on('phase', (phase) => { if (phase === 'active') silence(); });
  mine.on('peer', ({name}) => { if (!mine.room && name) partner.name = name; });
  mine.on('ended', (ended) => { if (call === mine) onEnded(mine, ended); });
  embedding?.follow(mine);
  const ready = async () => {
    if (hub.state !== 'open') await new Promise((resolve) => hub.once('welcome', resolve));
    if (call !== mine || mine.phase !== 'idle' || document.hidden) return;
    prepareLink();
    await mine.prepare(chosenRoom());
    if (call === mine && body.dataset.view === 'lobby') body.dataset.state = 'ready';
  };
  ready();
}

/** The room that is named in the field; '' while no room can have that name, which the field says, or it is being made. */
function chosenRoom() {
  return hosted.roomFor(roomOf(roomField.value.trim()));
}

/** A room with a host, or one that is open, of the name in the field. */
async function chooseHost() {
  const wanted = hostedSwitch.checked, title = roomOf(roomField.value.trim());
  await hosted.want(wanted, title);
  if (wanted && title && !chosenRoom()) roomField.setCustomValidity(roomField.title);
  showOwnLink();
  prepare();
}

function showOwnLink() {
  $('#copy-own').hidden = $('#own-hint').hidden = !hosted.mine;
}

function prepareLink() {
  const room = chosenRoom();
  if (room) links.to(room).catch(() => {}); // who asks for it is told
}

/** Does something with the link to a room, once it is there. @param {string} room @param {(link: string) => void} use */
function withLink(room, use) {
  links.to(room).then(use, (error) => toast(t('lobby.no-link', {why: whyOf(error)}), 'bad'));
}

/** For the room that is named now, where there is time before the click. */
function prepare() {
  prepareLink();
  if (call?.phase === 'idle' && hub.state === 'open') call.prepare(chosenRoom()).catch(() => {});
}

/** @param {string} link @param {string} callee */
function enter(link, callee = '') {
  /** @type {HTMLDialogElement | null} */ (document.querySelector('#carry-dialog'))?.close(); // another name would end the call
  show('call');
  body.dataset.state = 'joining';
  stage.attach(call, link, callee);
  stage.setName(ownName());
  chat.attach(call);
  inCall.attach(call);
  tellOfRecordings(call);
  showConnection(hub.state);
  $('#room-label').hidden = !link;
  if (link) $('#room-name').textContent = titleOfRoom(call.room || chosenRoom());
  if (media.asking) setTimeout(() => { if (media.asking && body.dataset.view === 'call') toast(t('call.asking')); }, 1500); // most answer before
}

/** Why the host keeps somebody out. */
const byHost = ['declined', 'locked', 'removed', 'ended', 'door-full'];

async function join() {
  await hosted.made; // the room's name may come of a secret that is being made
  const room = chosenRoom();
  if (!room) return;
  commitNames();
  hosted.keep();
  if (isHosted(room)) followHost(call, controls, () => links.to(room));
  const joining = call.join(room, {host: secretOf(room) || undefined});
  enter(links.now(room));
  withLink(room, (link) => stage.setLink(link));
  document.title = t('call.document', {name: titleOfRoom(room)});
  history.replaceState(null, '', `${location.pathname}${location.search}#${encodeURIComponent(room)}`);
  try {
    await joining;
  } catch (error) {
    const {code} = /** @type {any} */ (error);
    if (byHost.includes(code)) return; // `ended` tells
    if (code !== 'closed') embedding?.failed(error);
    if (code === 'call-full' || code === 'room-full') {
      notice('full', t('notice.full'), t('notice.full-text', {limit: meshLimit}), t('notice.again'), lobby);
    } else if (code === 'forbidden') {
      if (isHosted(room)) notice('declined', t('ending.not-admitted'), t('ending.removed-text'), t('notice.back'), lobby);
      else notice('refused', t('notice.room-refused'), t('notice.ask-for-link', {why: whyOf(error)}), t('notice.back'), lobby);
    } else if (code !== 'closed') {
      notice('failed', t('notice.join-failed'), whyOf(error), t('notice.again'), lobby);
    }
  }
}

async function invite() {
  const callee = calleeField.value.trim();
  if (!callee) return calleeField.focus();
  commitNames();
  partner = {user: callee, name: callee};
  const calling = call.invite(callee);
  enter('', callee);
  ring('outgoing');
  document.title = t('call.document', {name: callee});
  await calling.catch(() => {}); // `ended` tells
}

/** Calls somebody who was called, or has called, before. @param {string} user */
function callBack(user) {
  if (body.dataset.view === 'call') return toast(t('lobby.end-first'));
  lobby();
  calleeField.value = user;
  invite();
}

/** @param {Invitation} invitation */
async function answer(invitation) {
  if (call.phase !== 'idle') {
    const left = call;
    left.leave();
    newCall();
  }
  partner = {user: invitation.user ?? '', name: invitation.name || t('person.somebody')};
  const accepting = call.accept(invitation);
  enter('', invitation.name);
  document.title = t('call.document', {name: invitation.name});
  await accepting.catch((error) => { if (error?.code !== 'closed') toast(whyOf(error), 'bad'); });
}

/** @param {Call} over @param {import('/client/turnhub.js').Ended} ended */
function onEnded(over, ended) {
  silence();
  chat.detach();
  stage.detach();
  media.unshare();
  if (body.dataset.view !== 'call' || (ended.reason === 'lost' && hub.state === 'closed')) return;
  const {room} = over;
  const {user} = partner;
  const {state, title, text, icon} = describeEnding(ended, partner.name, room);
  notice(state, title, text, room && state !== 'removed' ? t('notice.rejoin') : t('notice.back'), () => {
    lobby();
    if (room) roomField.value = titleOfRoom(room);
  });
  dress($('#notice-icon'), icon);
  // "Back" is where the start page is.
  $('#notice-home').hidden = !room;
  if (room || !user) return;
  $('#notice-call').hidden = false;
  $('#notice-again').className = 'secondary';
  $('#notice-call').focus();
}

// ---- forms and keys

function commitNames() {
  const name = nameField.value = plainName(nameField.value), user = userField.value.trim();
  if (name === ownName() && user === ownUser()) return;
  remember('name', name);
  if (userField.validity.valid) remember('user', user);
  controls.setName(name);
  openHub();
}

// ---- one call name on several devices

/** @type {Promise<import('./carry.js').Carrier> | undefined} loaded when somebody wants it */ let carrier;

/** @param {(carrier: import('./carry.js').Carrier) => void} run */
async function carry(run) {
  try {
    carrier ??= import('./carry.js').then(({loadCarrier}) => loadCarrier({Hub, away, carriedNames, copyLink, drawQR, linkToName, recall, remember, toast, userSecret, use: (user) => {
      userField.value = user;
      remember('user', user);
      openHub();
    }}));
    run(await carrier);
  } catch (error) {
    console.warn('turnhub: carry', error);
    carrier = undefined; // a network that failed may be back at the next click
    toast(t('error.unknown'), 'bad');
  }
}

/** Asks whether the name that is offered shall be taken. */
function consider() {
  if (!offer || hub.state !== 'open') return;
  const taken = offer;
  offer = null;
  if (token || embedded) return; // the name is that of the token; and the page around this one has no say in it
  if (body.dataset.view === 'call') return toast(t('lobby.end-first'));
  carry((carrier) => carrier.offer(taken));
}

/** @type {any} */ let presenceTimer = null;
let watched = '';

function watchPresence() {
  clearTimeout(presenceTimer);
  presenceTimer = setTimeout(async () => {
    const user = calleeField.value.trim();
    if (watched && watched !== user) hub.unsubscribe(watched).catch(() => {});
    watched = user;
    showPresence({});
    if (user) showPresence(await hub.subscribe(user).catch(() => ({})));
  }, 400);
}

/** @param {Record<string, 'offline' | 'online' | 'busy'>} users */
function showPresence(users) {
  const state = users[watched];
  if (!state && Object.keys(users).length) return;
  $('#presence').dataset.presence = state ?? '';
  $('#presence').textContent = state ? t(`lobby.${state}`, {user: watched}) : '';
}

$('#join-form').addEventListener('submit', (event) => { event.preventDefault(); join(); });
$('#invite-form').addEventListener('submit', (event) => { event.preventDefault(); allowNotifications(); invite(); });
nameField.addEventListener('change', commitNames);
userField.addEventListener('change', () => { allowNotifications(); commitNames(); });
calleeField.addEventListener('input', watchPresence);
roomField.addEventListener('input', () => {
  roomField.setCustomValidity(roomField.value && !roomOf(roomField.value.trim()) ? roomField.title : '');
  if (hosted.wanted) chooseHost();
});
roomField.addEventListener('change', prepare);
hostedSwitch.addEventListener('change', () => { allowNotifications(); chooseHost(); });
$('#copy-own').addEventListener('click', () => {
  const room = chosenRoom();
  hosted.keep();
  withLink(room, (link) => copyLink(hostLink(link, room)));
});
$('#copy-link').addEventListener('click', () => withLink(chosenRoom(), copyLink));
$('#show-qr').addEventListener('click', () => withLink(chosenRoom(), showQR));
$('#room-label').addEventListener('click', () => withLink(call.room, showQR));
$('#qr-copy').addEventListener('click', copyShown);
$('#hang-up').addEventListener('click', () => call.leave());
$('#notice-again').addEventListener('click', () => again());
$('#notice-call').addEventListener('click', () => callBack(partner.user));
$('#carry').addEventListener('click', () => carry((carrier) => carrier.show(hub.user)));
addEventListener('hashchange', () => {
  const found = takeOffer(body.dataset.view === 'call' ? call.room : '');
  if (found) {
    offer = found;
    consider();
  } else if (body.dataset.view === 'lobby') lobby();
});

listenToKeys({
  m: () => controls.toggle('audio'), v: () => controls.toggle('video'), s: () => controls.share(), c: () => chat.toggle(), h: () => inCall.hand(),
});

// A page that nobody looks at holds no relay ports for a call that may never come.
/** @type {any} */ let idleTimer = null;
document.addEventListener('visibilitychange', () => {
  clearTimeout(idleTimer);
  if (document.hidden) idleTimer = setTimeout(() => { if (call?.phase === 'idle') call.release(); }, 30000);
  else prepare();
});

// ---- start

if (embedded) body.dataset.embedded = ''; // base.css

/** The page's looks and orders where it is a part of another one. @param {{name: string, join: boolean}} wishes */
async function embed({name, join: atOnce}) {
  const {Embedding} = await import('./embed.js');
  embedding = new Embedding({media, room: chosenRoom, leave: () => call.leave(), join: () => {
    if (body.dataset.view === 'notice') lobby();
    if (body.dataset.view === 'lobby') join();
  }});
  if (name) suppose('name', name);
  return () => {
    embedding?.ready();
    if (atOnce && chosenRoom()) join();
  };
}

async function start() {
  const begun = embedded && await embed(embedded);
  nameField.value = ownName();
  userField.value = ownUser();
  controls.setName(ownName());
  roomField.value = linkedRoom() || misnamedRoom()?.near || randomRoom();
  openHub();
  lobby();
  controls.open();
  if (begun) begun();
  incoming.take(answering);
}

/** @type {HTMLAnchorElement} */ ($('#check-link')).href = linkHere('/check');
offerLanguages();
if (typeof RTCPeerConnection === 'undefined') notice('unsupported', t('notice.unsupported'), t('notice.unsupported-text'));
else start();
