import {levelOf} from '/client/turnhub.js';
import {$, dress, paintAvatar, toast} from './dom.js';
import {describeProblems, wordsOf} from './problems.js';
import {recall, remember} from './settings.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').LocalMedia} LocalMedia */
/** @typedef {LocalMedia['problems']} Problems */

const kinds = /** @type {const} */ (['audio', 'video']);

/** The visitor's own microphone, camera and screen: buttons, preview, level meter, choice of devices. */
export class Controls {
  #preview = /** @type {HTMLVideoElement} */ ($('#preview'));
  /** @type {ReturnType<typeof levelOf> | null} */ #level = null;
  /** Whose sound that is. @type {MediaStreamTrack | null} */ #levelOf = null;
  #bars = [...$('#level').children];
  /** @type {any} */ #drawing = null;
  #inLobby = false;
  /** @type {(speaker: string) => void} */ onSpeaker = () => {};
  speaker = recall('speaker');
  #blur = /** @type {HTMLInputElement} */ ($('#blur'));
  /** @type {import('./blur.js').Blur | undefined} */ #blurring;
  /** What the visitor has been told of. @type {Problems} */ #told = {};

  /** @param {LocalMedia} media */
  constructor(media) {
    this.media = media;
    // What was switched off stays off, also when the page is opened anew.
    for (const kind of kinds) if (recall(kind) === 'off') media.toggle(kind, false);
    for (const id of ['#lobby-audio', '#audio']) $(id).addEventListener('click', () => this.toggle('audio'));
    for (const id of ['#lobby-video', '#video']) $(id).addEventListener('click', () => this.toggle('video'));
    for (const id of ['#lobby-flip', '#flip']) $(id).addEventListener('click', () => media.flip());
    for (const id of ['#screen', '#stop-sharing']) $(id).addEventListener('click', () => this.share());
    $('#screen').hidden = !(/** @type {any} */ (navigator.mediaDevices)?.getDisplayMedia);
    for (const [selector, kind] of /** @type {const} */ ([['#camera-select', 'video'], ['#microphone-select', 'audio']])) {
      $(selector).addEventListener('change', (event) => {
        const id = /** @type {HTMLSelectElement} */ (event.target).value;
        remember(kind === 'video' ? 'camera' : 'microphone', id);
        media.choose(kind, id);
      });
    }
    $('#speaker-select').addEventListener('change', (event) => {
      this.speaker = /** @type {HTMLSelectElement} */ (event.target).value;
      remember('speaker', this.speaker);
      this.onSpeaker(this.speaker);
    });
    const noise = /** @type {HTMLInputElement} */ ($('#noise'));
    noise.checked = recall('noise') !== 'off';
    if (!noise.checked) media.suppressNoise(false);
    noise.addEventListener('change', () => this.#suppressNoise(noise));
    this.#blur.checked = recall('blur') === 'on';
    this.#blur.addEventListener('change', () => this.#setBlur());
    /** @type {Promise<import('./soundtest.js').SoundTest> | undefined} */ let test;
    $('#try-sound').addEventListener('click', async () => {
      test ??= import('./soundtest.js').then(({openTest}) => openTest(this, levelOf));
      test.catch(() => { test = undefined; }); // a network that failed may be back at the next click
      (await test).toggle();
    });
    $('#settings').addEventListener('click', () => {
      $('#devices-slot').append($('#devices'));
      /** @type {HTMLDialogElement} */ ($('#devices-dialog')).showModal();
    });
    $('#devices-dialog').addEventListener('close', () => $('.preview').append($('#devices')));
    media.on('change', () => this.update());
    media.on('devices', () => this.listDevices());
    document.addEventListener('visibilitychange', () => this.#meter());
  }

  /** Loaded when somebody wants it. */
  async #setBlur() {
    try {
      this.#blurring ??= new (await import('./blur.js')).Blur(this.media, this.#blur);
      await this.#blurring.set(this.#blur.checked);
    } catch (error) {
      console.warn('turnhub: blur', error);
      this.#blur.checked = false;
      toast(t('error.unknown'), 'bad');
    }
  }

  /** The lobby is shown, or something else: then nobody sees preview and level, which would cost the call a part of its processor. @param {boolean} shown */
  inLobby(shown) {
    this.#inLobby = shown;
    this.#showPreview();
    this.#meter();
  }

  async open() {
    const camera = recall('camera'), microphone = recall('microphone');
    const known = new Set((await this.media.devices()).map(({deviceId}) => deviceId));
    if (camera && known.has(camera)) this.media.prefer('video', camera);
    if (microphone && known.has(microphone)) this.media.prefer('audio', microphone);
    if (this.#blur.checked) await this.#setBlur(); // before there is a picture
    await this.media.open();
    await this.listDevices();
    this.update();
  }

  /** @param {'audio' | 'video'} kind */
  async toggle(kind) {
    await this.media.toggle(kind);
  }

  /** @param {HTMLInputElement} noise */
  async #suppressNoise(noise) {
    const on = noise.checked;
    if (await this.media.suppressNoise(on) || noise.checked !== on) return remember('noise', on ? '' : 'off');
    noise.checked = !on;
    await this.media.suppressNoise(!on);
    toast(t('device.noise-fixed'), 'bad');
  }

  /** In a call the list of problems is out of sight, and in the lobby one that stays as it was looks like no answer. */
  #tell() {
    const inCall = document.body.dataset.view === 'call';
    const {problems} = this.media;
    for (const [kind, device] of /** @type {const} */ ([['audio', 'microphone'], ['video', 'camera']])) {
      const problem = problems[kind], before = this.#told[kind];
      this.#told[kind] = problem;
      if (problem === before) continue;
      if (problem && (inCall || before)) toast(wordsOf(problem), 'bad');
      else if (!problem && inCall && this.media.track(kind)) toast(t(`device.${device}-found`));
    }
  }

