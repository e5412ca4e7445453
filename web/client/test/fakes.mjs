// A clock that moves only when told, and a server side for sockets: no test here waits for real time.
export class FakeClock {
  time = 0;
  timers = new Map();
  next = 1;
  setTimeout = (run, milliseconds) => {
    this.timers.set(this.next, {at: this.time + Math.max(0, milliseconds), run});
    return this.next++;
  };
  clearTimeout = (id) => { this.timers.delete(id); };
  now = () => this.time;
  random = () => 0.5;
  advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = due[1].at;
      due[1].run();
    }
    this.time = end;
  }
}

/** A WebSocket class whose instances are in `sockets`; the test plays the server. */
export function fakeSockets() {
  const sockets = [];
  class FakeSocket {
    constructor(url, protocol) {
      Object.assign(this, {url, protocol, sent: [], closed: false});
      sockets.push(this);
    }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.closed = true; }
    // what the server does
    open() { this.onopen?.(); }
    say(message) { this.onmessage?.({data: JSON.stringify(message)}); }
    cut(code = 1006, reason = '') { this.onclose?.({code, reason}); }
    last(type) { return this.sent.filter((message) => message.type === type).at(-1); }
    all(type) { return this.sent.filter((message) => message.type === type); }
  }
  return {FakeSocket, sockets};
}

export const welcome = (more = {}) => ({
  type: 'welcome', session: 's_me', user: 'vasya', resume: {token: 'secret', window: 60000}, resumed: false, ack: 0,
  heartbeat: {interval: 15000, call: 1000, timeout: 4000}, config: {iceServers: [{urls: 'stun:x'}]}, ...more,
});
