/**
 * Every time that the client waits, in one place: milliseconds, each with its reason. What the server decides (heartbeat,
 * waits of its errors and restarts) comes with its messages.
 */

/** The socket to the server (session/). */
export const sessionTimes = {
  /** What has come is acknowledged after so long at the latest (protocol.md, "Numbers, acknowledgement, resume"). */
  acknowledge: 500,
  /** The first attempts of somebody in a call are given up between these: one over a dead path says nothing for minutes. */
  quickAttempt: 1200, quickAttemptMost: 4000,
  /** Other attempts have so long, and each twice as long as the one before: slow resolvers, proxies. */
  attempt: 8000, attemptMost: 30_000,
  /** In a call a silent socket is given up after so long at the earliest: coming back costs three round trips and loses nothing. */
  silent: 1500,
  /** On a narrow line it is looked at so often, and given up after so long; not for so long after something has happened to the network. */
  narrow: 3000, narrowSilent: 8000, urgent: 10_000,
  /** For so long after a socket has gone silent the next is looked at so often, alone too: with `silent` a freeze is seen within 5 s. */
  wary: 3000, waryFor: 600_000,
  /** A socket that has carried about as much as lets others freeze is looked at so often, and given up after so long: in 5 s too. */
  doubtful: 2500, doubtfulSilent: 2300,
  /** From a cut to the next attempt: at once in a call, else spread over so long. */
  spread: 200,
  /** Between attempts: the first, doubled each time up to the most; a call shows, so it waits less, for its first 30. */
  retry: 250, retryMost: 15_000, retrySoon: 50, retryInCall: 500, retryInLongCall: 5000,
  /** Two tries to renew an access token are at least so far apart. */
  renewToken: 5000,
  /** A room that could not be joined again is tried again after so long, where the server does not say. */
  rejoin: 1000,
};

/** Questions to the server beside the socket (base/http.js). */
export const httpTimes = {
  /** An answer that has not come by then comes no more: slow resolvers and proxies need 5 s. */
  answer: 10_000,
};

/** The call as a whole (call/). */
export const callTimes = {
  /** People are measured, and what browsers do not say is looked for, so often. */
  tick: 1000,
  /** The first decoded picture is looked for so often, and for so long. */
  firstFrameLook: 50, firstFrameWithin: 15_000,
  /** A browser that has not said by then how a connection is never will: Firefox does not where it is closed meanwhile. */
  statistics: 2000,
  /** The click waits so long for the browser's answer about the camera, and then goes on without one. */
  question: 30_000,
  /** Who has lost the session and carries no media for so long has left. */
  orphan: 15_000,
  /** In a room with a host, who is not in it by the server's word for so long is not kept: nobody could put them out. */
  stray: 30_000,
  /** A muted person's wish to speak is told so often. */
  ask: 5000,
  /** In the long run a person's offers are read so often, and told so often that we know, or do not know, them again. */
  offers: 1000, returns: 250,
  /** Somebody of whom our return is not understood is a client of another kind, and gets an offer. */
  rejoin: 4000,
  /** A connection that was made ahead, and that nobody has come for, holds its relays on the server for so long. */
  unused: 30_000,
  /** A connection for the next one is not made while somebody has been connecting for less than this: it would slow that. */
  connecting: 5000,
};

/** Candidates on their way (call/path/). */
export const gatherTimes = {
  /** Those found within this time share a message. */
  together: 5,
  /** Gathering ahead of the click is over when nothing has come for so long after a relay's candidate, or after `most`. */
  quiet: 500, most: 3000,
  /** That no relay answers over UDP is believed after so long at the earliest: what was lost is sent again. */
  sure: 1000,
};

/** Offers and answers (call/path/negotiation.js). */
export const negotiationTimes = {
  /** An offer that nobody has answered for so long is said again where it is the first, else taken back: slow lines need
   *  two round trips to the server, and a phone a second to answer. */
  answer: 6000,
  /** What a browser did not take is offered again after so long, doubled each time up to the most. */
  again: 1000, againMost: 30_000,
};

/** Better paths than the one in use (call/path/improving.js). */
export const improvingTimes = {
  /** A path that is still relayed so long after it came into use is looked at again, for candidates that came late. */
  late: 2000,
  /** Where a browser takes no such candidates, a direct path is looked for by itself so long after a relayed one came into use, and
   *  right after that one over a single relay where there are two. */
  straight: [1500, 20_000, 60_000],
  /** A direct path that has lasted so long is one: before, it is not looked for again as if it were the first. */
  lasts: 60_000,
  /** Over TCP or TLS, or after a direct path was lost, UDP is tried so often: found, it is in use within 10 s. Twice as
   *  seldom each time that it has led to nothing. */
  ask: 6000, askMost: 300_000,
  /** A server that has not answered within this is not reached over UDP. */
  probe: 1500,
  /** A connection that was healed, and took more relays for that than it needs, gives them back after so long. */
  settled: 10_000,
};