  async share() {
    if (this.media.screen) return this.media.unshare();
    try {
      await this.media.share();
    } catch (error) {
      console.warn('turnhub: screen', error);
      toast(t('device.cannot-share'), 'bad');
    }
  }

  /** @param {string} name */
  setName(name) {
    for (const avatar of document.querySelectorAll('.preview .avatar, .tile.self .avatar')) paintAvatar(/** @type {HTMLElement} */ (avatar), name || t('person.you'));
  }

  /** The buttons say what is being sent, not what was wished. @param {'audio' | 'video'} kind */
  #label(kind) {
    const {media} = this;
    const device = kind === 'audio' ? 'microphone' : 'camera';
    if (media.sending[kind]) return t(`device.${device}-on`);
    if (media.starting(kind)) return t(`device.${device}-starting`);
    return media.problems[kind] ? t(`device.${device}-none`) : t(`device.${device}-off`);
  }

  update() {
    const {media} = this;
    const {sending, enabled, problems} = media;
    for (const kind of kinds) {
      const icon = kind === 'audio' ? 'mic' : 'camera';
      for (const id of [`#lobby-${kind}`, `#${kind}`]) {
        dress($(id), sending[kind] ? icon : `${icon}-off`, this.#label(kind));
        $(id).setAttribute('aria-pressed', String(sending[kind]));
        $(id).setAttribute('aria-busy', String(media.starting(kind)));
      }
      remember(kind, enabled[kind] ? '' : 'off');
    }
    dress($('#screen'), 'screen', sending.screen ? t('device.stop-sharing') : t('device.share'));
    $('#screen').setAttribute('aria-pressed', String(sending.screen));
    $('#sharing').hidden = !sending.screen;
    const preview = $('.preview');
    preview.dataset.video = String(sending.video);
    preview.dataset.facing = media.facing;
    $('#preview-note').textContent = sending.video ? '' : problems.video ? t('device.no-picture') : enabled.video ? t('device.starting-camera') : t('device.your-camera-off');
    this.#tell();
    const said = describeProblems(problems);
    const shown = $('#problems ul');
    // Said once: an alert that is written again is read out again.
    if (shown.textContent !== said.map(({text}) => text).join('')) {
      shown.replaceChildren(...said.map(({text, codes}) => {
        const item = document.createElement('li');
        item.dataset.problem = codes;
        item.textContent = text;
        return item;
      }));
    }
    this.#showPreview();
  }

  #showPreview() {
    // A video that waits for a first track would keep the document from ever being loaded.
    const {stream} = this.media, shown = this.#inLobby && stream.getTracks().length ? stream : null;
    if (this.#preview.srcObject !== shown) this.#preview.srcObject = shown;
  }

  async listDevices() {
    const devices = await this.media.devices();
    const {problems} = this.media;
    // Phones have a button for the other camera; a desk has a list.
    const several = devices.filter(({kind}) => kind === 'videoinput').length > 1;
    for (const id of ['#lobby-flip', '#flip']) $(id).hidden = !(several && matchMedia('(pointer: coarse)').matches);
    /** @param {string} selector @param {string} kind @param {string} current @param {'camera' | 'microphone' | 'speaker'} what */
    const fill = (selector, kind, current, what) => {
      const select = /** @type {HTMLSelectElement} */ ($(selector));
      const found = devices.filter((device) => device.kind === kind && device.deviceId);
      select.replaceChildren(...found.map(({deviceId, label}, i) => new Option(label || t(`device.${what}-number`, {number: i + 1}), deviceId, false, deviceId === current)));
      const blocked = problems[kind === 'videoinput' ? 'video' : 'audio']?.code === 'refused';
      if (!found.length) select.append(new Option(blocked && what !== 'speaker' ? t(`device.${what}-blocked`) : t(`device.${what}-none`), ''));
      select.disabled = found.length === 0;
      return found.length;
    };
    fill('#camera-select', 'videoinput', this.media.deviceId('video'), 'camera');
    fill('#microphone-select', 'audioinput', this.media.deviceId('audio'), 'microphone');
    const speakers = 'setSinkId' in HTMLMediaElement.prototype ? fill('#speaker-select', 'audiooutput', this.speaker, 'speaker') : 0;
    $('#speaker-label').hidden = speakers < 2;
  }

  /** Draws the level of the microphone for as long as somebody sees it. */
  #meter() {
    clearTimeout(this.#drawing);
    const seen = this.#inLobby && !document.hidden, track = seen ? this.media.audio : null;
    if (track !== this.#levelOf) {
      this.#level?.close();
      this.#levelOf = track;
      this.#level = track ? levelOf(new MediaStream([track])) : null;
    }
    if (!seen) return;
    const level = this.media.sending.audio ? this.#level?.read() ?? 0 : 0;
    $('#level').setAttribute('aria-valuenow', String(Math.round(level * 100)));
    this.#bars.forEach((bar, i) => bar.classList.toggle('lit', level > (i + 0.5) / this.#bars.length));
    this.#drawing = setTimeout(() => this.#meter(), 100);
  }
}
