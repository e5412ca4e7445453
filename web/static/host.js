// What the host of a room sees and does. It is loaded when somebody is host, and imports nothing of the page: what it needs
// comes with `tools`.

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Knock} Knock */
/** @typedef {import('/client/turnhub.js').Peer} Peer */
/** @typedef {import('./hosted.js').Tools} Tools */

/** A second click within so many milliseconds does what cannot be undone. */
const sure = 4000;

/** The host's panel: who is at the door, who is in the call, the lock, the links, the end. */
export class HostPanel {
  /** @type {Call | null} */ #call = null;
  /** @type {(() => void)[]} */ #off = [];
  /** @type {() => Promise<string>} */ #link = async () => '';
  /** Rows, by session. @type {Map<string, HTMLElement>} */ #rows = new Map();
  /** Who has been told of. */ #told = new Set();
  #tools;
  #panel;
  #button;
  #bar;
  #barText;
  #door;
  #doorAll;
  #people;
  #heading;
  #lock;

  /** @param {Tools} tools */
  constructor(tools) {
    this.#tools = tools;
    const {$, el, icon, t} = tools;
    this.#panel = $('#host');
    this.#button = $('#host-open');
    this.#heading = el('h2', {tabindex: '-1'}, t('host.open'));
    this.#door = el('ul', {class: 'at-door', 'aria-label': t('host.door')});
    this.#doorAll = el('div', {class: 'row'},
      this.#act('secondary', t('host.admit-all'), () => this.#hosting.admitAll()),
      this.#act('quiet', t('host.decline-all'), () => this.#hosting.declineAll()));
    this.#people = el('ul', {'aria-label': t('host.people')});
    this.#lock = el('input', {type: 'checkbox', onchange: () => this.#try(this.#hosting.lock(this.#lock.checked))});
    this.#panel.replaceChildren(
      el('header', {}, this.#heading, el('button', {type: 'button', class: 'ghost', 'aria-label': t('host.close'), onclick: () => this.open(false)}, icon('close'))),
      el('div', {class: 'host-body'},
        el('h3', {}, t('host.door')), el('p', {class: 'hint'}, t('host.nobody')), this.#door, this.#doorAll,
        el('label', {class: 'switch'}, this.#lock, el('span', {}, t('host.lock'))),
        el('h3', {}, t('host.people')), el('p', {class: 'hint'}, t('host.alone')), this.#people,
        el('div', {class: 'row links'},
          this.#act('quiet', t('host.guests-link'), async () => tools.copyLink(await this.#link()), 'link')),
        this.#twice('decline', t('host.end'), () => this.#hosting.end())));
    this.#barText = el('span', {});
    this.#bar = $('#door');
    this.#bar.replaceChildren(this.#barText,
      el('span', {class: 'buttons'}, this.#act('primary', t('host.admit'), () => this.#first('admit')), this.#act('quiet', t('host.decline'), () => this.#first('decline'))));
    this.#button.addEventListener('click', () => this.open(this.#panel.hidden));
    // Beside the call is place for one of them.
    $('#chat-open').addEventListener('click', () => this.open(false));
    this.#panel.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.open(false); });
  }

  get #hosting() { return /** @type {Call} */ (this.#call).hosting; }

  /** @param {Promise<unknown>} doing */
  #try(doing) {
    const {toast, whyOf} = this.#tools;
    doing.catch((error) => {
      if (error?.code !== 'not-in-room') toast(whyOf(error), 'bad'); // has gone meanwhile
      this.#update();
    });
  }

  /** @param {string} kind @param {string} label @param {() => Promise<unknown>} act @param {string} [symbol] */
  #act(kind, label, act, symbol) {
    const {el, icon} = this.#tools;
    return el('button', {type: 'button', class: kind, onclick: () => this.#try(act())}, ...(symbol ? [icon(symbol)] : []), el('span', {}, label));
  }

  /** A button that asks once more. @param {string} kind @param {string} label @param {() => Promise<unknown>} act */
  #twice(kind, label, act) {
    const {el, t} = this.#tools;
    /** @type {any} */ let timer = null;
    const words = el('span', {'aria-live': 'polite'}, label);
    return el('button', {type: 'button', class: kind, onclick: () => {
      clearTimeout(timer);
      if (words.textContent !== label) {
        words.textContent = label;
        return this.#try(act());
      }
      words.textContent = t('host.sure');
      timer = setTimeout(() => { words.textContent = label; }, sure);
    }}, words);
  }

  /** @param {'admit' | 'decline'} action with whom has waited longest */
  async #first(action) {
    const [peer] = this.#hosting.knocks.keys();
    if (peer) await this.#hosting[action](peer);
  }

  /** Shows how the call stands. @param {Call} call @param {() => Promise<string>} link for guests */
  show(call, link) {
    this.#link = link;
    if (this.#call !== call) {
      this.leave();
      this.#call = call;
      const again = () => this.#update();
      this.#off.push(
        call.on('peer', (peer) => { this.#off.push(peer.on('name', again), peer.on('media', again), peer.on('returned', again)); again(); }),
        call.on('peer-left', again),
        call.hosting.on('knock-left', (peer) => { this.#told.delete(peer); }),
        call.hosting.on('ask', (peer) => this.#say(this.#tools.t('host.asks', {who: this.#tools.nameOf(peer)}), true)),
      );
      for (const peer of call.peers) this.#off.push(peer.on('name', again), peer.on('media', again), peer.on('returned', again));
    }
    this.#update();
  }

  /** The call is over. */
  leave() {
    for (const off of this.#off.splice(0)) off();
    this.#call = null;
    this.#told.clear();
    this.#tools.unnotify('door');
    this.open(false);
    this.#button.hidden = this.#bar.hidden = true;
    this.#rows.clear();
    this.#door.replaceChildren();
    this.#people.replaceChildren();
  }

  /** @param {boolean} open */
  open(open) {
    if (this.#panel.hidden !== open) return;
    const had = this.#panel.contains(document.activeElement);
    if (open && !this.#tools.$('#chat').hidden) this.#tools.$('#chat-close').click();
    this.#panel.hidden = !open;
    this.#button.setAttribute('aria-expanded', String(open));
    this.#update();
    if (open) this.#heading.focus();
    else if (had) this.#button.focus();
  }

  /** @param {string} text @param {boolean} [seen] also for those who look */
  #say(text, seen = false) {
    if (seen) this.#tools.toast(text);
    else this.#tools.$('#said').textContent = text;
    this.#tools.blip('knock');
  }

  #update() {
    const call = this.#call;
    if (!call) return;
    const {t, nameOf, notify, unnotify} = this.#tools, {hosting} = call;
    const focused = document.activeElement, inPanel = this.#panel.contains(focused), inBar = this.#bar.contains(focused);
    this.#button.hidden = !hosting.mine;
    if (!hosting.mine) {
      this.#bar.hidden = true;
      return this.open(false);
    }
    const waiting = [...hosting.knocks.values()];
    for (const knock of waiting) {
      if (this.#told.has(knock.peer)) continue;
      this.#told.add(knock.peer);
      this.#say(t('host.knocks', {who: this.#nameOf(knock)}));
      notify('door', t('host.knocks', {who: this.#nameOf(knock)}));
    }
    if (!waiting.length) unnotify('door');
    this.#keep(this.#door, waiting.map((knock) => [knock.peer, () => this.#knock(knock)]));
    this.#keep(this.#people, [...call.peers].map((peer) => {
      const muted = hosting.muted.has(peer.id), host = hosting.hosts.has(peer.id);
      return [`${peer.id} ${nameOf(peer)} ${muted} ${host}`, () => this.#person(peer, muted, host)];
    }));
    this.#doorAll.hidden = waiting.length < 2;
    this.#lock.checked = hosting.locked;
    const badge = /** @type {HTMLElement} */ (this.#button.querySelector('.badge'));
    badge.hidden = !waiting.length;
    badge.textContent = String(waiting.length);
    this.#button.setAttribute('aria-label', waiting.length ? t('host.waits', {count: waiting.length}) : t('host.open'));
    const [first] = waiting;
    this.#bar.hidden = !first || !this.#panel.hidden;
    if (first) {
      this.#barText.textContent = t('host.knocks', {who: this.#nameOf(first)});
      if (first.again) this.#barText.append(' ', this.#tools.el('small', {}, t('host.again')));
    }
    // What had the focus is gone: it goes to what is nearest, not to the beginning of the page.
    const kept = this.#panel.contains(document.activeElement) && document.activeElement?.getClientRects().length;
    if (inPanel && !kept && !this.#panel.hidden) (this.#door.querySelector('button') ?? this.#heading).focus();
    if (inBar && this.#bar.hidden) this.#button.focus();
  }

  /** Makes the rows of a list what they should be, and leaves those that are. @param {HTMLElement} list @param {[string, () => HTMLElement][]} wanted */
  #keep(list, wanted) {
    const rows = new Map([...list.children].map((row) => [/** @type {HTMLElement} */ (row).dataset.row ?? '', row]));
    const next = wanted.map(([key, make]) => {
      const row = rows.get(key) ?? make();
      /** @type {HTMLElement} */ (row).dataset.row = key;
      return row;
    });
    for (const row of rows.values()) if (!next.includes(row)) row.remove();
    next.forEach((row, i) => { if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null); });
    /** @type {HTMLElement} */ (list.previousElementSibling).hidden = next.length > 0;
    list.hidden = next.length === 0;
  }

  /** @param {Knock} knock */
  #nameOf({name, user}) {
    const {nameOf, t} = this.#tools;
    return nameOf({name: name || user || t('person.somebody')}); // with a number, where somebody in the call can be taken for them
  }

  /** @param {Knock} knock */
  #knock(knock) {
    const {el, t} = this.#tools, id = `knock-${knock.peer}`;
    const admit = this.#act('secondary', t('host.admit'), () => this.#hosting.admit(knock.peer));
    const decline = this.#act('quiet', t('host.decline'), () => this.#hosting.decline(knock.peer));
    for (const button of [admit, decline]) button.setAttribute('aria-describedby', id);
    return el('li', {'data-knock': knock.peer}, el('b', {id, class: 'name'}, this.#nameOf(knock)), ...(knock.again ? [el('small', {}, t('host.again'))] : []),
      el('div', {class: 'row'}, admit, decline));
  }

  /** @param {Peer} peer @param {boolean} muted @param {boolean} host */
  #person(peer, muted, host) {
    const {el, t, nameOf} = this.#tools, {id} = peer, label = `person-${id}`, who = nameOf(peer);
    const buttons = [
      this.#act('quiet', t(muted ? 'host.unmute' : 'host.mute'), () => this.#hosting.mute(id, !muted)),
      ...(host ? [] : [this.#twice('quiet', t('host.hand'), () => this.#hosting.hand(id))]),
      this.#twice('quiet', t('host.remove'), () => this.#hosting.remove(id)),
    ];
    for (const button of buttons) button.setAttribute('aria-describedby', label);
    return el('li', {'data-person': id}, el('b', {id: label, class: 'name'}, host ? t('host.is', {who}) : who), el('div', {class: 'row'}, ...buttons));
  }
}