/** The line that a path leads over, as long as that is TCP or TLS (call/path/line.js). */
export const lineTimes = {
  /** It is looked at so often. A packet is timed so often, and less often where each takes from the sound. */
  look: 100, ping: 250, pingNarrow: 500, pingSound: 1000,
  /** One that is on its way for so much longer than the best tells that something waits. */
  late: 200,
  /** For so long what waits may be the other way's doing. */
  silent: 1000,
  /** A message that is answered so much later than at the best of times may stand on a line that has become narrow: no pictures until it is answered. */
  held: 300,
  /** For so long at the most: then it is known whether the line takes less, or it is longer by so much, or dead. */
  heldMost: 2000,
  /** Bytes are counted so often, and rates are of so long. */
  count: 400, rate: 1300,
  /** Packets of sound of whom another length has to be told stay long for so long after the line was narrow. */
  packs: 10_000,
  /** What waited with pictures in it has gone after so long without them. */
  alone: 1500,
  /** The other side's wish to get less holds for so long, unless it is said again. */
  asked: 3000,
  /** In the long run the other side's pings are answered so often: it sends one each `ping`. */
  answer: 100,
  /** So long a page that was late is excused for it. */
  busy: 1500,
  /** So long after a path came into use what stands on it from the beginning is looked for. */
  first: 15_000,
  /** By so much two clocks may seem to have moved against each other before one was set. */
  jump: 50,
};

/** Sound that is sent twice (call/path/sound.js). */
export const soundTimes = {
  /** An offer that has changed nothing is followed by another after so long, later each time, and after so long at the most. */
  again: 5000, againMost: 120_000,
};

/** Paths that break (call/path/). */
export const healingTimes = {
  /** A path that has carried nothing for so long is dead: in a call something comes at least every second. */
  silence: 2500,
  /** On a narrow line over TCP or TLS after so long: what waits there looks like silence, and each new connection would take of it. */
  slow: 8000,
  /** The path is looked at so often while something may be wrong with it, and for so long after a reason to. */
  look: 100, lookFor: 4000,
  /** While we look, it is dead after so long: sound alone comes fifty times a second. It lives when something came so lately. */
  dead: 600, alive: 300,
  /** So long a restart of ICE may take before something else is tried; each takes longer, for networks that lose packets. */
  restart: 3000, restartMost: 15_000,
  /** Where the call goes on through the last door and its line is narrow: each look is worth a second of all that the line takes. */
  narrow: 60_000,
  /** However urgent, two are not begun within this: both sides may have begun one. */
  pause: 500,
  /** The polite side gives the other so long, that mostly one of the two offers. */
  yield: 300,
  /** A change of path so long after a restart is its result. */
  result: 15_000,
  /** A new connection that is not connected by then is given up. */
  replacement: 5000,
  /** Who looks for a direct path and for nothing else for the first time gives it up sooner, and looks for one over a single relay. */
  direct: 2000,
  /** In the long run one person costs a new connection so often at the most, whatever the other side asks for or refuses. */
  another: 2000,
  /** Who has not been connected for so long from the beginning is tried in another way; lossy lines need 3 s, slow proxies 5. */
  connect: 8000,
  /** Where browsers have refused each other again and again on what was a connection once, one more is tried so often. */
  inVain: 60_000,
  /** A browser that has not set a sender's parameters by then is not waited for. */
  parameters: 2000,
  /** A page whose clock has stood still for so long was asleep. */
  asleep: 5000,
  /** So long a connected one may keep us waiting for its first picture, which is looked for so often. */
  picture: 1000, pictureLook: 30,
  /** The one before it is kept, silent, for the other side to go over too. */
  farewell: 2000,
};

/** Paths that have gone silent, and may be dead (call/path/standstill.js). */
export const standstillTimes = {
  /** What comes is looked at so often; sound comes fifty times a second, and is played some 100 ms later. */
  look: 50, still: 300,
  /** It has come evenly for so long, so that more is to be expected; it does again after so long. */
  even: 1000, alive: 500,
  /** A page that was late by so much was asleep. And what comes and is not played is asked for so often. */
  asleep: 1000, asked: 3,
};

/** The way through the server's WebSocket (call/path/lastdoor.js). */
export const lastDoorTimes = {
  /** It is tried after so long without a path of WebRTC, and looked after so often. */
  patience: 1500, look: 1000,
  /** So much longer where our line is thought to be narrow: there WebRTC needs it to say what it has to. */
  longer: 2500,
  /** What does it is loaded after so long: what takes longer than most needs it, mostly. */
  fetch: 750,
  /** Who was connected does not wait, as the loss is known; but only once in so long: a path that comes and goes heals by itself. */
  hurry: 30_000,
  /** Where a path stands still it is made ready, so often in the long run and so many times at once; used after so long. */
  ahead: 30_000, aheadAtOnce: 3, sure: 500,
  /** Where that is over TCP or TLS so late: for less than that a line stands still that has become narrow. */
  sureWaiting: 850,
  /** It is begun because the other side asks so often in the long run and so many times at once. */
  answers: 2000, answersAtOnce: 4,
  /** What came to nothing is tried again after so long, later each time. */
  again: 4000, againMost: 30_000,
  /** Who does not answer within this is tried again. */
  open: 8000,
  /** It stays so long beside a path of WebRTC, silent. */
  keep: 5000,
};

/** The string by which people compare their keys (call/sas.js). */
export const sasTimes = {
  /** Who does not answer within this does not know of it. */
  answer: 6000,
  /** Beyond a few, strings are made so often. */
  again: 60_000,
};

/** The network check (check/). */
export const checkTimes = {
  /** A TLS relay behind a slow proxy needs more than 10 s. */
  url: 15_000,
  /** The first candidate of a connection that only looks. */
  candidate: 5000,
  /** Two connections of this browser with each other: for the kind of NAT, and through the relay and back. */
  mapping: 8000, loop: 20_000,
  /** A ping is sent so often, about as sound is, and the last are waited for so long. */
  ping: 20, lastPings: 1000,
};
