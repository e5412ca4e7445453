// Made from the JSDoc types by `npm run types`: do not edit.

// ---- base/candidate.js
/**
 * What a candidate says, read from its own line (RFC 8839, 5.1): Firefox before 126 has no members for it.
 * @param {RTCIceCandidateInit} candidate
 * @returns {{type: string, address: string, port: number, priority: number}} `type`: host, srflx, prflx, relay, or '' for the end
 *   of candidates; `address` may be a name of mDNS
 */
declare function partsOf({ candidate }: RTCIceCandidateInit): {
    type: string;
    address: string;
    port: number;
    priority: number;
};
declare function isOverUDP(priority: number): boolean;

// ---- base/clock.js
/** @type {Clock} */
declare const realClock: Clock;
export type Clock = {
    setTimeout: (run: () => void, milliseconds: number) => any;
    clearTimeout: (timer: any) => void;
    /**
     * milliseconds
     */
    now: () => number;
    /**
     * 0 ≤ x < 1
     */
    random: () => number;
};

// ---- base/codes.js
/** @param {unknown} error @returns {HubErrorCode | undefined} */
declare function codeOf(error: unknown): HubErrorCode | undefined;
/**
 * The close codes of turnhub.v1 (signaling/protocol.md): whether and how to come back.
 * `back`: "resume" the session, "fresh" session, or "no". `say` is for logs and developers: pages have words of their own
 * for the code.
 * @type {Record<number, {name: string, back: 'resume' | 'fresh' | 'no', after: number, say: string}>}
 */
export declare const closeCodes: Record<number, {
    name: string;
    back: "resume" | "fresh" | "no";
    after: number;
    say: string;
}>;
/** Why a request to the hub failed: `code` for programs and pages, which have their own words for it; `message` for logs and developers. */
export declare class HubError extends Error {
    /**
     * @param {HubErrorCode} code
     * @param {string} message
     * @param {boolean} [retry]
     * @param {number} [after] milliseconds
     */
    constructor(code: HubErrorCode, message: string, retry?: boolean, after?: number);
    /** @type {HubErrorCode} */
    code: HubErrorCode;
    /** whether the same request may succeed later */
    retry: boolean;
    /** milliseconds until then, where the server said so */
    after: number;
}
/**
 * The error codes that the server answers requests with, and the client's own: `session-lost` (the server has forgotten
 * the session before it answered), `closed` (this hub was closed), `queue-full` (too much waits to be sent), `call-full`
 * (the call has its people), `no-token` (the `token` function gave no access token; it is asked again),
 * `no-websocket` (the server answers, but a proxy lets no WebSocket through; it is tried again) and `no-hub` (what
 * answers at the address given is no turnhub server, or none for pages of this origin; or no address is known). In a room
 * with a host: `declined`, `removed` and `ended` by the host, and `door-full` (too many wait).
 */
export type HubErrorCode = "bad-message" | "unknown-type" | "bad-name" | "user-taken" | "not-in-room" | "room-full" | "too-many" | "no-such-call" | "forbidden" | "rate" | "knocking" | "locked" | "declined" | "removed" | "ended" | "door-full" | "session-lost" | "closed" | "queue-full" | "call-full" | "no-token" | "no-websocket" | "no-hub";

// ---- base/downlink.js
/**
 * Has one file come past the browser's cache, where all of the page's own were in it: at 130 kbit/s that takes a second.
 * @param {typeof fetch} [get] @param {URL | null} [from]
 */
declare function sampleDownlink(get?: typeof fetch, from?: URL | null): Promise<void>;
/**
 * What this page's own files show of the line to the server: how fast they came, the fastest run of them. What the browser had already
 * shows nothing: then it is `sampleDownlink` that does.
 * @param {number} [since] performance.now() of the oldest that says something
 * @param {any[]} [entries] of the browser's resource timing
 * @param {string} [origin] of the server: others may be slow by themselves
 * @returns {number} bits per second; Infinity: it is not known
 */
declare function downlink(since?: number, entries?: any[], origin?: string): number;
/** One of just that size that no server makes smaller on its way. */
declare const sample: "static/maskable-512.png";

// ---- base/emitter.js
/**
 * A small typed event emitter. Listeners are called in the order in which they were added; an error in one
 * is reported to the console and does not keep the others from being called.
 * @template {Record<string, any>} Events the type of each event's argument, by the event's name
 */
export declare class Emitter<Events extends Record<string, any>> {
    /**
     * Calls `listener` at each event of this name.
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {(argument: Events[Name]) => void} listener
     * @returns {() => void} ends it
     */
    on<Name extends keyof Events & string>(name: Name, listener: (argument: Events[Name]) => void): () => void;
    /**
     * Calls `listener` at the next event of this name, once.
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {(argument: Events[Name]) => void} listener
     * @returns {() => void} ends it
     */
    once<Name extends keyof Events & string>(name: Name, listener: (argument: Events[Name]) => void): () => void;
    /**
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {Events[Name]} argument
     */
    emit<Name extends keyof Events & string>(name: Name, argument: Events[Name]): void;
    #private;
}

// ---- base/home.js
/**
 * The server that a module came from. A page of another origin that imports `https://calls.example.org/client/turnhub.js`
 * means that server, not its own. Copies (npm, bundles, files) come from no turnhub and have to be told.
 * @param {string | undefined} module its `import.meta.url`; bundlers leave nothing of it, or where the file was at build time
 * @returns {URL | null} null: it came from no server
 */
declare function serverOf(module: string | undefined): URL | null;
/**
 * A WebSocket URL of the server: `given`, which may be relative to the server that this module came from.
 * @param {string} given @param {string} option how the program says it, for the error
 * @param {URL | null} [from]
 * @returns {URL} throws a HubError `no-hub` where nobody can know it
 */
declare function socketURL(given: string, option: string, from?: URL | null): URL;
/**
 * Another path of the server whose socket this is, over HTTP. The token in its query stays.
 * @param {URL} socket @param {string} path beside the socket's own
 */
declare function beside(socket: URL, path: string): URL;
/**
 * Why a socket could not be opened, as far as a page can find out: browsers do not tell, but `/config` beside the
 * socket answers the same.
 * @param {URL} socket
 * @returns {Promise<{is: 'refused' | 'origin' | 'no-hub' | 'silent' | 'no-websocket' | 'unknown', message: string, why?: Refusal}>} silent: nobody
 *   answers, or somebody who keeps it from pages of other origins; no-websocket: it is a turnhub that would take a WebSocket, and got none;
 *   unknown: it is a turnhub, or a proxy that does not reach it
 */
declare function whyRefused(socket: URL): Promise<{
    is: "refused" | "origin" | "no-hub" | "silent" | "no-websocket" | "unknown";
    message: string;
    why?: Refusal;
}>;
/** The server that this module came from; null: none. */
declare const home: URL | null;
export type Refusal = (typeof refusals)[number];
/** What an access token may lack: `missing` where there is none. */
declare const refusals: readonly ["missing", "expired", "revoked", "invalid"];

// ---- base/http.js
/**
 * Asks a server for JSON. What has not come in time is given up: on a connection that was kept open and has frozen since,
 * a browser waits for minutes.
 * @param {URL} url @param {RequestInit} [options] @param {number} [within] milliseconds @param {typeof fetch} [get]
 * @returns {Promise<{answer: Response, said: any} | null>} `said` is null where the body is no JSON; null: nobody answered
 */
declare function ask(url: URL, options?: RequestInit, within?: number, get?: typeof fetch): Promise<{
    answer: Response;
    said: any;
} | null>;

// ---- base/quota.js
/**
 * So many at once, and then one each so often: what others may have us do, however often they ask. The time is in
 * milliseconds.
 */
declare class Quota {
    /** @param {import('./clock.js').Clock} clock @param {number} atOnce @param {number} every */
    constructor(clock: Clock, atOnce: number, every: number);
    clock: Clock;
    atOnce: number;
    every: number;
    /** @returns {boolean} false: there were too many lately */
    take(): boolean;
    #private;
}

// ---- base/times.js
export namespace sessionTimes {
    let acknowledge: number;
    let quickAttempt: number;
    let quickAttemptMost: number;
    let attempt: number;
    let attemptMost: number;
    let silent: number;
    let narrow: number;
    let narrowSilent: number;
    let urgent: number;
    let wary: number;
    let waryFor: number;
    let doubtful: number;
    let doubtfulSilent: number;
    let spread: number;
    let retry: number;
    let retryMost: number;
    let retrySoon: number;
    let retryInCall: number;
    let retryInLongCall: number;
    let renewToken: number;
    let rejoin: number;
}
export namespace httpTimes {
    let answer: number;
}
export namespace callTimes {
    export let tick: number;
    export let firstFrameLook: number;
    export let firstFrameWithin: number;
    export let statistics: number;
    export let question: number;
    export let orphan: number;
    export let stray: number;
    export let ask: number;
    export let offers: number;
    export let returns: number;
    let rejoin_1: number;
    export { rejoin_1 as rejoin };
    export let unused: number;
    export let connecting: number;
}
export namespace gatherTimes {
    let together: number;
    let quiet: number;
    let most: number;
    let sure: number;
}
export namespace negotiationTimes {
    let answer_1: number;
    export { answer_1 as answer };
    export let again: number;
    export let againMost: number;
}
export namespace improvingTimes {
    export let late: number;
    export let straight: number[];
    export let lasts: number;
    let ask_1: number;
    export { ask_1 as ask };
    export let askMost: number;
    export let probe: number;
    export let settled: number;
}
export namespace lineTimes {
    export let look: number;
    export let ping: number;
    export let pingNarrow: number;
    export let pingSound: number;
    let late_1: number;
    export { late_1 as late };
    let silent_1: number;
    export { silent_1 as silent };
    export let held: number;
    export let heldMost: number;
    export let count: number;
    export let rate: number;
    export let packs: number;
    export let alone: number;
    export let asked: number;
    let answer_2: number;
    export { answer_2 as answer };
    export let busy: number;
    export let first: number;
    export let jump: number;
}
export namespace soundTimes {
    let again_1: number;
    export { again_1 as again };
    let againMost_1: number;
    export { againMost_1 as againMost };
}
export namespace healingTimes {
    export let silence: number;
    export let slow: number;
    let look_1: number;
    export { look_1 as look };
    export let lookFor: number;
    export let dead: number;
    export let alive: number;
    export let restart: number;
    export let restartMost: number;
    let narrow_1: number;
    export { narrow_1 as narrow };
    export let pause: number;
    let _yield: number;
    export { _yield as yield };
    export let result: number;
    export let replacement: number;
    export let direct: number;
    export let another: number;
    export let connect: number;
    export let inVain: number;
    export let parameters: number;
    export let asleep: number;
    export let picture: number;
    export let pictureLook: number;
    export let farewell: number;
}
export namespace standstillTimes {
    let look_2: number;
    export { look_2 as look };
    export let still: number;
    export let even: number;
    let alive_1: number;
    export { alive_1 as alive };
    let asleep_1: number;
    export { asleep_1 as asleep };
    let asked_1: number;
    export { asked_1 as asked };
}
export namespace lastDoorTimes {
    export let patience: number;
    let look_3: number;
    export { look_3 as look };
    export let longer: number;
    export let fetch: number;
    export let hurry: number;
    export let ahead: number;
    export let aheadAtOnce: number;
    let sure_1: number;
    export { sure_1 as sure };
    export let sureWaiting: number;
    export let answers: number;
    export let answersAtOnce: number;
    let again_2: number;
    export { again_2 as again };
    let againMost_2: number;
    export { againMost_2 as againMost };
    export let open: number;
    export let keep: number;
}
export namespace sasTimes {
    let answer_3: number;
    export { answer_3 as answer };
    let again_3: number;
    export { again_3 as again };
}
export namespace checkTimes {
    export let url: number;
    export let candidate: number;
    export let mapping: number;
    export let loop: number;
    let ping_1: number;
    export { ping_1 as ping };
    export let lastPings: number;
}

// ---- call/ahead.js
/**
 * A connection whose offer exists and whose candidates are gathered before anybody to offer it to is known: made
 * while the visitor looks at the lobby, it saves the time of gathering after the click.
 */
declare class Prepared {
    /** @param {RTCPeerConnection} pc a new one @param {LocalMedia} media @param {Promise<void>} [gathered] settled when most of its candidates are there */
    constructor(pc: RTCPeerConnection, media: LocalMedia, gathered?: Promise<void>);
    taken: boolean;
    pc: RTCPeerConnection;
    channel: RTCDataChannel;
    /** Settled when the offer exists; its candidates come as they are found. */
    ready: Promise<any>;
    /** Settled when what is likely to come has come. */
    gathered: Promise<any>;
    /** The offer with what was gathered so far; what comes later waits for `flow`. */
    describe(): {
        type: RTCSdpType;
        sdp: string;
    };
    /** @param {(candidate: RTCIceCandidate) => void} sink gets the candidates found since `take` */
    flow(sink: (candidate: RTCIceCandidate) => void): void;
    close(): void;
    #private;
}
/**
 * The connections of a call that are made ahead of their need: the offer for whoever is there already, and one with
 * candidates gathered to answer whoever comes.
 */
declare class Ahead {
    /**
     * @param {Connections} connections @param {LocalMedia} media
     * @param {() => boolean} [wanted] whether somebody has the offer and may answer it
     */
    constructor(connections: Connections, media: LocalMedia, wanted?: () => boolean);
    connections: Connections;
    media: LocalMedia;
    wanted: () => boolean;
    /** Whether there is an offer. */
    get prepared(): boolean;
    /** Whether there is one that has been sent to nobody yet. */
    get waiting(): boolean;
    /** Whether this one still is to be sent. @param {Prepared} prepared */
    isWaiting(prepared: Prepared): boolean;
    /** Whether there is one that has been sent. */
    get offered(): boolean;
    /**
     * Makes the offer, in place of one that nobody has got, once the browser's question for the camera is answered.
     * @param {number} [most] milliseconds to wait for that @returns {Promise<Prepared>} settled when it exists
     */
    prepare(most?: number): Promise<Prepared>;
    /** Gives the offer up, unless it has been sent. */
    release(): void;
    /** The offer to send; undefined where there is none, or none that is still good. */
    offer(): {
        type: RTCSdpType;
        sdp: string;
    } | undefined;
    /** Hands over the connection of the offer. */
    take(): Prepared | null;
    /** Closes the connection of the offer, sent or not. */
    drop(): void;
    /** For whoever comes next: a connection that gathers now. */
    makeSpare(): void;
    /** Somebody comes, or will soon: another spare connection is worth its relays. */
    expect(): void;
    /** A connection that answers, with its candidates gathered where there was time. */
    connection(): RTCPeerConnection;
    /** Closes the spare connection. @returns {boolean} whether there was one */
    dropSpare(): boolean;
    /** Fresh credentials or servers. @returns {boolean} false: the offer has to be made anew, its servers are others */
    configure(): boolean;
    close(): void;
    #private;
}

// ---- call/call.js
/**
 * A call: everyone in a room, or the one who accepted. Media goes directly between the browsers, or through the
 * relay where it must.
 *
 *     const media = new LocalMedia();
 *     await media.open();
 *     const call = new Call(hub, {media});
 *     call.on('peer', (peer) => peer.on('stream', (stream) => { video.srcObject = stream; }));
 *     await call.prepare('blue-fox-42'); // in the lobby: gathers candidates before the click
 *     await call.join('blue-fox-42');  // or: await call.invite('petya')
 *
 * @extends {Emitter<CallEvents>}
 */
export declare class Call extends Emitter<CallEvents> {
    /** @param {Hub} hub @param {CallOptions} [options] */
    constructor(hub: Hub, options?: CallOptions);
    /** @type {CallPhase} */ phase: CallPhase;
    /** The room; empty in a call by name. */
    room: string;
    /** The call's id in a call by name. */
    id: string;
    /** @type {Set<Peer>} the others */
    peers: Set<Peer>;
    /** Identifies this end across sessions, so that a call outlives a restart of the server. */
    instance: `${string}-${string}-${string}-${string}-${string}`;
    /** This browser and its major version, told to the others: some have mistakes that the other side has to know of. */
    browser: string;
    /** The host of the room, where it has one, and what a host may do. */
    hosting: Hosting;
    hub: Hub;
    media: LocalMedia;
    limit: number;
    connections: Connections;
    thrift: Thrift;
    /** How many others there are. */
    get size(): number;
    get online(): boolean;
    get screens(): boolean;
    get recordings(): boolean;
    set recording(on: boolean);
    /**
     * Whether this page makes a recording of the call. The others are told, whoever comes later too. Of whom `peer.media.recordings`
     * does not say that they are told, nothing should be recorded.
     */
    get recording(): boolean;
    set hand(up: boolean);
    /** Whether this person raises a hand. The others are told, whoever comes later too: `peer.media.hand`. */
    get hand(): boolean;
    set quality(wish: Wish);
    /**
     * How much this person wants to receive and send: `automatic`, as much as the line takes; `saver`, little of it, in both
     * directions; `sound`, as `saver`, and the others send no pictures. Older programs at the other side send what they did.
     */
    get quality(): Wish;
    /** The configuration of this call's connections. @param {boolean} [all] with every relay, not with those alone that a call needs */
    configuration(all?: boolean): RTCConfiguration;
    /** A connection that answers, with its candidates gathered ahead where there was time. */
    connection(): RTCPeerConnection;
    /** @param {string} to @param {any} data */
    signal(to: string, data: any): void;
    /**
     * Gathers candidates and makes the first offer before the click, so that the first picture comes a few round trips
     * after it. With a room, who is there is connected with too, through the relay, without media and without either
     * learning the other's address: then it is two. Call it in the lobby; `release` gives it up again. One need not wait
     * for it: `join` goes ahead with what there is.
     * @param {string} [room] the one that will probably be joined
     */
    prepare(room?: string): Promise<void>;
    /** Gives up what `prepare` made: it holds relay ports on the server. */
    release(): void;
    /**
     * Joins a room and connects with everybody there. Where the room has a host, that one lets us in first (phase
     * `knocking`); `leave` gives it up.
     * @param {string} room
     * @param {object} [options]
     * @param {string} [options.host] the secret of `hostedRoom`: then we are the host
     */
    join(room: string, { host }?: {
        host?: string | undefined;
    }): Promise<void>;
    /**
     * Calls a user by name; all of that user's devices ring.
     * @param {string} user
     * @returns {Promise<void>} settled when somebody answers; rejected with the reason when not
     */
    invite(user: string): Promise<void>;
    /**
     * Answers a call.
     * @param {Invitation} invitation
     */
    accept(invitation: Invitation): Promise<void>;
    /** Hangs up. */
    leave(): void;
    /** Says something to everyone, over the data channels. @param {string} text at most 16,384 characters */
    chat(text: string): void;
    /** Reacts to what is said; who is not connected at the moment misses it. @param {import('./wishes.js').Reaction} reaction */
    react(reaction: Reaction): void;
    /** Offers a file to everyone. @param {File} file @returns {{peer: Peer, transfer: import('./data/transfer.js').Transfer}[]} */
    sendFile(file: File): {
        peer: Peer;
        transfer: Transfer;
    }[];
    /** @param {any} message */
    tell(message: any): void;
    #private;
}
export type HubCallState = CallState;

// ---- call/connections.js
/** The connections of a call: with which servers they are made. */
declare class Connections {
    /** @param {import('../session/hub.js').Hub} hub @param {import('./events.js').CallOptions} options */
    constructor(hub: Hub, options: CallOptions);
    relays: Relays;
    /** Settled when connections can be made. */
    ready: Promise<void>;
    /** How they are made. @param {boolean} [all] with every relay, not with those alone that a call needs */
    configuration(all?: boolean): RTCConfiguration;
    /**
     * A new one: with the relays that a call needs, with all of them, or `direct`: with none, so that it leads straight or nowhere.
     * @param {'few' | 'all' | 'direct'} [which] @param {RTCConfiguration} [more]
     */
    make(which?: "few" | "all" | "direct", more?: RTCConfiguration): RTCPeerConnection;
    /** Whether another would have no other servers that matter. @param {RTCPeerConnection} pc */
    fits(pc: RTCPeerConnection): boolean;
    /** Whether one holds more relays than it needs. @param {RTCPeerConnection} pc @param {boolean} relayed its path leads over one */
    tooMany(pc: RTCPeerConnection, relayed: boolean): boolean;
    /** Whether UDP gets out to the server; where other ways were ordered, nobody wants to know. */
    probe(): Promise<boolean>;
    #private;
}

// ---- call/data/bounds.js
/** @param {unknown} data @returns {data is string} */
declare function isText(data: unknown): data is string;
/** A name of a message or a file, as made by `randomUUID`. @param {unknown} key @returns {key is string} */
declare function isKey(key: unknown): key is string;
/**
 * The name of a file, as it may be shown and saved: without what controls a terminal or turns the writing around (so
 * that "exe.txt" is not shown for "txt.exe"), without folders, and of a length that file systems hold.
 * @param {string} name
 */
declare function nameWithin(name: string): string;
/** A media type, or nothing. @param {unknown} mime */
declare function mimeOf(mime: unknown): string;
/**
 * A file that is offered; null where it is none.
 * @param {any} message
 */
declare function fileOffer({ id, name, size, mime }: any): {
    id: string;
    name: string;
    size: number;
    mime: string;
} | null;
/**
 * A message that is timed; null where it is none. What it asks for can lower what is sent to whoever asks, and not below
 * what carries sound.
 * @param {any} message
 * @returns {Timed | null}
 */
declare function timed({ type, n, at, got, most, late, pad }: any): Timed | null;
/** How many pixels of a picture can be seen; null where it is no number. @param {unknown} pixels */
declare function pixelsShown(pixels: unknown): number | null;
/** @param {unknown} state @returns {state is import('../path/line.js').LineState} */
declare function isLineState(state: unknown): state is LineState;
/** The longest chat message that is shown, characters. */
declare const chatLimit: number;
declare const paths: string[];
/**
 * A message that is timed, see PathTiming; `pad`: bytes by which it is longer than others.
 */
export type Timed = {
    type: "ping" | "pong";
    n: number;
    at: number;
    got: number;
    most: number;
    late: number;
    pad: number;
};

// ---- call/data/channel.js
/**
 * Chat, files and state between two people: JSON on one negotiated data channel, and a channel of its own for each
 * file. What is said before it opens waits. Chat and what concerns files is acknowledged, so that it can be said again
 * when another connection has taken the place of the one that it went over.
 * @extends {Emitter<ChannelEvents>}
 */
declare class PeerChannel extends Emitter<ChannelEvents> {
    constructor();
    /** How files are sent. @type {import('./transfer.js').Pace | undefined} */ pace: Pace | undefined;
    /** Whether there is a data channel, open or not. */
    get used(): boolean;
    get open(): boolean;
    /** Takes a channel into use, in place of another. @param {RTCPeerConnection} pc @param {RTCDataChannel} channel of that connection */
    use(pc: RTCPeerConnection, channel: RTCDataChannel): void;
    /** Hears a channel, also before it is used: the other side may go over to it first. @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
    hear(pc: RTCPeerConnection, channel: RTCDataChannel): void;
    /** Keeps what comes until `release`. */
    hold(): void;
    release(): void;
    /** Sends a message, or keeps it until the channel is open. State is not kept: `open` is the time to tell it. @param {any} message */
    tell(message: any): void;
    /** Handles a message of the peer. @param {any} message @param {RTCPeerConnection | null} [pc] over which it came */
    receive(message: any, pc?: RTCPeerConnection | null): void;
    /**
     * Takes a channel that the peer has opened: a file that was accepted here, and comes over no other channel of this
     * connection. Whatever else is opened is closed, before anything that came on it is kept.
     * @param {RTCDataChannel} channel @param {RTCPeerConnection | null} [pc] that it was opened on
     */
    accept(channel: RTCDataChannel, pc?: RTCPeerConnection | null): void;
    /** Offers a file; it is sent when the other side takes it. @param {File} file */
    sendFile(file: File): Transfer;
    /** The peer is gone: what is on its way fails. */
    close(): void;
    #private;
}
/**
 * What somebody says is being sent: `beside` tells that the screen comes beside the camera and not in its place. And whether
 * there is a recording of the call made there, and whether the page there tells its visitor of one made here; whether the person
 * there raises a hand, and how much is wanted of us.
 */
export type Sending = {
    audio: boolean;
    video: boolean;
    screen: boolean;
    beside: boolean;
    recording: boolean;
    recordings: boolean;
    hand: boolean;
    wants: Wish;
};
export type ChannelEvents = {
    open: void;
    /**
     * `screens`: shows a screen beside the camera
     */
    media: Sending & {
        screens: boolean;
    };
    /**
     * how the other side sees its end of the path
     */
    path: Path;
    /**
     * a message that tells how long the way is
     */
    timed: Timed;
    /**
     * what of the other side's fits its line
     */
    line: LineState;
    /**
     * how many pixels of our picture can be seen there
     */
    shown: number;
    /**
     * the other side's line has room for sound that is sent twice
     */
    redundant: boolean;
    /**
     * what the other side says over one connection, for keys of another way
     */
    bond: {
        word: string;
        pc: RTCPeerConnection;
    };
    /**
     * what would else come over signaling
     */
    signal: any;
    chat: {
        text: string;
        at: number;
    };
    reaction: Reaction;
    /**
     * the peer offers a file
     */
    file: Transfer;
};

// ---- call/data/transfer.js
/** The largest file that is taken: it is held in memory until it is whole. */
declare const fileLimit: number;
/**
 * One file on its way, in either direction, over a data channel of its own.
 * @extends {Emitter<TransferEvents>}
 */
export declare class Transfer extends Emitter<TransferEvents> {
    /**
     * @param {{id: string, name: string, size: number, mime: string}} about
     * @param {'in' | 'out'} direction
     * @param {(answer: 'accept' | 'decline' | 'done') => void} [answer] tells the sender
     */
    constructor({ id, name, size, mime }: {
        id: string;
        name: string;
        size: number;
        mime: string;
    }, direction: "in" | "out", answer?: (answer: "accept" | "decline" | "done") => void);
    /** @type {'offered' | 'running' | 'done' | 'failed'} */
    state: "offered" | "running" | "done" | "failed";
    /** bytes so far */
    bytes: number;
    /** The connection that it goes over. @type {RTCPeerConnection | null} */
    over: RTCPeerConnection | null;
    /** How often the receiver has said from where it goes on, which it counts; -1: not yet. */
    turn: number;
    asked: Quota;
    id: string;
    name: string;
    size: number;
    mime: string;
    direction: "in" | "out";
    /** Takes an offered file. */
    accept(): void;
    /** Whether its bytes may come over a new channel now: it was taken here, and this connection has none for it yet. @param {RTCPeerConnection | null} pc */
    takes(pc: RTCPeerConnection | null): boolean;
    /** Whether everything has been sent. */
    get whole(): boolean;
    /** Refuses or stops it. @param {TransferFailure} [why] */
    cancel(why?: TransferFailure): void;
    /** @param {TransferFailure} why */
    fail(why: TransferFailure): void;
    /** Lets go of the channel, whose connection is replaced: the receiver says from where it goes on, over another. */
    pause(): void;
    /** The connection may be closed, which then says nothing of the file. */
    leave(): void;
    /** The receiver's end of the channel. @param {RTCDataChannel} channel */
    receive(channel: RTCDataChannel): void;
    /** The sender's end. @param {RTCDataChannel} channel @param {Blob} file @param {number} [from] bytes that the receiver has @param {Pace} [pace] */
    send(channel: RTCDataChannel, file: Blob, from?: number, pace?: Pace): Promise<void>;
    /** It is whole. @param {Blob | null} [result] what the receiver has */
    finish(result?: Blob | null): void;
    #private;
}
/**
 * Why a file did not come across: `canceled` or `declined` here; `refused`: the other side did not take it; `stopped`: the
 * other side did so in the middle; `left`: the other side is gone; `too-large`: over `fileLimit`; `wrong`: something else
 * than was announced came; `cut-off`: the connection ended before the file was whole; `unreadable`: the file cannot be read.
 */
export type TransferFailure = "canceled" | "declined" | "refused" | "stopped" | "left" | "too-large" | "wrong" | "cut-off" | "unreadable";
/**
 * How fast a file is sent.
 */
export type Pace = {
    /**
     * bits per second, asked before each piece; Infinity: as fast as the connection takes it
     */
    rate: () => number;
    sent: (bytes: number) => void;
};
export type TransferEvents = {
    /**
     * bytes so far
     */
    progress: number;
    /**
     * the file, or null for the sender
     */
    done: Blob | null;
    /**
     * why
     */
    failed: TransferFailure;
};

// ---- call/events.js
export type CallOptions = {
    /**
     * what is sent; default: nothing
     */
    media?: MediaStream | LocalMedia | undefined;
    /**
     * "relay": never directly
     */
    iceTransportPolicy?: RTCIceTransportPolicy | undefined;
    /**
     * only relays over this, for troubleshooting
     */
    transport?: Transport | undefined;
    /**
     * the page shows a screen beside the camera of who shares it (`peer.screen`); without it the screen comes in place of the camera
     */
    screens?: boolean | undefined;
    /**
     * the page tells its visitor who records the call (`peer.media.recording`): who does so may record this end
     */
    recordings?: boolean | undefined;
    /**
     * the most people, oneself included; at most 6
     */
    limit?: number | undefined;
};
export type CallPhase = "idle" | "joining" | "knocking" | "calling" | "ringing" | "active" | "ended";
export type CallEvents = {
    phase: CallPhase;
    /**
     * somebody is there
     */
    peer: Peer;
    "peer-left": Peer;
    chat: {
        peer: Peer;
        text: string;
        at: number;
    };
    reaction: {
        peer: Peer;
        reaction: Reaction;
    };
    file: {
        peer: Peer;
        transfer: Transfer;
    };
    /**
     * the call is over, by `leave` or for a reason of protocol.md
     */
    ended: Ended;
};
export type Ended = {
    /**
     * of protocol.md; by the host of the room: `removed`, `ended`, or in front of it `declined`, `locked`, `door-full`
     */
    reason: string;
    /**
     * what the other side wrote when it declined
     */
    detail: string;
    by: "self" | "peer" | "server" | "host";
    /**
     * why it could not begin
     */
    code?: HubErrorCode | undefined;
};

// ---- call/firstframe.js
/**
 * Looks for the first decoded picture of a connection, for some fifteen seconds after it is first asked.
 * @param {() => RTCPeerConnection | null} connection the one in use; null: nobody waits any more
 * @param {() => boolean} connected whether there can be any yet
 * @param {() => void} found
 */
declare function watchFirstFrame(connection: () => RTCPeerConnection | null, connected: () => boolean, found: () => void): void;

// ---- call/host.js
export type PeerEvents = {
    state: PeerState;
    /**
     * the peer's name is known, or another
     */
    name: string;
    /**
     * the peer has come back with another session, or we have
     */
    returned: void;
    /**
     * a track of the peer has come
     */
    stream: MediaStream;
    /**
     * a track of the screen that the peer shares beside the camera has come
     */
    screen: MediaStream;
    /**
     * another connection is in use, and `stream`, the same object, has its tracks
     */
    replaced: RTCPeerConnection;
    /**
     * what the peer says that it sends
     */
    media: Sending;
    /**
     * once a second
     */
    quality: Quality;
    /**
     * what of the call fits the line has changed
     */
    line: {
        ours: LineState;
        theirs: LineState;
    };
    /**
     * see Peer.authenticationString
     */
    "authentication-string": number[] | null;
    /**
     * what is wrong between the two programs has changed
     */
    trouble: Trouble | "";
    chat: {
        text: string;
        at: number;
    };
    /**
     * the peer reacts to what is said; at most one a second, after five at once
     */
    reaction: Reaction;
    /**
     * the peer offers a file
     */
    file: Transfer;
    /**
     * milliseconds from join or accept to the first decoded frame
     */
    firstFrame: number;
};
/**
 * What a peer needs of its call.
 */
export type PeerHost = {
    media: LocalMedia;
    instance: string;
    /**
     * how many others there are
     */
    size: number;
    /**
     * whether the hub is connected
     */
    online: boolean;
    /**
     * whether a screen is shown beside the camera
     */
    screens: boolean;
    /**
     * whether the visitor is told who records
     */
    recordings: boolean;
    /**
     * whether the call is recorded here
     */
    recording: boolean;
    /**
     * whether the visitor raises a hand
     */
    hand: boolean;
    /**
     * how much the visitor wants to receive, and sends
     */
    quality: Wish;
    connections: Connections;
    thrift: Thrift;
    /**
     * a connection that answers, with candidates gathered ahead
     */
    connection: () => RTCPeerConnection;
    signal: (to: string, data: any) => void;
    /**
     * this browser and its major version, as it is told to the others
     */
    browser: string;
    hub: Pick<Hub, "passesMedia" | "mediaSocket" | "mediaNear">;
};

// ---- call/hosting.js
/**
 * The host of a call's room, where it has one (protocol.md, "Rooms with a host"). The server lets in, puts out and locks;
 * whom it calls muted is silent here whatever comes, and of whom it does not know any more nothing is kept.
 *
 *     const {room, secret} = await hostedRoom('team');
 *     call.hosting.on('knock', ({peer, name}) => { if (confirm(`Let ${name} in?`)) call.hosting.admit(peer); });
 *     await call.join(room, {host: secret}); // the guests: call.join(room)
 *
 * @extends {Emitter<HostingEvents>}
 */
export declare class Hosting extends Emitter<HostingEvents> {
    /** @param {{call: Call, lost: (peer: Peer) => void}} host */
    constructor(host: {
        call: Call;
        lost: (peer: Peer) => void;
    });
    /** Whether the room has a host. */
    known: boolean;
    locked: boolean;
    /** Whether we are a host. */
    mine: boolean;
    /** Whether the host has muted us. */
    silenced: boolean;
    /** Sessions of the hosts. @type {Set<string>} */ hosts: Set<string>;
    /** Sessions of those who are muted. @type {Set<string>} */ muted: Set<string>;
    /** Who is at the door, by session, the longest first; told to hosts alone. @type {Map<string, Knock>} */ knocks: Map<string, Knock>;
    /** Lets somebody in. @param {string} peer session id @returns {Promise<void>} */
    admit(peer: string): Promise<void>;
    /** Turns somebody away for good. @param {string} peer session id @returns {Promise<void>} */
    decline(peer: string): Promise<void>;
    /** Lets everybody in who is at the door. @returns {Promise<void>} */
    admitAll(): Promise<void>;
    /** Turns everybody away who is at the door. @returns {Promise<void>} */
    declineAll(): Promise<void>;
    /** Puts somebody out, who is not let in again. @param {string} peer session id @returns {Promise<void>} */
    remove(peer: string): Promise<void>;
    /** Has nobody hear somebody, or has them hear again. @param {string} peer session id @param {boolean} [on] @returns {Promise<void>} */
    mute(peer: string, on?: boolean): Promise<void>;
    /** Lets nobody in any more, or people knock again. @param {boolean} [on] @returns {Promise<void>} */
    lock(on?: boolean): Promise<void>;
    /** Makes somebody the host in our place. @param {string} peer session id @returns {Promise<void>} */
    hand(peer: string): Promise<void>;
    /** Ends the call for everybody. @returns {Promise<void>} */
    end(): Promise<void>;
    /** Tells the hosts that we, who are muted, would like to speak. */
    ask(): void;
    /** @param {Hub} hub @returns {(() => void)[]} what ends it */
    hear(hub: Hub): (() => void)[];
    /** Silences whom the server calls muted. Who is about to come back with another session stays as they were. */
    apply(): void;
    /** Once a second: who is with us, but by the server's word not in the room, would be out of the host's reach. */
    beat(): void;
    /** Somebody asks the host for something. @param {string} from @param {unknown} what */
    asked(from: string, what: unknown): void;
    #private;
}
export type HostingEvents = {
    /**
     * somebody is host, muted, at the door, or is it no more; the room is locked or open
     */
    change: void;
    /**
     * somebody is at the door
     */
    knock: Knock;
    /**
     * session id of one who is not there any more
     */
    "knock-left": string;
    /**
     * the host has muted us, or lets us speak again
     */
    muted: boolean;
    /**
     * somebody who is muted would like to speak
     */
    ask: Peer;
};

// ---- call/lobby.js
/**
 * Connections with people of whom one has not joined yet (protocol.md, "The lobby"). They are complete but quiet: no
 * media, no message, and no address but that of the relay, so that the first picture needs no more than the news that
 * somebody has joined.
 */
declare class Lobby {
    /** @param {LobbyCall} call @param {Ahead} ahead */
    constructor(call: LobbyCall, ahead: Ahead);
    /** The room in whose lobby we are; empty: in none. */
    room: string;
    /** Goes into the lobby of a room with an offer. @param {string} room @param {Prepared} prepared */
    enter(room: string, prepared: Prepared): void;
    /** We are connected with somebody, or about to be. */
    get company(): boolean;
    /** Somebody has our offer. */
    get hosted(): boolean;
    /**
     * What the server says of our place in the lobby.
     * @param {string} room @param {string} [host] who has our offer
     * @returns {boolean} false: it has gone with our host, and another one is needed
     */
    at(room: string, host?: string): boolean;
    /** What goes with `join` where the connection exists; undefined: an offer has to. */
    first(): {
        takes?: number;
        instance: string;
        connection: string;
        candidates: RTCIceCandidateInit[] | undefined;
    } | undefined;
    /** Hands over the connection with a member, if there is one. @param {string} id @returns {Peer | null} */
    take(id: string): Peer | null;
    /** We have joined. A host who has not is our guest now. */
    joined(): void;
    /** We are out of the lobby. @param {boolean} [tell] the server does not know yet, and whoever is connected with us has to go */
    leave(tell?: boolean): void;
    /** Somebody is in the lobby of our room, or waits in it as we do. @param {string} id @param {any} first */
    receive(id: string, first: any): void;
    /** @param {string} id */
    gone(id: string): void;
    /** Somebody has joined: hands over the connection that `first` goes on with. @param {string} id @param {any} first @returns {Peer | null} */
    admit(id: string, first: any): Peer | null;
    /** The quiet connection that signaling data is for. @param {string} from @param {any} data @returns {Peer | undefined} */
    find(from: string, data: any): Peer | undefined;
    /** Fresh credentials. */
    configure(): void;
    /** The server has forgotten everybody. */
    forget(): void;
    close(): void;
    #private;
}
export type LobbyCall = PeerHost & {
    hub: Hub;
    connection: () => RTCPeerConnection;
};

// ---- call/media/altered.js
/** The camera's pictures as they are sent: made into others, or as they come. What is asked for later wins. */
declare class Altered {
    /** @param {() => void} changed there is another track to send */
    constructor(changed: () => void);
    /** The track to send for the camera's; null: none yet. @param {MediaStreamTrack | null} camera */
    of(camera: MediaStreamTrack | null): MediaStreamTrack | null;
    /** @param {Alter | null} alter @param {MediaStreamTrack | null} camera */
    by(alter: Alter | null, camera: MediaStreamTrack | null): Promise<boolean>;
    #private;
}
/**
 * Makes a camera's track into another one.
 */
export type Alter = (camera: MediaStreamTrack) => Promise<{
    track: MediaStreamTrack;
    close: () => void;
}>;

// ---- call/media/device.js
/**
 * The microphone or the camera: what the person wishes, and the track that follows the wish.
 *
 * Nothing but the person changes the wish, and nothing but this class holds a track of the device. The browser is
 * asked by one question at a time. What it answers, however late, is held against the wish of *that* moment: a track
 * that nobody wants any more is stopped as it arrives, and is never handed on.
 */
declare class Device {
    /**
     * @param {Kind} kind
     * @param {(loose: boolean) => Promise<MediaStreamTrack | undefined>} capture asks the browser; `loose`: for any device of any size
     * @param {(track: boolean) => void} changed something has changed; `track`: what is sent
     */
    constructor(kind: Kind, capture: (loose: boolean) => Promise<MediaStreamTrack | undefined>, changed: (track: boolean) => void);
    /** What the person wishes. */
    wished: boolean;
    /** @type {Problem | undefined} why there is no track although one is wished */
    problem: Problem | undefined;
    /** @type {MediaStreamTrack | null} */
    track: MediaStreamTrack | null;
    /** The id of the device to take; '' for any. */
    chosen: string;
    /** Which way the camera is to look: 'user', 'environment', or '' for either. */
    facing: string;
    kind: Kind;
    /** A track should be there now. */
    get wanted(): boolean;
    /** One is wanted, and the browser has been asked for it. */
    get starting(): boolean;
    /** It is there and on. */
    get on(): boolean;
    /** The first question to the browser while it is open: the visitor may be looking at it. @returns {Promise<void> | null} */
    get firstQuestion(): Promise<void> | null;
    get missing(): boolean;
    /**
     * The person's wish. Switching off works before this returns. A camera is released, so that its light goes out; a
     * microphone stays open, silenced, so that it is back at once.
     * @param {boolean} on
     */
    wish(on: boolean): void;
    /** The page wants this kind, or not. @param {boolean} opened */
    open(opened: boolean): void;
    /** Another device. @param {string} id @param {string} [facing] */
    choose(id: string, facing?: string): void;
    /** Asks the browser until what is there is what is wished, or cannot be had. @returns {Promise<void>} */
    settle(): Promise<void>;
    /**
     * Settles with the answer to a question that was asked for both kinds at once.
     * @param {Promise<MediaStreamTrack | undefined>} answer never rejected; undefined: each kind has to be asked for alone
     */
    settleWith(answer: Promise<MediaStreamTrack | undefined>): Promise<void>;
    /** @param {MediaStreamTrack} track */
    take(track: MediaStreamTrack): void;
    release(): void;
    close(): void;
    #private;
}

// ---- call/media/media.js
/**
 * The loudness of a stream's sound, 0 to 1, for a level meter.
 * @param {MediaStream} stream
 * @returns {{read: () => number, close: () => void}}
 */
export declare function levelOf(stream: MediaStream): {
    read: () => number;
    close: () => void;
};
/**
 * What this person sends: a microphone, a camera, and the screen. Tracks come and go; senders follow the `track`
 * event. Without a camera the call is audio only, without a microphone receive only, and `problems` says why.
 *
 * What was switched off is off: see Device.
 * @extends {Emitter<MediaEvents>}
 */
export declare class LocalMedia extends Emitter<MediaEvents> {
    /**
     * Media that the page got by itself.
     * @param {MediaStream} stream
     */
    static from(stream: MediaStream): LocalMedia;
    /** @param {MediaOptions} [options] */
    constructor(options?: MediaOptions);
    /** The microphone and the camera, for a preview; its tracks change. */
    stream: MediaStream;
    /** Wanted by the visitor: `false` is muted, or camera off. Setting it is `toggle`. @type {Record<Kind, boolean>} */
    enabled: Record<Kind, boolean>;
    /**
     * Opens the devices; a missing or refused one is not an error but a `problem`. What has been switched off before is
     * not opened.
     * @param {{audio?: boolean, video?: boolean}} [want]
     * @returns {Promise<Problem[]>}
     */
    open({ audio, video }?: {
        audio?: boolean;
        video?: boolean;
    }): Promise<Problem[]>;
    /** Why there is no microphone or camera. @returns {Partial<Record<Kind, Problem>>} */
    get problems(): Partial<Record<Kind, Problem>>;
    /** What is sent now. */
    get audio(): MediaStreamTrack | null;
    /** What is sent now where one picture is: the screen while it is shared, else the camera. */
    get video(): MediaStreamTrack | null;
    /** The camera as the others see it, also while the screen is shared. */
    get camera(): MediaStreamTrack | null;
    /** The screen while it is shared. @type {MediaStreamTrack | null} */
    get screen(): MediaStreamTrack | null;
    /** The sound of what is shared, where the browser gives it. @type {MediaStreamTrack | null} */
    get screenSound(): MediaStreamTrack | null;
    /** Identifies to the others what belongs to the screen. */
    get screenStream(): MediaStream;
    /** @param {Kind} kind */
    track(kind: Kind): MediaStreamTrack | null;
    /** Whether the browser is being asked for it: the visitor has to answer, or the device starts. @param {Kind} kind */
    starting(kind: Kind): boolean;
    /**
     * Settled when the browser has answered its first question for a device; at once where none is open. Until then no connection
     * is made: macOS and iOS ask for the local network when one looks for its ways, and that would come before the camera.
     * @param {number} [most] milliseconds
     */
    answered(most?: number): Promise<void>;
    /** Whether the browser's first question for a device is open. */
    get asking(): boolean;
    /** What is being sent: the microphone, the camera, the screen. */
    get sending(): {
        audio: boolean;
        video: boolean;
        screen: boolean;
    };
    /**
     * Switches the microphone or the camera. Off is off before this returns, whatever the browser answers later. A
     * camera that is off is released, so that its light goes out.
     * @param {Kind} kind
     * @param {boolean} [on] default: the other way round; one that could not be opened is tried again
     * @returns {Promise<boolean>} whether it is wanted now; settled when the browser has answered
     */
    toggle(kind: Kind, on?: boolean): Promise<boolean>;
    /**
     * Takes another device, also in the middle of a call.
     * @param {Kind} kind @param {string} deviceId
     */
    choose(kind: Kind, deviceId: string): Promise<void>;
    /** The device to take when this kind is opened. @param {Kind} kind @param {string} deviceId */
    prefer(kind: Kind, deviceId: string): void;
    /**
     * Has the browser take noise out of the microphone's sound and level its loudness, or leave both as they are, as music
     * wants it; echo is taken out either way. In the middle of a call the track is changed, or another one takes its place.
     * @param {boolean} on
     * @returns {Promise<boolean>} whether it is so now; false: this browser leaves it as it is
     */
    suppressNoise(on: boolean): Promise<boolean>;
    /**
     * Has the camera's pictures made into others, such as with a blurred background, before anybody sees them: the preview as
     * well. Nothing of the camera is shown until the first of them is there.
     * @param {import('./altered.js').Alter | null} alter null: as the camera gives them
     * @returns {Promise<boolean>} false: it has failed, and no picture is sent
     */
    alter(alter: Alter | null): Promise<boolean>;
    /** Takes the camera that looks the other way; where cameras do not say which way they look, the next one. */
    flip(): Promise<void>;
    /** Which way the camera looks: 'user', 'environment', or '' where it does not say. */
    get facing(): string;
    /** The id of the device in use. @param {Kind} kind */
    deviceId(kind: Kind): string;
    /** @returns {Promise<MediaDeviceInfo[]>} */
    devices(): Promise<MediaDeviceInfo[]>;
    /**
     * Shares the screen, beside the camera, with its sound where the browser offers that. `unshare` before the visitor
     * has chosen takes it back.
     * @returns {Promise<boolean>} false: the visitor chose nothing
     */
    share(): Promise<boolean>;
    unshare(): void;
    /** Stops every device. */
    close(): void;
    #private;
}
export type MediaEvents = {
    /**
     * what is sent of this kind has changed
     */
    track: {
        kind: Kind;
        track: MediaStreamTrack | null;
    };
    /**
     * something about the devices or their state has changed
     */
    change: void;
    /**
     * the list of devices has changed
     */
    devices: MediaDeviceInfo[];
};
export type MediaOptions = {
    /**
     * pixels; default 1280, on machines with one or two cores 640
     */
    maxVideoWidth?: number | undefined;
    /**
     * pixels; default 720, or 360
     */
    maxVideoHeight?: number | undefined;
    /**
     * default 30
     */
    maxFrameRate?: number | undefined;
};

// ---- call/media/problems.js
/** @param {Kind} kind @param {unknown} error @returns {Problem} */
declare function explain(kind: Kind, error: unknown): Problem;
export type Kind = "audio" | "video";
export type ProblemCode = "refused" | "missing" | "busy" | "insecure" | "unanswered" | "failed";
/**
 * Why there is no microphone or camera, as a code; the page has the words.
 */
export type Problem = {
    kind: Kind;
    /**
     * `insecure`: browsers give devices only to pages with a secure address; `refused`: blocked for
     * this page; `missing`: none is there; `busy`: in use by another program or switched off; `unanswered`: the visitor has not answered
     * the browser's question yet; `failed`: anything else
     */
    code: ProblemCode;
    /**
     * what the browser said
     */
    error: unknown;
};

// ---- call/media/screen.js
/**
 * The screen that a person shares. As with the camera, what the browser's picker answers is held against the wish of
 * that moment: a call that has ended meanwhile, or a second thought, leaves nothing shared.
 */
declare class Screen {
    /** @param {() => void} changed */
    constructor(changed: () => void);
    /** @type {MediaStreamTrack | null} */ video: MediaStreamTrack | null;
    /** @type {MediaStreamTrack | null} the sound of what is shared */ audio: MediaStreamTrack | null;
    /** Names the screen's tracks to the others; it is the same however often it is shared. */
    stream: MediaStream;
    /** @returns {Promise<boolean>} false: the visitor chose nothing, or it was taken back */
    share(): Promise<boolean>;
    unshare(): void;
    #private;
}

// ---- call/media/sharing.js
/**
 * How the screen goes to one peer: beside the camera where the other side has said that it shows both (`screens` in its
 * `media` message), else in place of the camera, as clients did before there was another way.
 */
declare class Sharing {
    /** @param {SharingHost} host */
    constructor(host: SharingHost);
    /** The other side shows a screen beside the camera. */
    understood: boolean;
    /** For a connection that is made now. @returns {Showing} */
    get showing(): Showing;
    /** '' while no screen is shared. @returns {'' | Showing} */
    get screen(): "" | Showing;
    /** Sends what there is, and has the connection changed where it cannot carry a screen yet: then it is called again. */
    send(): void;
    /** Tells the peer what we send. */
    tell(): void;
    /** What the other side says of itself. @param {boolean} screens it shows a screen beside the camera */
    hear(screens: boolean): void;
    /** What the connection can carry may have changed. */
    negotiated(): void;
    #private;
}
/**
 * What comes from the peer: the same two streams, whatever connection their tracks come over. The camera's track is in its
 * stream only while pictures are sent: a <video> plays no sound either before the first picture of a track has come, and
 * somebody who came with the camera off was not heard.
 */
declare class Received {
    /** @param {string} [agent] this browser */
    constructor(agent?: string);
    stream: MediaStream;
    screen: MediaStream;
    /** Nothing of the peer is heard. */
    silent: boolean;
    /** @param {RTCPeerConnection} pc @param {RTCRtpTransceiver} transceiver @returns {'stream' | 'screen'} where its track belongs */
    show(pc: RTCPeerConnection, transceiver: RTCRtpTransceiver): "stream" | "screen";
    /** Whether the peer says that it sends pictures. @param {boolean} sent @returns {boolean} whether the stream has changed */
    pictures(sent: boolean): boolean;
    /** @param {boolean} silent */
    silence(silent: boolean): void;
    /**
     * Tracks that come another way; null: those of the connection are back.
     * @param {Record<'stream' | 'screen', Tracks> | null} tracks
     * @param {MediaStreamTrack | null} [sound] that is heard in place of the connection's, which all else goes on with
     * @param {Record<'stream' | 'screen', MediaStreamTrack | null>} [shown] pictures in place of its own, likewise
     * @returns {boolean} whether a stream has changed
     */
    carry(tracks: Record<"stream" | "screen", {
        audio: MediaStreamTrack | null;
        video: MediaStreamTrack | null;
    }> | null, sound?: MediaStreamTrack | null, shown?: Record<"stream" | "screen", MediaStreamTrack | null>): boolean;
    #private;
}
/**
 * What sharing needs of its peer.
 */
export type SharingHost = {
    media: () => LocalMedia;
    /**
     * the connection in use
     */
    pc: () => RTCPeerConnection | null;
    /**
     * nothing may be sent yet
     */
    quiet: () => boolean;
    /**
     * whether a negotiation can be had
     */
    online: () => boolean;
    /**
     * what this page does: shows a screen beside the camera, tells who records, records; and what its visitor wishes
     */
    host: () => {
        screens: boolean;
        recordings: boolean;
        recording: boolean;
        hand: boolean;
        quality: Wish;
    };
    /**
     * whether the other side wants any
     */
    pictures: () => boolean;
    /**
     * the one that is made to take its place
     */
    coming: () => RTCPeerConnection | null;
    tell: (message: any) => void;
    limit: () => void;
    /**
     * our media goes to the other side without a connection
     */
    carried: () => boolean;
};

// ---- call/media/shown.js
/** How many pixels of a picture can be seen: of the other side's here, and of ours there. */
declare class Shown {
    /** Of ours, as the other side tells. */
    there: number;
    /** This page shows the other's camera so large. @param {number} width @param {number} height */
    see(width: number, height: number): void;
    /** The other side may not know any more what it was told. */
    forget(): void;
    /** What the other side is to be told now; null: nothing new. */
    news(): number | null;
    #private;
}

// ---- call/path/asking.js
/** Nobody is asked for less than this, bits per second: it carries the sound. And not for less than the least picture beside it at once. */
declare const leastAsked: 24000;
/**
 * What to ask the other side for. Infinity: as much as it likes. What it sends may wait on its way to us; and what we get is
 * answered, packet by packet, on a way that may be too narrow for our sound.
 */
declare class Asking {
    /**
     * @param {number} now @param {number} here milliseconds that what comes waits @param {number} there that our sound waits, where it goes alone; 0
     * @param {number} received bits per second @param {boolean} [narrow] our own line takes less than we would send
     */
    take(now: number, here: number, there: number, received: number, narrow?: boolean): number;
    /**
     * A long message of the other side has come. What little it sends shows no more than it is asked for; two of three that passed at much more do.
     * @param {number} now @param {number} rate bits per second at which it passed, at the least
     */
    passed(now: number, rate: number): void;
    #private;
}

// ---- call/path/bitrate.js
/**
 * @param {number} others how many people receive from us
 * @param {boolean} [screen] a shared screen keeps its pixels and gives up frames instead
 */
export declare function budget(others: number, screen?: boolean): {
    video: number;
    scale: number;
    frameRate: number;
    audio: number;
};
/**
 * What is sent to one of so many at the most, bits per second.
 * @param {number} others @param {boolean} pictures of a camera or a screen are sent @param {{video: number, audio: number}} [most] that people want
 */
declare function wanted(others: number, pictures: boolean, most?: {
    video: number;
    audio: number;
}): number;
/** The most people in a call, oneself included: a mesh of more asks too much of phones and uplinks. */
export declare const meshLimit: number;
/**
 * All that is written to the parameters of one person's senders, one after the other. Who writes has read before: two at
 * once, and the later write takes back what the earlier one did (a key frame that was asked for at the moment of healing
 * switched the picture off again). A browser that answers late or never holds up the rest for a moment only. As each asks
 * what is wanted when its turn comes, one that waits does for all: however often something changes, the queue stays short.
 */
declare class Senders {
    /** @param {import('../../base/clock.js').Clock} clock */
    constructor(clock: Clock);
    /**
     * Puts the budget in force, unless it is already. What it is, is asked when its turn comes.
     * @param {() => {pc: RTCPeerConnection | null, others: number, screen: '' | import('./connection.js').Showing, lost: boolean, allowance?: import('./narrow.js').Allowance, shown?: number}} wanted
     * @param {unknown} [about] tells those of other connections from those of the one in use
     */
    limit(wanted: () => {
        pc: RTCPeerConnection | null;
        others: number;
        screen: "" | Showing;
        lost: boolean;
        allowance?: Allowance;
        shown?: number;
    }, about?: unknown): Promise<void>;
    /** @param {() => RTCPeerConnection | null} connection */
    keyFrame(connection: () => RTCPeerConnection | null): Promise<void>;
    #private;
}
declare function makesLonger({ encodings: [encoding] }: any): boolean;
declare function isEstimated({ headerExtensions }: RTCRtpParameters): boolean;

// ---- call/path/bond.js
declare function isBondWord(word: unknown): word is string;
/**
 * What the two ends of a connection have told each other over its data channel, which DTLS seals: nobody else knows it. The keys of
 * another way are bound to it, and are then as good as the connection's, whoever has carried them.
 */
declare class Bond {
    /** What we say over a connection. @param {RTCPeerConnection} pc @returns {string} '' where this page may make no keys */
    word(pc: RTCPeerConnection): string;
    /** The other side's, over that connection. It says one. @param {RTCPeerConnection} pc @param {string} word */
    hear(pc: RTCPeerConnection, word: string): void;
    /** The connection is in another state. @param {RTCPeerConnection} pc */
    look(pc: RTCPeerConnection): void;
    /** @param {RTCPeerConnection | null} pc @returns {Promise<Shared | null>} null: not both have said theirs there */
    shared(pc: RTCPeerConnection | null): Promise<Shared | null>;
    #private;
}
/**
 * `secret`: what two people alone know; `bond`: a name of it, by which they see that they mean the same; `keys`: of the connection
 */
export type Shared = {
    bond: string;
    secret: Uint8Array<ArrayBuffer>;
    keys: string;
};

// ---- call/path/browsers.js
/** @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
declare function isFirefox(description: RTCSessionDescription | RTCSessionDescriptionInit | null): boolean;
/**
 * Whether we may restart ICE on a connection: the other side can answer that.
 * @param {{pc: RTCPeerConnection, first: string, mozilla: boolean}} negotiation @param {string} browser of the other side, as it says
 */
declare function mayRestart({ pc, first, mozilla }: {
    pc: RTCPeerConnection;
    first: string;
    mozilla: boolean;
}, browser: string): boolean;
/**
 * Whether both browsers take candidates that come when they are connected already, and go over to a better path.
 * @param {{pc: RTCPeerConnection, mozilla: boolean}} negotiation
 */
declare function takesLateCandidates({ pc, mozilla }: {
    pc: RTCPeerConnection;
    mozilla: boolean;
}): boolean;
/**
 * The relays that a browser can use, of all that the server has. Firefox (153) takes none over TLS from a server that is named by
 * its address, and says nothing of it: the connection that asked for that one as the surest had none where only TLS passes.
 * @param {string[]} urls @param {string} agent
 */
declare function usable(urls: string[], agent: string): string[];
/** This browser and its major version as it is told to the other side: `firefox/153`; '' where it is neither. @param {string} agent */
declare function nameOfBrowser(agent: string): string;
declare function changesDearly(pc: RTCPeerConnection): boolean;
declare function leavesFirst(agent: string): boolean;

// ---- call/path/connection.js
/**
 * The configuration of one connection, from the one that the hub gave.
 * @param {RTCConfiguration} base
 * @param {{iceTransportPolicy?: RTCIceTransportPolicy, transport?: Transport, choose?: (relays: string[]) => string[]}} [options]
 *   `transport`: only relays over this; `choose`: which of the relays' URLs; all without it
 * @returns {RTCConfiguration}
 */
declare function configuration(base: RTCConfiguration, { iceTransportPolicy, transport, choose }?: {
    iceTransportPolicy?: RTCIceTransportPolicy;
    transport?: Transport;
    choose?: (relays: string[]) => string[];
}): RTCConfiguration;
/**
 * Gives a connection other servers. Everything else has to stay as it was made.
 * @param {RTCPeerConnection} pc @param {RTCConfiguration} configuration
 */
declare function reconfigure(pc: RTCPeerConnection, configuration: RTCConfiguration): void;
/**
 * The same servers that a connection has, with fresh credentials.
 * @param {RTCPeerConnection} pc @param {RTCConfiguration} all that there are
 * @returns {RTCConfiguration | null} null: some of them are there no more
 */
declare function renewed(pc: RTCPeerConnection, all: RTCConfiguration): RTCConfiguration | null;
/** How a TURN URL is reached; '' for STUN. @param {string} url @returns {Transport | ''} */
declare function transportOf(url: string): Transport | "";
/**
 * The transceivers that an offer needs: one for each kind, sending whatever is there now, so that a device that
 * comes later needs no negotiation.
 * @param {RTCPeerConnection} pc @param {LocalMedia} media
 * @param {boolean} [quiet] nothing is sent before `sendMedia` @param {Showing} [showing]
 */
declare function addMedia(pc: RTCPeerConnection, media: LocalMedia, quiet?: boolean, showing?: Showing): void;
/** Adds the m-lines of a screen to a connection that has none. @param {RTCPeerConnection} pc @param {LocalMedia} media @returns {boolean} whether they are there */
declare function addScreen(pc: RTCPeerConnection, media: LocalMedia): boolean;
/** Sends what there is. @param {RTCPeerConnection} pc @param {LocalMedia} media @param {Showing} [showing] */
declare function sendMedia(pc: RTCPeerConnection, media: LocalMedia, showing?: Showing): void;
/**
 * Puts our media into what the other side has offered.
 * @param {RTCPeerConnection} pc @param {LocalMedia} media
 * @param {boolean} [quiet] nothing is sent before `sendMedia` @param {Showing} [showing]
 */
declare function answerMedia(pc: RTCPeerConnection, media: LocalMedia, quiet?: boolean, showing?: Showing): void;
/** @param {RTCPeerConnection} pc @param {Kind} kind @param {boolean} [screen] that of the screen, once it is negotiated */
declare function transceiverOf(pc: RTCPeerConnection, kind: Kind, screen?: boolean): RTCRtpTransceiver;
/** The channel for chat, files and state: the same number on both sides, so that opening it takes no message. @param {RTCPeerConnection} pc */
declare function openChannel(pc: RTCPeerConnection): RTCDataChannel;
/**
 * Whether a candidate, as a line of SDP or by itself, can do nothing for the other side: a TCP one that only connects
 * and accepts nothing.
 * @param {string} line
 */
declare function isUseless(line: string): boolean;
/**
 * Takes the candidates out of a description, so that connectivity checks begin only when they are added.
 * @param {RTCSessionDescriptionInit} description
 * @returns {{description: RTCSessionDescriptionInit, candidates: RTCIceCandidateInit[]}}
 */
declare function withoutCandidates({ type, sdp }: RTCSessionDescriptionInit): {
    description: RTCSessionDescriptionInit;
    candidates: RTCIceCandidateInit[];
};
/**
 * Sets the answer. On a connection that has gathered ahead a provisional one goes before it: with a final one at once,
 * Chromium throws away what it has gathered and begins anew.
 * @param {RTCPeerConnection} pc
 * @param {(description: RTCSessionDescriptionInit) => void} [say] gets the answer before it is set, which takes a while
 */
declare function answer(pc: RTCPeerConnection, say?: (description: RTCSessionDescriptionInit) => void): Promise<void>;
/** Ends the listening to a connection that is going out of use. @param {RTCPeerConnection} pc */
declare function unhook(pc: RTCPeerConnection): RTCPeerConnection;
declare function urlsOf({ iceServers }: RTCConfiguration): string[];
declare function hasServers(pc: RTCPeerConnection, configuration: RTCConfiguration): boolean;
declare function hasRelays(pc: RTCPeerConnection): boolean;
/**
 * whether one picture is sent, the screen in place of the camera, or both
 */
export type Showing = "alone" | "beside";
export type Transport = "udp" | "tcp" | "tls";

// ---- call/path/healing.js
/**
 * Keeps one person connected. The means, from the cheapest to the surest: a restart of ICE on the connection in use; a
 * whole new connection beside it, which takes its place once it carries media. Which comes first depends on what is
 * broken; whichever fails is followed by the other, ever later, for as long as there is somebody to reach. It believes
 * neither its own browser's states alone nor that the other side's browser does as it is told.
 */
declare class Healing {
    /** @param {HealingHost} host */
    constructor(host: HealingHost);
    /** The path in use, or the last one. */
    path: string;
    /** The connection has been in use once. */
    wasConnected: boolean;
    /** @type {Replacements} */ replacements: Replacements;
    /** @type {Improving} */ improving: Improving;
    /** Nothing comes any more. */
    get dead(): boolean;
    /** How long there has been no connection, milliseconds; 0: there is one. Clocks stand still for a moment, so that it is 1 at least. */
    get unconnected(): number;
    /** Nothing is to be sent into this path, as it is about to be healed by a restart of ICE and not to be replaced. */
    get lost(): boolean;
    /** The state of the connection in use has changed. */
    changed(): void;
    /** The other side offers anew: it has lost the path, perhaps. @param {boolean} [better] it looks for a better one, and has lost none */
    offered(better?: boolean): void;
    /** What was offered came to nothing. @param {import('./negotiation.js').Failure} why */
    failed(why: Failure): void;
    /**
     * Mends the path, or tries to, while the old one stays in use as long as it works. While the hub is away it waits for it.
     * @param {boolean} [urgent] even if something has just begun or nothing seems wrong
     */
    heal(urgent?: boolean): void;
    /** There may be a better path than the one in use, which goes on meanwhile. @param {boolean} [replace] by another connection */
    better(replace?: boolean): void;
    /** Somebody's hub is back after it was lost: whatever does not work is looked for anew, at once. */
    recover(): void;
    /** This page was asleep: nothing that was true before need be true still. */
    woken(): void;
    /** Fresh credentials, or servers that were not there when a restart of ICE had begun. */
    configure(): void;
    /** Another connection is in use. */
    moved(): void;
    /**
     * Once a second: sees what the browser does not say.
     * @param {import('./stats.js').Quality} quality
     */
    tick(quality: Quality): void;
    close(): void;
    #private;
}
/**
 * What healing needs of its peer. It knows of no DOM and of no global of the browser.
 */
export type HealingHost = {
    clock: Clock;
    /**
     * of the connection in use; null: nothing may be mended (both are not in the call)
     */
    current: () => Negotiation | null;
    /**
     * the connection in use, whatever may be done with it
     */
    pc: () => RTCPeerConnection | null;
    state: () => PeerState;
    setState: (state: PeerState) => void;
    /**
     * whether the hub is connected
     */
    online: () => boolean;
    polite: () => boolean;
    /**
     * whether the other side's session is known
     */
    reachable: () => boolean;
    /**
     * of the other side, as it says
     */
    browser: () => string;
    /**
     * whether the other side says that it sends anything
     */
    sending: () => boolean;
    /**
     * with the relays that a call needs, or with all
     */
    configuration: (all?: boolean) => RTCConfiguration;
    /**
     * whether another connection would have no other servers that matter
     */
    fits: (pc: RTCPeerConnection) => boolean;
    /**
     * whether a connection holds more relays than it needs
     */
    tooMany: (pc: RTCPeerConnection, relayed: boolean) => boolean;
    /**
     * what is sent has to be looked at
     */
    limit: () => void;
    /**
     * the path is another one
     */
    keyFrame: () => void;
    /**
     *   `create`: without relays, with those that a call needs, or with all
     */
    replacements: Omit<ReplacementHost, "failed" | "create" | "direct"> & {
        create: (which: "direct" | "few" | "all") => RTCPeerConnection;
    };
    /**
     * whether UDP gets out to the server
     */
    probe: () => Promise<boolean>;
    /**
     * the path leads over TCP or TLS and is known as narrow: what waits on it looks like silence
     */
    slow: () => boolean;
    /**
     * the call goes on without a connection, on a line on which looking for one would hold its sound up
     */
    narrow: () => boolean;
};

// ---- call/path/improving.js
/**
 * Looks for a better path than the one in use: direct before relayed, UDP before TCP before TLS. Chromium goes over by
 * itself to whatever it knows of; Firefox takes no candidate any more once it is connected, and of a relay and a way straight
 * it keeps whichever answers first. Neither looks for a way that was closed when it gathered.
 */
declare class Improving {
    /** @param {ImprovingHost} host */
    constructor(host: ImprovingHost);
    /** A connection, or another path of it, has come into use. @param {boolean} [anew] the network may be another one */
    settle(anew?: boolean): void;
    /** The network is another one: whatever its pair of browsers, we look. */
    networkChanged(): void;
    /** All ways are worth a look again. */
    reset(): void;
    /**
     * @param {import('./stats.js').Quality} quality
     * @param {import('./negotiation.js').Negotiation | null} current
     */
    tick({ path, local, remote }: Quality, current: Negotiation | null): void;
    close(): void;
    #private;
}
export type ImprovingHost = {
    clock: Clock;
    /**
     * whether UDP gets out to the server
     */
    probe: () => Promise<boolean>;
    /**
     * whether direct paths are allowed
     */
    direct: () => boolean;
    /**
     * which of the two we are, as the server says
     */
    polite: () => boolean;
    /**
     * whether another connection would have no other servers that matter
     */
    fits: (pc: RTCPeerConnection) => boolean;
    /**
     * whether it holds more of them than it needs
     */
    tooMany: (pc: RTCPeerConnection, relayed: boolean) => boolean;
    /**
     * goes on with fewer
     */
    fit: (relayed: boolean) => void;
    /**
     * looks for another path while the one in use goes on
     */
    better: () => void;
    /**
     * looks for a direct one, or one over our relay alone, and nothing else;
     * hurried: and gives it up soon
     */
    only: (which: "direct" | "single", hurried?: boolean) => void;
};

// ---- call/path/lastdoor.js
/**
 * Opens the way through the server's WebSocket where no path of WebRTC comes about or is left, and closes it once there is
 * one. What does it is loaded when it is needed first.
 */
declare class LastDoor {
    /** @param {LastDoorHost} host */
    constructor(host: LastDoorHost);
    /** Media goes this way: there is no other. */
    carries: boolean;
    /** The way in use; null: none. */
    get path(): WebSocketPath | null;
    /** The one by which sound may be heard, and pictures seen, in place of a connection's; null: none. */
    get standIn(): WebSocketPath | null;
    /**
     * What both sides have alike of its keys, and nobody between them, while one of the two has nothing else: those of the connection
     * that they are bound to. null: the connection is in use.
     */
    get keys(): string | null;
    /** A path of WebRTC may have come or gone. */
    look(): void;
    /** The other side wants it, or answers. @param {DoorKey} said */
    hear(said: DoorKey): Promise<void>;
    /** One of the two has another session. */
    returned(): void;
    /** Our session goes on, at another node perhaps. */
    settle(): void;
    /** The network is another one. */
    networkChanged(): void;
    /** What we send has changed. */
    send(): void;
    close(): void;
    #private;
}
/**
 * a browser's key for the way through the server's WebSocket, and what it can do there; `bond`: of the connection that its keys are bound to
 */
export type DoorKey = {
    key: string;
    pictures: string[];
    sound: boolean;
    bond?: string;
};
/**
 * What the last door needs of its peer.
 */
export type LastDoorHost = {
    clock: Clock;
    /**
     * what does it
     */
    load: () => Promise<{
        WebSocketPath: new (host: PathHost) => WebSocketPath;
        abilities: () => Promise<Omit<DoorKey, "key"> | null>;
    }>;
    /**
     * whether the server passes media on, and the other side can be told
     */
    possible: () => boolean;
    /**
     * how long there has been no WebRTC path, milliseconds; 0: there is one
     */
    unconnected: () => number;
    /**
     * how long nothing has come by the path in use, where something should, milliseconds; 0: all is well
     */
    still: () => number;
    /**
     * that path is over TCP or TLS, where a line that has become narrow stands still for longer
     */
    waits?: (() => boolean) | undefined;
    /**
     * it is known as narrow, or what is sent by it comes late: it lives, and another beside it takes of it
     */
    strained?: (() => boolean) | undefined;
    /**
     * our line is thought to be narrow, and what a path of WebRTC says takes longer there: what is tried beside it takes of that
     */
    narrow?: (() => boolean) | undefined;
    /**
     * a path of WebRTC has been in use, and is known to be lost
     */
    lost: () => boolean;
    /**
     * whether there is anybody in the call to be connected with
     */
    waiting: () => boolean;
    say: (said: DoorKey) => void;
    path: () => Omit<PathHost, "closed" | "sending" | "standing" | "opened">;
    /**
     * what the two have told each other over the connection in use, where nobody else hears it
     */
    shared: () => Promise<Shared | null>;
    /**
     * the other side does not know of such a way, or has not got what it takes, or the two do not meet there
     */
    unanswered: () => void;
    /**
     * both ends of it are there
     */
    opened: (path: WebSocketPath) => void;
    /**
     * media goes this way, or sound stands in, or does not any more
     */
    changed: () => void;
};

// ---- call/path/line.js
/** The line to one person: measured while it leads over TCP or TLS, and what is sent over it, see NarrowLine. */
declare class Line {
    /** @param {LineHost} host */
    constructor(host: LineHost);
    /** What of ours fits, and what of theirs does, as they say. @type {LineState} */ ours: LineState;
    /** @type {LineState} */ theirs: LineState;
    /** Once a second. @param {import('../../session/hub.js').Path | ''} path */
    tick(path: Path | ""): void;
    /**
     * The other side has seen before the call how little its line takes.
     * @param {number} takes bits per second
     */
    expect(takes: number): void;
    /** What may be sent; once the line is known as narrow that says what goes beside what waits. @returns {Readonly<Allowance>} */
    get allowance(): Readonly<Allowance>;
    /** The path is over TCP or TLS: what the line does not take waits. */
    get waits(): boolean;
    /**
     * Either way takes less than the call wants, as far as is known, or what is sent is answered late while something still comes: nothing is
     * opened or tried beside the call. Where nothing comes at all it may as well be dead.
     */
    get narrow(): boolean;
    /** Bits per second with which another connection begins to send; undefined: as always. */
    get begins(): number | undefined;
    /** Packets of sound are to be longer than the browser makes them by itself: its connection is told so by what the other side has said. */
    get packs(): boolean;
    /** What the other side says of the line. @param {import('../data/bounds.js').Timed} message */
    hear(message: Timed): void;
    /** @param {LineState} state */
    hearState(state: LineState): void;
    /** Another connection is in use, or the channel has opened: the other side is told anew. */
    moved(): void;
    close(): void;
    /** How files are sent: bits per second, and what was. @type {import('../data/transfer.js').Pace} */
    pace: Pace;
    #private;
}
/**
 * what of a call fits a line: all of it, less of it, sound alone
 */
export type LineState = "wide" | "narrow" | "no-picture";
/**
 * What the line needs of its peer.
 */
export type LineHost = {
    clock: Clock;
    /**
     * the connection in use, while it is connected
     */
    pc: () => RTCPeerConnection | null;
    /**
     * whether messages go out at once
     */
    open: () => boolean;
    tell: (message: any) => void;
    /**
     * bits per second that the call would send to this person
     */
    wants: () => number;
    /**
     * our own line was seen to be narrow before the call
     */
    expected?: (() => boolean) | undefined;
    /**
     * has the browser think anew of what it may send
     */
    begin?: ((rate: number) => void) | undefined;
    /**
     * packets of sound are to be of another length, see `packs`
     */
    pack?: (() => void) | undefined;
    /**
     * another allowance
     */
    changed: () => void;
    /**
     * the line is in another state, on our side or theirs
     */
    said: () => void;
};

// ---- call/path/narrow.js
declare const calm: 90;
declare const full: 200;
declare const drowning: 400;
/** What sound gets at the least, and its headers, bits per second: Opus is understood well at this. */
declare const soundFloor: 16000;
/** Headers of RTP and SRTP, and what TURN, TLS, TCP and IP put around each packet and no browser counts, bytes. */
declare const header: 42;
declare const around: 94;
/** A cut leaves so much of what got through, that the queue empties. */
declare const cutTo: 0.75;
/** More than this is not narrow, whatever the queue does, bits per second. */
declare const wide: 2000000;
/** @type {Readonly<Allowance>} */
declare const plenty: Readonly<Allowance>;
declare function soundTakes(audio: number, long: boolean): number;
declare function soundOfTold(told: boolean): number;
declare function soundTook(bytes: number, count: number, seconds: number): number;
/** A line that is thought to take less than this before the call is narrow for it, bits per second; so much of that is sent at first. */
declare const narrowFrom: 300000;
declare function holding(allowance: Readonly<Allowance>): Readonly<Allowance>;
declare const believed: 0.6;
declare const proven: 4000;
/** What the least picture takes of the line, bits per second, with what is around it. */
declare const leastShown: 31000;
/** The controller of what is sent to one person. */
declare class NarrowLine {
    /** @type {Allowance} */ allowance: Allowance;
    /** Bytes by which the next packet that is timed should be longer than others, to see what the line takes. */
    pad: number;
    /** With how many bits per second the browser is to begin anew, of that look; 0: it goes on. */
    begins: number;
    /** Our own line takes less than we would send, whatever the other side asks for. */
    get is(): boolean;
    /** What may be sent in all, bits per second as the line counts them; Infinity: as much as the browser likes. */
    get room(): number;
    /**
     * Before anything is sent: the line takes so much and no more, as who has it has seen. Then the call begins with the picture that
     * fits, where it would fill the line for seconds until that is known.
     * @param {number} takes bits per second @param {number} now @returns {Allowance}
     */
    expect(takes: number, now: number): Allowance;
    /** @param {Sample} sample @returns {Allowance} */
    take({ now, stream, delay, sent, received, asked, files, pad, available, bare, wants, spoken, apart, media, shows, held }: Sample): Allowance;
    /** The long message that was to be sent has been. @param {number} now */
    padded(now: number): void;
    /** The browser has just cut its own estimate to what it sends, so that it is our way on which something waits. */
    get limited(): boolean;
    /** The browser thinks little of a path that was never known as narrow. */
    get doubtful(): boolean;
    /** What the browser thinks now; 0: it does not say. @param {number} now @param {number} available @param {number} bare bits per second that are sent */
    think(now: number, available: number, bare: number): void;
    #private;
}
/**
 * One look at the line, four times a second.
 */
export type Sample = {
    /**
     * milliseconds, of a clock that is never set back
     */
    now: number;
    /**
     * the path leads over TCP or TLS, here or there
     */
    stream: boolean;
    /**
     * milliseconds that what is sent now waits on its way: how much longer it takes than at the best of times
     */
    delay: number;
    /**
     * bits per second in the last second, pictures, sound, files and what is around them
     */
    sent: number;
    /**
     * bits per second of it that arrived, as the other side says; 0: it does not
     */
    received?: number | undefined;
    /**
     * bits per second that the other side wants at most; Infinity
     */
    asked?: number | undefined;
    /**
     * bits per second of it that are files
     */
    files?: number | undefined;
    /**
     * bytes by which the packet that was timed was longer than others
     */
    pad?: number | undefined;
    /**
     * bits per second that the browser thinks it may send; 0: it does not say
     */
    available?: number | undefined;
    /**
     * bits per second that are sent, without what is around packets
     */
    bare?: number | undefined;
    /**
     * bits per second of it that are sound and pictures, of those that the browser counts in what it thinks, in the last moment
     */
    media?: number | undefined;
    /**
     * bits per second of pictures, without what is sent again; Infinity: not known
     */
    shows?: number | undefined;
    /**
     * bits per second that the call would send; wide
     */
    wants?: number | undefined;
    /**
     * bits per second that sound takes of the line at the least, where the browser makes its packets no longer by itself; 0: it does
     */
    spoken?: number | undefined;
    /**
     * no pictures are sent meanwhile, as messages are not answered: that as much arrives as is sent says nothing
     */
    held?: boolean | undefined;
    /**
     * bits per second of `available` that the browser does not count in it: they are sent whatever it thinks
     */
    apart?: number | undefined;
};
/**
 * What to send.
 */
export type Allowance = {
    /**
     * the line takes less than the call wants
     */
    narrow: boolean;
    /**
     * the same for people: pictures that stop for a moment are no other state
     */
    state: LineState;
    /**
     * whether pictures are sent
     */
    picture: boolean;
    /**
     * bits per second of all pictures; Infinity
     */
    video: number;
    /**
     * what the sides of a picture are divided by, at the least
     */
    scale: number;
    /**
     * at the most
     */
    frameRate: number;
    /**
     * bits per second of sound; Infinity
     */
    audio: number;
    /**
     * packets of sound may be longer than 20 ms
     */
    long: boolean;
    /**
     * bits per second; Infinity
     */
    files: number;
    /**
     * a browser that has made pictures smaller by itself is to forget it
     */
    afresh: boolean;
    /**
     * the most that pictures may have is to be a little less, which is a change
     */
    less: boolean;
};

// ---- call/path/negotiation.js
/**
 * Offers and answers of one connection: perfect negotiation as in the W3C's webrtc-pc, and what that leaves to chance.
 * Each offer has a number (`round`), which its answer bears, so that an answer that comes late or twice is not taken for
 * that to another offer. One step follows the other. Whatever a browser does not take is rolled back on both sides, and
 * an offer that nobody answers as well, so there is no state in which neither may offer.
 */
declare class Negotiation {
    /**
     * @param {RTCPeerConnection} pc @param {string} name of the connection, '' for the first
     * @param {NegotiationHost} host
     * @param {{say?: (description: RTCSessionDescriptionInit) => RTCSessionDescriptionInit, more?: any}} [options]
     *   `say`: what is said of a description; `more`: goes with the first offer
     */
    constructor(pc: RTCPeerConnection, name: string, host: NegotiationHost, { say, more }?: {
        say?: (description: RTCSessionDescriptionInit) => RTCSessionDescriptionInit;
        more?: any;
    });
    /** What the other side says is Firefox's. */
    mozilla: boolean;
    /** Whose offer was the first that was answered; '': none yet. @type {'' | 'ours' | 'theirs'} */ first: "" | "ours" | "theirs";
    pc: RTCPeerConnection;
    name: string;
    say: (description: RTCSessionDescriptionInit) => RTCSessionDescriptionInit;
    more: any;
    /** Others are told from now on. @param {NegotiationHost} host */
    serve(host: NegotiationHost): void;
    /** Whether an offer of ours waits for its answer. */
    get waiting(): boolean;
    /** Candidates of ours, to go after the description that they belong to. @param {...RTCIceCandidateInit} candidates */
    found(...candidates: RTCIceCandidateInit[]): void;
    flush(): void;
    /** Our offer has been sent by other means. @param {number} [round] */
    offered(round?: number): void;
    /** Makes an offer, when the steps before are done and there is no other. */
    offer(): void;
    /**
     * Has Chromium think anew of what it may send, from so much on.
     * @param {number} rate bits per second
     */
    begin(rate: number): void;
    /** Has the browser make packets of sound longer, or no longer so, as its host says; while ICE looks for a path, it is asked for again once there is one. */
    pack(): void;
    /** Says an offer again that may not have been delivered. */
    repeat(): void;
    /**
     * Handles signaling data of the other side.
     * @param {import('./received.js').SignalData} data
     * @returns {Promise<void>} settled when it is handled; never rejected
     */
    handle({ description, unusable, round, candidates, refused }: SignalData): Promise<void>;
    /** All candidates that have come belong to another connection. */
    get astray(): boolean;
    /**
     * Answers an offer without its candidates and without saying so, for a call that is being accepted.
     * @param {import('./received.js').SaidDescription} offer
     * @returns {Promise<{answer?: RTCSessionDescriptionInit, candidates: RTCIceCandidateInit[]} | null>} null: it was not taken, and it is as if it had not come
     */
    answerAhead(offer: SaidDescription): Promise<{
        answer?: RTCSessionDescriptionInit;
        candidates: RTCIceCandidateInit[];
    } | null>;
    /** Our offer has gone with a session that the server has forgotten. */
    withdraw(): Promise<void>;
    close(): void;
    #private;
}
/**
 * What a negotiation needs of its surroundings. It knows of no DOM and of no global of the browser.
 */
export type NegotiationHost = {
    clock: Clock;
    /**
     * whether we give way where both offer at once
     */
    polite: () => boolean;
    /**
     * whether what is said goes out at once
     */
    online: () => boolean;
    signal: (data: any) => void;
    /**
     * an offer is in force: puts what we send into the answer
     */
    answering: (pc: RTCPeerConnection) => void;
    /**
     * an offer has been answered: what the connection can carry may have changed
     */
    settled: () => void;
    failed: (why: Failure) => void;
    /**
     * bits per second to begin with; undefined: as always
     */
    startBitrate?: (() => number | undefined) | undefined;
    /**
     * packets of sound are to be longer than the browser makes them by itself
     */
    packs?: (() => boolean) | undefined;
    /**
     * what is wrong between the two; '': they understand each other
     */
    trouble: (trouble: Trouble | "") => void;
};
/**
 * `refused`: a browser did not take a description; `mute`: our own made none
 */
export type Failure = "refused" | "unanswered" | "mute";

// ---- call/path/packets.js
/**
 * A description of the other side as our browser is to hear it: with packets of sound of that length (RFC 8866, 6.4), or no longer so. Whoever says
 * a length of his own keeps it.
 * @param {{type: RTCSdpType, sdp?: string}} description of a browser too, whose members are no own ones @param {boolean} long
 */
declare function inPackets({ type, sdp }: {
    type: RTCSdpType;
    sdp?: string;
}, long: boolean): {
    type: RTCSdpType;
    sdp: string;
};
/**
 * So long are packets of sound on a narrow line, milliseconds, of browsers that make them no longer by themselves (`adaptivePtime`): at 20 ms what
 * is around them takes more than twice what is in them.
 */
declare const longPacket: 60;

// ---- call/path/pictures.js
/** From so many bits per second the best is sent. */
declare const best: number;
/** Below that there is none; one that was left out comes back from here, bits per second. */
declare const comesBack: 40000;
/** Which picture is sent to one person. */
declare class Choice {
    /** When it was changed last, and since when it is back where it was left out; milliseconds. */
    changedAt: number;
    backAt: number;
    /** Whether it is left out. */
    get off(): boolean;
    /**
     * What its sides are divided by, and its frames a second at the most; Infinity. Of one that is left out it is the least.
     * @param {boolean} least only that goes out now
     */
    sent(least: boolean): {
        scale: number;
        frameRate: number;
    };
    /** The line is not narrow. @param {boolean} wholly the path is not one of those that are measured */
    free(wholly: boolean): void;
    /**
     * Looks at what it takes: where that is much less than it may, there is no more of what the camera sees, and a larger one
     * fits that would not if it were full of it.
     * @param {number} now @param {number} takes @param {number} most bits per second that it may have @param {boolean} settled nothing else holds it back
     */
    look(now: number, takes: number, most: number, settled: boolean): void;
    /**
     * Chooses: a worse one soon, a better one late, none when the least does not fit. Returns whether it has just been left out.
     * @param {number} now @param {number} video bits per second that it may have @param {boolean} fits the line has been seen to take one that comes back
     * @param {boolean} wider than was ever seen
     */
    choose(now: number, video: number, fits: boolean, wider: boolean): boolean;
    #private;
}

// ---- call/path/probe.js
/**
 * Where the server answers over UDP: a STUN URL, or the UDP side of its relay, which answers the same.
 * @param {RTCConfiguration} configuration @returns {string} '' where it does not
 */
declare function udpOf({ iceServers }: RTCConfiguration): string;
/**
 * Whether UDP gets from here to the server and back. It asks by STUN alone, so it takes no relay.
 * @param {RTCConfiguration} configuration
 * @returns {Promise<boolean>}
 */
declare function reachesUDP(configuration: RTCConfiguration): Promise<boolean>;

// ---- call/path/received.js
/** @param {any} data signaling data, or what came with joining or a call @returns {SignalData} */
declare function received(data: any): SignalData;
/** What is wrong with a description; '': nothing that shows before the browser reads it. @param {any} description @returns {Unusable | ''} */
declare function wrongWith({ type, sdp }: any): Unusable | "";
/** Why a browser has refused a description that looked well. @param {string} sdp @returns {Unusable} */
declare function troubleOf(sdp: string): Unusable;
/** Whether an answer names no format at all that its offer has: why a browser has refused it. @param {string} offer @param {string} answer */
declare function nothingInCommon(offer: string, answer: string): boolean;
/**
 * What of an offer its answer leaves out: a kind of which each section was rejected; both: `codecs`.
 * @param {string} offer @param {string} answer
 * @returns {{what: 'audio' | 'video' | 'codecs' | '', all: boolean}} `all`: there is nothing to connect for
 */
declare function leftOut(offer: string, answer: string): {
    what: "audio" | "video" | "codecs" | "";
    all: boolean;
};
/** Whether a candidate belongs to what is described. One that does not say may. @param {RTCIceCandidateInit} init @param {RTCPeerConnection} pc */
declare function belongs({ candidate, usernameFragment }: RTCIceCandidateInit, { pendingRemoteDescription, currentRemoteDescription, remoteDescription }: RTCPeerConnection): boolean;
/**
 * Why what one side said is of no use to the other: `size` (more than a call needs), `shape` (no description at all), `ice`
 * (not how it is reached, and with which key), `bundle` (a connection for each kind), `candidates` (addresses of another
 * connection), `refused` (the browser does not take it, for whatever reason), `door` (nothing: where only the server's WebSocket
 * is left, the other side knows no way through it).
 */
export type Unusable = "size" | "shape" | "ice" | "bundle" | "candidates" | "refused" | "door";
/**
 * What is wrong between two people, for a page to say: on whose side the words were that could not be used, or that the two
 * know no common format for sound (`audio`), pictures (`video`) or either (`codecs`).
 */
export type Trouble = `theirs-${Unusable}` | `ours-${Unusable}` | "audio" | "video" | "codecs";
export type SaidDescription = {
    type: "offer" | "answer";
    sdp: string;
};
/**
 * Signaling data of which nothing has to be feared: what is here has its type and its bounds.
 */
export type SignalData = {
    description?: SaidDescription | undefined;
    /**
     * there was a description, and it is not used
     */
    unusable?: {
        type: string;
        code: Unusable;
    } | undefined;
    candidates: RTCIceCandidateInit[];
    instance?: string | undefined;
    browser?: string | undefined;
    connection?: string | undefined;
    instead?: string | undefined;
    /**
     * bits per second that the other side's line takes, as it has seen before the call
     */
    takes?: number | undefined;
    round?: number | undefined;
    refused?: number | undefined;
    /**
     * what the other side says of what we said
     */
    trouble?: Trouble | undefined;
    replacement?: boolean | undefined;
    direct?: boolean | undefined;
    /**
     * for the way through the server's WebSocket
     */
    websocket?: DoorKey | undefined;
    /**
     * for the string by which people compare their keys
     */
    sas?: SaidSas | undefined;
    /**
     * of the data channel, which holds it to bounds of its own
     */
    app?: any;
};

// ---- call/path/redundancy.js
/**
 * Whether sound is sent twice: nothing but arithmetic, so that it can be played through in Node. Redundant audio (RED, RFC
 * 2198) puts the packet before into each packet, so that one that is lost alone is not missed. Who sends sees whether its
 * line has room for that (`Room`), who hears sees what is lost (`Redundancy`).
 */
/** Sound that is sent twice has so many bits per second at the most, each time: both together are what it has alone. */
declare const eachOfTwo: 24000;
/** Whether what we send has room for sound to be sent twice. */
declare class Room {
    /** There is room. */
    is: boolean;
    /**
     * One look at the line, about once a second.
     * @param {number} now milliseconds, of a clock that is never set back
     * @param {boolean} narrow the line takes less than the call wants, as its queue says
     * @param {number} available bits per second that the browser thinks the path carries; 0: it does not say
     * @param {number} rtt seconds; 0: not known
     */
    take(now: number, narrow: boolean, available: number, rtt: number): boolean;
    /** Another connection is in use, whose round trip is another. */
    forget(): void;
    #private;
}
/** Whether we want to hear the other side's sound twice. It changes seldom: each change is an offer and an answer. */
declare class Redundancy {
    /** It is wanted. */
    wanted: boolean;
    /**
     * One look at the sound that comes, about once a second.
     * @param {number} now milliseconds, of a clock that is never set back
     * @param {number} received packets so far @param {number} lost packets so far
     * @param {boolean} room the other side's line has room for it
     */
    take(now: number, received: number, lost: number, room: boolean): boolean;
    /** Another connection is in use, whose packets count anew. */
    forget(): void;
    #private;
}

// ---- call/path/relays.js
/** A settled call holds so many relays on the server for each person, at the most. */
declare const mostRelays: 4;
/**
 * Which of the server's relays a connection asks for. A browser takes one from each URL on each of its networks, IPv4 and
 * IPv6 apart, keeps all of them for as long as the connection lives, and uses one. So there are two: the best that is
 * known to get through, and the surest. What gets through on this network is learned from what connections find.
 */
declare class Relays {
    /** @type {WeakMap<object, Relays>} */ static "__#private@#known": WeakMap<object, Relays>;
    /** Those of a hub: what is known outlives a call. @param {object} hub */
    static of(hub: object): Relays;
    /** @param {import('../../base/clock.js').Clock} clock */
    constructor(clock: Clock);
    /** The network is another one, or lets through what it did not. */
    forget(): void;
    /** There may have been no network at all. */
    again(): void;
    /**
     * Those to ask for, of all that the server has.
     * @param {string[]} urls of relays, best first
     * @returns {string[]}
     */
    choose(urls: string[]): string[];
    /** Settled when what is likely to come of a connection's candidates has come. @param {RTCPeerConnection} pc that is watched */
    gathered(pc: RTCPeerConnection): Promise<void> | undefined;
    /**
     * Whether a connection holds more relays than a settled call should, and another would hold fewer. Browsers give those
     * of before a restart of ICE back, but Chromium keeps some for as long as the path leads over a relay.
     * @param {RTCPeerConnection} pc @param {boolean} relayed @param {string[]} urls that another would ask
     */
    tooMany(pc: RTCPeerConnection, relayed: boolean, urls: string[]): boolean;
    /**
     * Whether another connection would ask for nothing that this one has not asked for, and hold no fewer relays.
     * @param {RTCPeerConnection} pc @param {string[]} urls that another would ask
     */
    fits(pc: RTCPeerConnection, urls: string[]): boolean;
    /**
     * Learns from a connection, each time that it gathers: until that is over, or no relay has come for a while after another.
     * @param {RTCPeerConnection} pc @returns {RTCPeerConnection}
     */
    watch(pc: RTCPeerConnection): RTCPeerConnection;
    #private;
}

// ---- call/path/replacement.js
/**
 * New connections in place of those whose path was cut. A restart of ICE gives a new path too, but the browser of the
 * side that was not cut off goes on sending to the old one until nothing has come on it for seconds, whatever it is
 * told, and some browsers do not answer a restart rightly. So a whole connection is made beside the old one, and both
 * sides go over when it carries media.
 *
 * Every connection but the first has a name, which goes with its signaling data (`connection`); the first offer of a
 * new one says so (`replacement`). Where both offer one at once, the impolite side's is made. However often the other side
 * asks for one or refuses ours, no more are made than somebody needs who means well: each takes relays from the server.
 *
 * One that is to find a direct path (`direct`) has no relays, on neither side: there is nothing else that it could lead over.
 * Or it has those of who offers, so that it leads over one where there were two. It mends nothing, and where it does not
 * connect, nothing has happened: what goes over relays goes on.
 */
declare class Replacements {
    /** @param {ReplacementHost} host */
    constructor(host: ReplacementHost);
    /** Names the connection in use; the first is ''. */
    name: string;
    /** The other side understands replacements. */
    understood: boolean;
    /** One is being made that may lead over whatever there is. */
    get mending(): boolean;
    /** One is being made, or will be tried next. */
    get hopeful(): boolean;
    /** The connection that is being made; null: none. */
    get coming(): RTCPeerConnection | null;
    /**
     * Offers a new connection.
     * @param {boolean} [always] also where the last attempt was one
     * @param {'' | 'direct' | 'single'} [only] one without relays, or without the other side's
     * @param {boolean} [hurried] it is given up soon
     * @returns {boolean} false: the other side does not understand it, the last attempt was one, or there were too many: restart ICE instead
     */
    begin(always?: boolean, only?: "" | "direct" | "single", hurried?: boolean): boolean;
    /**
     * Handles signaling data of connections that are not in use.
     * @param {import('./received.js').SignalData} data
     * @returns {Promise<void> | null} null: it is for the one in use
     */
    handle(data: SignalData): Promise<void> | null;
    /** What went wrong before says nothing any more: something has changed. @param {boolean} [wholly] also what is being made */
    forget(wholly?: boolean): void;
    /** Gives up the connection that is being made. */
    abandon(): void;
    /** Gives up one that mends nothing and has found nothing yet. */
    spare(): void;
    /** Ends the connection that was in use; a little later, since the other side may still look at it. @param {RTCPeerConnection} pc */
    retire(pc: RTCPeerConnection): void;
    close(): void;
    #private;
}
/**
 * What replacements need of their peer.
 */
export type ReplacementHost = {
    clock: Clock;
    /**
     * a connection with fresh credentials; bare: without any relay
     */
    create: (bare: boolean) => RTCPeerConnection;
    /**
     * whether direct paths are allowed
     */
    direct: () => boolean;
    media: () => LocalMedia;
    showing: () => Showing;
    polite: () => boolean;
    /**
     * whether the other side sends any
     */
    pictures: () => boolean;
    signal: (data: any) => void;
    negotiation: NegotiationHost;
    /**
     * there is one; its channel has to be heard
     */
    made: (pc: RTCPeerConnection, channel: RTCDataChannel) => void;
    negotiated: (pc: RTCPeerConnection) => void;
    /**
     * it carries media: go over to it
     */
    ready: (negotiation: Negotiation, channel: RTCDataChannel) => void;
    /**
     * it did not connect; '': whatever was agreed upon
     */
    failed: (why: Failure | "", direct: boolean) => void;
};

// ---- call/path/sanitize.js
/**
 * Relays only, and without the address from which they are used.
 * @param {RTCIceCandidateInit[]} candidates
 */
declare function relayed(candidates: RTCIceCandidateInit[]): {
    candidate: string | undefined;
    sdpMLineIndex?: number | null;
    sdpMid?: string | null;
    usernameFragment?: string | null;
}[];
/** @param {RTCIceCandidateInit} candidate */
declare function isRelayed({ candidate }: RTCIceCandidateInit): boolean;
/** A description without candidates names the best one of them as its default, which is an address too. @param {RTCSessionDescriptionInit} description */
declare function withoutAddresses({ type, sdp }: RTCSessionDescriptionInit): {
    type: RTCSdpType;
    sdp: string;
};

// ---- call/path/sound.js
/** Whether a description says that redundant sound can be received. @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
declare function knowsRed(description: RTCSessionDescription | RTCSessionDescriptionInit | null): boolean;
/** Whether who has made a description wants redundant sound before other. @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
declare function prefersRed(description: RTCSessionDescription | RTCSessionDescriptionInit | null): boolean;
/**
 * The sound of one person, sent twice where some of it is lost. Each side hears what it misses, and the other side says
 * whether its line has room: who misses something asks for it by the order of codecs in an offer. An encoding's `codec`
 * would need no offer, but Chromium takes RED there and goes on as before.
 */
declare class Sound {
    /** @param {SoundHost} host */
    constructor(host: SoundHost);
    /** Once a second. @param {RTCStatsReport} report @param {import('./stats.js').Quality} quality */
    tick(report: RTCStatsReport, quality: Quality): void;
    /** Whether the other side's line has room, as it says. @param {boolean} possible */
    hear(possible: boolean): void;
    /** An offer is in force: without a word of ours the answer would want what the offer wants. @param {RTCPeerConnection} pc */
    prepare(pc: RTCPeerConnection): void;
    #private;
}
/**
 * What sound needs of its peer.
 */
export type SoundHost = {
    clock: Clock;
    /**
     * of the connection in use, while it is connected and can be negotiated
     */
    current: () => Negotiation | null;
    /**
     * whether messages go out at once
     */
    open: () => boolean;
    /**
     * the line takes less than the call wants
     */
    narrow: () => boolean;
    tell: (message: any) => void;
};

// ---- call/path/standstill.js
declare function playedOf(pc: RTCPeerConnection): number;
/**
 * Sees that a path on which something came all the time has gone silent, long before anybody can say that it is dead: for what costs
 * little and may be in vain. While all is well it reads memory alone.
 */
declare class Standstill {
    /** @param {StandstillHost} host */
    constructor(host: StandstillHost);
    begin(): void;
    /** How long nothing has come where something should, milliseconds, at least 1; 0: something comes, or nobody can tell. */
    get silence(): number;
    close(): void;
    #private;
}
/**
 * What it needs of its peer.
 */
export type StandstillHost = {
    clock: Clock;
    /**
     * the connection in use; null: there is none, or nothing is to be expected of it
     */
    pc: () => RTCPeerConnection | null;
    report: (pc: RTCPeerConnection) => Promise<RTCStatsReport | null>;
    /**
     * it stands still, or goes on
     */
    changed: () => void;
};

// ---- call/path/start.js
/**
 * A description of the other side as our browser is to hear it: with the bitrate to begin with. Chromium and Safari know it by
 * their own parameter of a format, in kbit/s; others leave what they do not know.
 * @param {{type: RTCSdpType, sdp?: string}} description of a browser too, whose members are no own ones @param {number} [rate] bits per second
 */
declare function startingFaster({ type, sdp }: {
    type: RTCSdpType;
    sdp?: string;
}, rate?: number): {
    type: RTCSdpType;
    sdp: string;
};
/**
 * Bits per second with which a connection begins to send, before it knows anything of its path. Chromium takes 300,000, and
 * leaves out up to four pictures of more than 320×240 while there are fewer than that for them, and of more than 640×480 below
 * 500,000: the first picture came 130 ms later of a camera with 30 a second. What the path does not carry is seen within a second.
 */
declare const startBitrate: 600000;
declare function startingAnew({ type, sdp }: RTCSessionDescription, rate: number): RTCSessionDescriptionInit;

// ---- call/path/stats.js
/**
 * The path of a candidate pair. A relay on the other side shows only in the type of its candidate.
 * @param {any} local candidate statistics
 * @param {any} remote
 * @param {Path | ''} [told] what the other side says of its own path
 * @returns {{path: Path, port: number, far: 'no' | 'yes' | 'unknown'}}
 */
export declare function describePath(local: any, remote: any, told?: Path | ""): {
    path: Path;
    port: number;
    far: "no" | "yes" | "unknown";
};
/**
 * How a connection is, in the browser's words; null where it does not say. Everybody asks here and not the connection
 * itself: Firefox never answers about one that is closed meanwhile, and who waits for that does nothing else any more.
 * @param {RTCPeerConnection} pc
 * @param {import('../../base/clock.js').Clock} [clock]
 * @returns {Promise<RTCStatsReport | null>}
 */
declare function statsOf(pc: RTCPeerConnection, clock?: Clock): Promise<RTCStatsReport | null>;
/** Whether a picture of the other side has been decoded. @param {RTCPeerConnection} pc @param {import('../../base/clock.js').Clock} [clock] */
declare function hasPicture(pc: RTCPeerConnection, clock?: Clock): Promise<boolean>;
/**
 * How loud the other side is heard at this moment, 0 to 1, as its packets say it: reading it asks nothing of the browser
 * but memory. 0 where they do not say.
 * @param {RTCPeerConnection} pc
 */
declare function loudness(pc: RTCPeerConnection): number;
/** Turns the snapshots of one RTCPeerConnection into Quality. */
export declare class Meter {
    /**
     * @param {RTCStatsReport} report
     * @param {Path | ''} [told] what the other side says of its path
     * @returns {Quality}
     */
    read(report: RTCStatsReport, told?: Path | ""): Quality;
    #private;
}
/**
 * How the connection to one peer is. Rates are over the time since the snapshot before.
 */
export type Quality = {
    /**
     * '' while nothing is connected
     */
    path: Path | "";
    /**
     * of the relay that we use over TLS; 0: none, or the browser does not say
     */
    port: number;
    /**
     * whether the relay is the other side's; `unknown`: it is, and over what is not known
     */
    far: "no" | "yes" | "unknown";
    /**
     * seconds
     */
    rtt: number;
    /**
     * lost packets of those sent to us, 0 to 1
     */
    loss: number;
    /**
     * seconds
     */
    jitter: number;
    /**
     * bits per second
     */
    received: number;
    /**
     * bits per second
     */
    sent: number;
    /**
     * what the sender thinks that the path carries, bits per second; 0: not known
     */
    available: number;
    /**
     * decoded in all
     */
    frames: number;
    /**
     * decoded frames per second
     */
    frameRate: number;
    /**
     * of the picture that is received
     */
    width: number;
    height: number;
    /**
     * milliseconds since the last packet of the peer; Infinity: none yet
     */
    silence: number;
    /**
     * candidate type
     */
    local: string;
    /**
     * candidate type
     */
    remote: string;
};

// ---- call/path/tally.js
/**
 * What the streams of a connection have carried in all. Firefox counts a stream anew where it has another codec, and pictures have one for a
 * moment where those that wait are forgotten (bitrate.js): taken as it is, that looked like a second in which next to nothing came.
 */
declare class Tally {
    /**
     * @param {RTCStatsReport} report
     * @returns {Iterable<Sum>} by direction and kind
     */
    take(report: RTCStatsReport): Iterable<Sum>;
    #private;
}
export type Sum = {
    type: string;
    kind: string;
} & Record<(typeof members)[number], number>;
declare const members: readonly ["packetsSent", "bytesSent", "retransmittedBytesSent", "packetsReceived"];

// ---- call/path/timing.js
/**
 * Times messages through the path, and tells the queue on the way there from that on the way here: the clocks of the two
 * are not the same, but each runs evenly, so what counts is how much later than at the best of times a message is.
 */
declare class PathTiming {
    /** @param {import('../../base/clock.js').Clock} clock @param {(message: any) => void} tell */
    constructor(clock: Clock, tell: (message: any) => void);
    /** Milliseconds that what we send waits on its way, and what comes to us. */
    there: number;
    here: number;
    /** What the other side says that it gets of us, and wants of us at most; bits per second. */
    got: number;
    /** Milliseconds that the last long message waited on its way there, whoever was busy: it took no less. */
    took: number;
    /** Bits per second at which the message that came last has passed, at the least, whoever was busy, where it is a long one of the other side; else 0. */
    brought: number;
    /** The other side answers. */
    answered: boolean;
    /** When the last message was sent that was answered. */
    answeredOf: number;
    /** The page was late by so much, milliseconds: no packet was. @param {number} late */
    busy(late: number): void;
    /** Bits per second that the other side wants at most; what it does not say again is forgotten. */
    get asked(): number;
    /**
     * Sends a ping where none is on its way and the last is so long ago.
     * @param {number} every milliseconds @param {number} pad bytes @param {number} most bits per second that we ask for
     * @returns {boolean} it was sent
     */
    ping(every: number, pad: number, most: number): boolean;
    /**
     * How long the ping on its way has waited beyond the best of times on the way there, as far as is known; 0: none has. What
     * comes to us tells how much of it may be the way here, for a moment: acknowledgements go the other way than what they are for, so
     * that one way on which nothing passes looks like both.
     * @param {boolean} [ours] it is known that the way there is too narrow
     */
    waiting(ours?: boolean): number;
    /** How much later than at the best of times the answer is for which we wait, as far as the way here is not seen to be the reason, milliseconds. */
    get overdue(): number;
    /**
     * How long messages wait on both ways together even at the best of times, where the path's own round trip is known: a line that
     * was full before the first of them knows no better. 0: they do not, or too few have come.
     * @param {number} roundTrip milliseconds; 0: not known
     */
    standing(roundTrip: number): number;
    /** How long nothing at all has come from who answers, and pings by himself, milliseconds. */
    get silence(): number;
    /** How long no ping has been answered of those on their way, milliseconds. */
    get unanswered(): number;
    /**
     * A ping or pong of the other side.
     * @param {import('../data/bounds.js').Timed} message
     * @param {{got: number, most: number}} ours bits per second that we get of them, and that we ask for
     * @returns {number | null} by how many bytes our ping was longer than others, where this answers it
     */
    hear({ type, n, at, got, most, late: theirs, pad }: Timed, ours: {
        got: number;
        most: number;
    }): number | null;
    /** Another connection is in use: what is known of the path is not true of it. */
    forget(): void;
    #private;
}

// ---- call/path/trickle.js
/** Candidates on their way to the other side: after the description that they belong to, and together. */
declare class Trickle {
    /** @param {(candidates: RTCIceCandidateInit[]) => void} send @param {import('../../base/clock.js').Clock} clock */
    constructor(send: (candidates: RTCIceCandidateInit[]) => void, clock: Clock);
    /** @param {...RTCIceCandidateInit} candidates */
    add(...candidates: RTCIceCandidateInit[]): void;
    /** The description is out. */
    described(): void;
    flush(): void;
    /** Forgets what waits. */
    clear(): void;
    #private;
}

// ---- call/path/watch.js
/**
 * Milliseconds since anything was received, by whatever pair of candidates; Infinity where nothing ever was.
 * @param {RTCStatsReport} report
 */
declare function silenceOf(report: RTCStatsReport): number;
/**
 * Watches whether anything comes from a peer. The browser says that a path is dead seconds late or not at all, so
 * when something has happened to the network this looks for itself, for a while.
 */
declare class PathWatch {
    /**
     * @param {import('../../base/clock.js').Clock} clock
     * @param {() => Promise<RTCStatsReport | null>} report statistics of the connection; null: there is none
     * @param {(dead: boolean) => void} changed told when the path dies or lives again
     * @param {() => number} [patience] after so many milliseconds without a packet it is dead
     */
    constructor(clock: Clock, report: () => Promise<RTCStatsReport | null>, changed: (dead: boolean) => void, patience?: () => number);
    /** Nothing comes any more. */
    dead: boolean;
    /** Looks closely for so long. @param {number} [milliseconds] */
    look(milliseconds?: number): void;
    /** Says what is known otherwise. @param {boolean} dead */
    set(dead: boolean): void;
    close(): void;
    #private;
}

// ---- call/path/widening.js
/** As much more than is sent has to pass, by two of three in a row, before the line is believed to be another. */
declare const muchMore: 2;
declare function passed(pad: number, delay: number): number;
/** How much a line takes, by long messages. */
declare class Widening {
    /** What the line has been seen to take by two of three, bits per second; 0: not much more than is sent. */
    takes: number;
    /** The most that the last ones show, bits per second: so much has passed, at the least. 0: there are none. */
    get best(): number;
    /** What two of the last ones have shown, bits per second; 0: none has, or one alone. */
    get sure(): number;
    /** The line has become wider, so what it takes is of interest at once. */
    hope(): void;
    /** They are of another line, or of another time. */
    forget(): void;
    /**
     * By how many bytes the next message is to be longer than others; 0: not at all.
     * @param {number} now milliseconds @param {boolean} calm nothing waits
     * @param {number} known bits per second that are sent, or that the line is held to take
     * @param {number} most milliseconds between two, at the most
     */
    plan(now: number, calm: boolean, known: number, most?: number): number;
    /** One has been sent. @param {number} now */
    sent(now: number): void;
    /**
     * One has come.
     * @param {number} now @param {number} pad bytes by which it was longer @param {number} delay milliseconds that it came later than at the best of times
     * @param {number} known bits per second that are sent, or that the line is held to take
     */
    took(now: number, pad: number, delay: number, known: number): void;
    #private;
}
/** What it sends meanwhile, bits per second: sound, and a picture that only just is one; where that spared too little there is none. */
declare const soundAlone: 34000;
/** Has a browser look for more, where its line takes more than it thinks. */
declare class Looking {
    /** The most that it may send is to be a little less than otherwise, or no less: what counts is that it changes. Firefox makes what it receives anew at each change. */
    less: boolean;
    /** Less is sent for a moment: of pictures, or nothing of them. @type {'' | 'pictures' | 'sound'} */
    rests: "" | "pictures" | "sound";
    /**
     * What it sends, whether it is to look for more or not.
     * @param {number} now milliseconds @param {number} thinks bits per second that it may send @param {number} sends bits per second
     */
    see(now: number, thinks: number, sends: number): void;
    /**
     * One look at what it thinks.
     * @param {number} now milliseconds @param {number} thinks bits per second that it may send
     * @param {number} takes bits per second that the line has been seen to take; 0: not known
     * @param {boolean} says it says so itself
     * @param {number} apart bits per second of it that it does not count: sound, or nothing
     * @param {number} sound bits per second that sound alone has of what it counts
     */
    take(now: number, thinks: number, takes: number, says: boolean, apart?: number, sound?: number): void;
    /** Something waits on the line: that it found nothing says nothing of what it finds later. */
    wait(): void;
    /** It thinks enough of its line. */
    forget(): void;
    #private;
}
/**
 * With how much a browser is to begin anew that thinks too little of its line. What it looks for by itself is twice as much at a time, and it does not find
 * that where something on the way hands on together what was sent apart, as proxies do.
 */
declare class Beginning {
    /**
     * @param {number} now @param {number} thinks bits per second that it may send @param {number} rate bits per second that it may begin with
     * @param {number} takes bits per second that the line has been seen to take
     * @returns {number} bits per second; 0: it goes on
     */
    take(now: number, thinks: number, rate: number, takes: number): number;
    #private;
}

// ---- call/peer.js
/**
 * Another person in the call. Perfect negotiation as in the W3C's webrtc-pc; the server says who is polite.
 * @extends {Emitter<PeerEvents>}
 */
export declare class Peer extends Emitter<PeerEvents> {
    /**
     * @param {PeerHost} host @param {PeerInfo} info
     * @param {{started?: number, quiet?: boolean}} [options] performance.now() of the click; nothing flows before `begin`
     */
    constructor(host: PeerHost, info: PeerInfo, { started, quiet }?: {
        started?: number;
        quiet?: boolean;
    });
    name: string;
    user: string;
    /** What the peer says that it sends. */
    /** @type {Sending} */ media: Sending;
    /** @type {Quality | null} */ quality: Quality | null;
    /** Identifies the other side's call across sessions. */
    instance: string;
    /** The peer's socket is lost; media may go on. */
    away: boolean;
    /** The peer's session is gone; the media path may still live, and the peer may come back. */
    orphan: boolean;
    /** milliseconds from join or accept to the first decoded frame; 0: none yet */
    firstFrame: number;
    /** What the two programs cannot do with each other, and why; '': nothing of the kind is known. @type {Trouble | ''} */ trouble: Trouble | "";
    id: string;
    polite: boolean;
    /** @type {PeerState} */
    get state(): PeerState;
    /** What the server says of the peer. @param {PeerInfo} info */
    introduce({ name, user, away }: PeerInfo): void;
    /** What comes from the peer's camera and microphone. */
    get stream(): MediaStream;
    /** What comes of a screen that the peer shares beside the camera: `media.beside` says whether it does. */
    get screen(): MediaStream;
    /**
     * How large this page shows the peer's camera. Of a smaller picture than before less is sent, within a second: what
     * nobody sees needs no line and no processor. Without a word of it everything that fits the line comes.
     * @param {number} width of the screen's own pixels: times `devicePixelRatio` @param {number} height
     */
    shown(width: number, height: number): void;
    /**
     * The string by which the two compare the keys between their browsers, read aloud: four numbers below 64, which the page
     * shows as symbols. Where it is the same on both sides, nobody sits between them, this server included.
     * 'authentication-string' says that there is one, because the other side has asked, or that the keys are others: null.
     * @returns {Promise<number[] | null>} null: the other side's program does not know of it, or there is no connection yet
     */
    authenticationString(): Promise<number[] | null>;
    /** The host of the room has muted the peer: nothing of the peer is heard here, whatever comes. */
    get silenced(): boolean;
    /** @param {boolean} silent */
    silence(silent: boolean): void;
    /** How loud the peer is heard at this moment, 0 to 1. */
    get loudness(): number;
    /** What of the call fits the line, of what we send and of what the peer sends. @returns {{ours: LineState, theirs: LineState}} */
    get line(): {
        ours: LineState;
        theirs: LineState;
    };
    /** Its line takes less than the call wants, one way or the other. */
    get narrow(): boolean;
    /** The connection, for what this class does not offer. Another takes its place when its path is cut. */
    get pc(): RTCPeerConnection | null;
    /** How long the peer has not been connected, milliseconds. */
    get unconnected(): number;
    /** Offers a new connection. */
    offer(): void;
    /**
     * Goes on with an offer that was sent already.
     * @param {import('./ahead.js').Prepared} prepared
     * @param {RTCIceCandidateInit[]} [withheld] its candidates that were not sent with it
     */
    offered(prepared: Prepared, withheld?: RTCIceCandidateInit[]): void;
    /** The candidates that were kept back, to go with `join`. */
    tellWithheld(): RTCIceCandidateInit[];
    /** Sends our media: what of it there is has changed. */
    send(): void;
    /** Tells the peer what we send. */
    tellMedia(): void;
    /** What somebody wishes to receive is another: of what we send, and of what we say of it. */
    wish(): void;
    /**
     * Both are in the room: media and messages flow, and the rest of the candidates goes out.
     * @param {PeerInfo} info
     * @param {{started?: number, told?: boolean}} [options] performance.now() of the click; what `tellWithheld` gave has been sent
     */
    begin(info: PeerInfo, { started, told }?: {
        started?: number;
        told?: boolean;
    }): void;
    /** Our offer may not have been delivered: says it again. */
    repeatOffer(): void;
    /**
     * The answer to an offer, without any connectivity check before `candidates` are handled: for a call that is
     * being accepted.
     * @param {any} first the caller's offer, as it came
     */
    answerAhead(first: any): Promise<{
        answer?: RTCSessionDescriptionInit;
        candidates: RTCIceCandidateInit[];
    } | null>;
    /**
     * Handles signaling data of the peer: `{description}`, `{candidates}`, `{candidate}`.
     * @param {any} data
     */
    handle(data: any): Promise<void>;
    /** Looks for another path, while the old one stays in use as long as it works. @param {boolean} [urgent] even if nothing seems wrong */
    restart(urgent?: boolean): void;
    /** Somebody's hub is back after it was lost: whatever does not work is looked for anew, at once. */
    recover(): void;
    /** Our session goes on, at another node perhaps. */
    resumed(): void;
    /** This page was asleep. */
    woken(): void;
    /** The network is another one: there may be a better path. */
    networkChanged(): void;
    /** Fresh credentials. */
    configure(): void;
    /**
     * The peer has come back with another session (or we have), and the connection goes on.
     * @param {PeerInfo} info
     */
    rekey(info: PeerInfo): Promise<void>;
    /** Bitrates for the number of people in the call; no pictures into a path that is dead. */
    limit(): void;
    /** @returns {Promise<Quality>} */
    measure(): Promise<Quality>;
    /** Once a second: measures, and sees what the browser does not say. */
    tick(): Promise<void>;
    /** Sends a message on the data channel, or keeps it until that is open. @param {any} message */
    tell(message: any): void;
    /**
     * Offers a file; it is sent when the other side takes it.
     * @param {File} file
     */
    sendFile(file: File): Transfer;
    close(): void;
    #private;
}
export type PeerState = "connecting" | "connected" | "reconnecting" | "closed";

// ---- call/pulse.js
/** Once a second: measures everybody, tells the server how it goes, and sees that the page was asleep. */
declare class Pulse {
    /** @param {PulseHost} host */
    constructor(host: PulseHost);
    start(): void;
    stop(): void;
    /** Tells the server how it goes. @param {import('./peer.js').Peer} peer */
    report(peer: Peer): void;
    #private;
}
/**
 * What the pulse needs of its call.
 */
export type PulseHost = {
    hub: Hub;
    peers: Set<Peer>;
    room: () => string;
    /**
     * once a second
     */
    beat: () => void;
    /**
     * the session of this one is gone, and its media too
     */
    lost: (peer: Peer) => void;
};

// ---- call/rawcall.js
/**
 * A call of two over a raw relay socket, where each message goes unchanged to the other: `{"sdp": …}` and
 * `{"ice": …}`. The relay says neither who is there nor who is polite, and keeps nothing: whoever comes first offers
 * into the void, so the offer of the second must win over it.
 * @extends {Emitter<RawCallEvents>}
 */
declare class RawCall extends Emitter<RawCallEvents> {
    /**
     * @param {string} url
     * @param {import('./media/media.js').LocalMedia} media
     * @param {RTCConfiguration} configuration
     */
    constructor(url: string, media: LocalMedia, configuration: RTCConfiguration);
    url: string;
    media: LocalMedia;
    configuration: RTCConfiguration;
    close(): void;
    #private;
}
export type RawCallEvents = {
    stream: MediaStream;
    state: "connecting" | "connected" | "reconnecting";
    error: unknown;
};

// ---- call/returning.js
/**
 * The server has forgotten sessions while media between the browsers went on: who comes back with a new session is
 * recognized by the `instance` of the call, and the connection goes on.
 */
declare class Returning {
    /** @param {ReturningHost} host */
    constructor(host: ReturningHost);
    /** A call by name was forgotten: both meet in a room that only they know. @param {string} room */
    meet(room: string): Promise<void>;
    /** We have a new session in the room. @param {import('../session/hub.js').Joined} joined */
    back(joined: Joined): void;
    /** @param {PeerInfo} info @param {any} data @returns {Promise<void>} */
    handle(info: PeerInfo, data: any): Promise<void>;
    #private;
}
/**
 * What those who come back with another session need of their call.
 */
export type ReturningHost = {
    call: Call;
    add: (info: PeerInfo) => Peer;
    find: (id: string) => Peer | undefined;
};

// ---- call/sas.js
/**
 * The keys that a connection is sealed with, as both sides have them: the fingerprints of the certificates of both.
 * @param {RTCPeerConnection | null} pc @returns {string} '' before they are proved
 */
declare function keysOf(pc: RTCPeerConnection | null): string;
declare const sasLength: 4;
declare const sasSymbols: 64;
/**
 * The short authentication string of two people (the idea of RFC 6189 section 4.4.1.1): they read it to each other, and where
 * it is the same on both sides nobody sits between their browsers, not even the server that carried their keys.
 *
 * It is a hash over the keys in use and a nonce of each side. Whoever sits between has other keys with each of the two,
 * and would search for nonces with which the strings are equal all the same. So each side says the hash of its nonce first,
 * and the nonce itself only when it has the hash of the other's: then nothing is left to choose, and a string fits by
 * chance alone.
 */
declare class ShortAuthenticationString {
    /** @param {SasHost} host */
    constructor(host: SasHost);
    /** @type {number[] | null} of the keys in use, each below `sasSymbols` */ numbers: number[] | null;
    /**
     * The string, once both sides have it.
     * @returns {Promise<number[] | null>} null: the other side does not know of it, or there are no keys yet
     */
    ask(): Promise<number[] | null>;
    /** What the other side says. @param {SaidSas} said */
    hear(said: SaidSas): Promise<void> | undefined;
    /** The keys in use may be others. */
    moved(): void;
    #private;
}
/**
 * of signaling data; hex of 32 bytes each
 */
export type SaidSas = {
    commit?: string;
    nonce?: string;
    to?: string;
};
/**
 * What the short authentication string needs of its peer.
 */
export type SasHost = {
    clock: Clock;
    /**
     * what both sides have alike of the keys in use, and nobody between them; '': nothing yet
     */
    binding: () => string;
    say: (said: SaidSas) => void;
    changed: (numbers: number[] | null) => void;
};
export type Run = {
    binding: string;
    nonce: string;
    commit: string;
    revealed: boolean;
    theirs: string;
    at: number;
};

// ---- call/thrift.js
/**
 * On a line that is known as narrow whatever is opened or tried beside the call takes of its sound, and the reason to open another is
 * mostly that it is late. So each peer says by `narrow` whether its path is one, and what looks after that path asks there: healing,
 * better paths, the last door. Here is what is the whole call's: what we say of our line, and whether it is ours that is narrow.
 */
declare class Thrift {
    /**
     * @param {Pick<import('../session/hub.js').Hub, 'setNarrow'>} hub
     * @param {Iterable<{state: string, narrow: boolean}>} peers
     * @param {(since: number) => number} [takes] bits per second that our line was seen to take lately; Infinity: not known
     * @param {() => number} [now]
     * @param {() => Promise<void>} [sample] has something come, so that it is seen
     */
    constructor(hub: Pick<Hub, "setNarrow">, peers: Iterable<{
        state: string;
        narrow: boolean;
    }>, takes?: (since: number) => number, now?: () => number, sample?: () => Promise<void>);
    /** Our line was seen to be narrow before the call. */
    get expected(): boolean;
    /** A call may come soon, and nothing else uses the line: where nothing is known of it, it is looked at, once for each network and while that holds. */
    look(): void;
    /** What the others are told of our line with a description of ours. @returns {{takes?: number}} */
    get said(): {
        takes?: number;
    };
    /** The network is another one. */
    forget(): void;
    /** Our own line is narrow: that of everybody whom we are connected with is. */
    get here(): boolean;
    /** Once a second: the socket to the server is on that line too. */
    beat(): void;
    end(): void;
    #private;
}

// ---- call/videocall.js
/**
 * A video call of two in one function.
 *
 *     const call = initializeVideoCall({
 *       webSocketUrl: 'wss://calls.example.org/relay/blue-fox-42',
 *       localVideoElement: document.querySelector('#me'),
 *       remoteVideoElement: document.querySelector('#you'),
 *     });
 *     muteButton.onclick = () => call.toggleTrack('audio');
 *
 * @param {VideoCallOptions} options
 * @returns {VideoCall}
 */
export declare function initializeVideoCall(options: VideoCallOptions): VideoCall;
export type VideoCallOptions = {
    /**
     * the native hub with its room (`wss://host/ws?room=NAME`) or a raw relay
     * (`wss://host/relay/NAME`); a relative one means the server that served this module
     */
    webSocketUrl: string;
    /**
     * only a microphone is available
     */
    onlyAudioHandler?: (() => void) | undefined;
    /**
     * neither camera nor microphone: receive only
     */
    userMediaErrorHandler?: ((error: unknown) => void) | undefined;
    /**
     * no microphone
     */
    userNoAudioErrorHandler?: ((error: unknown) => void) | undefined;
    localVideoElement: HTMLVideoElement;
    remoteVideoElement: HTMLVideoElement;
    /**
     * pixels
     */
    maxVideoWidth?: number | undefined;
    /**
     * pixels
     */
    maxVideoHeight?: number | undefined;
    /**
     * per second
     */
    maxFrameRate?: number | undefined;
};
export type VideoCall = {
    /**
     * switches the track; returns whether it is on now
     */
    toggleTrack: (kind: "audio" | "video") => boolean;
    endCall: () => void;
    /**
     * called at each error; replace it by your own
     */
    errorHandler: (error: unknown) => void;
    /**
     * settled when the media are open and the call is being set up
     */
    ready: Promise<void>;
};

// ---- call/way.js
/** By which way media and messages go: the connection, or the server's WebSocket while there is none. */
declare class Way {
    /**
     * @param {WayHost} host
     * @param {{clock?: import('../base/clock.js').Clock, load?: import('./path/lastdoor.js').LastDoorHost['load']}} [parts]
     */
    constructor(host: WayHost, { clock, load }?: {
        clock?: Clock;
        load?: LastDoorHost["load"];
    });
    /** Of the connections alone. @type {PeerState} */ reached: PeerState;
    /** @type {LastDoor} */ door: LastDoor;
    /** Of the keys of the way in use. @type {ShortAuthenticationString} */ sas: ShortAuthenticationString;
    /** @type {PeerState} */
    get state(): PeerState;
    /** Whether there is a channel on a connection, open or not. */
    get talks(): boolean;
    /** The connections are in another state. @param {PeerState} state */
    reach(state: PeerState): void;
    /** The connection's channel is open: something is said there that only the other side hears. */
    bind(): void;
    /** The other side has done so. @param {RTCPeerConnection} pc @param {string} word */
    bound(pc: RTCPeerConnection, word: string): void;
    /** @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
    talk(pc: RTCPeerConnection, channel: RTCDataChannel): void;
    /** What sounds in place of a connection that stands still; null: that is heard itself. */
    get heard(): WebSocketPath | null;
    /** Messages go through the WebSocket, and are heard at once. */
    get prompt(): boolean;
    /** What fits it; null: that is for the connection to say. @returns {{ours: LineState, theirs: LineState} | null} */
    get line(): {
        ours: LineState;
        theirs: LineState;
    } | null;
    /** How it is, by the way in use. @param {Quality} quality of the connection @returns {Quality} */
    quality(quality: Quality): Quality;
    #private;
}
/**
 * What the way needs of its peer.
 */
export type WayHost = {
    call: () => PeerHost;
    /**
     * the other side's session
     */
    id: () => string;
    /**
     * nothing may flow yet
     */
    quiet: () => boolean;
    /**
     * the other side's session is gone
     */
    orphan: () => boolean;
    /**
     * how long there has been no connection, milliseconds
     */
    unconnected: () => number;
    /**
     * the connection in use, where the other side says that it sends sound by it, and its line is none on which that waits
     */
    sending: () => RTCPeerConnection | null;
    /**
     * whether it has been connected by a connection once
     */
    connected: () => boolean;
    channel: PeerChannel;
    received: Received;
    signal: (data: any) => void;
    /**
     * the line of our connection is narrow, or what we send comes late there
     */
    strained: () => boolean;
    /**
     * our connection is over TCP or TLS, where what the line does not take waits
     */
    waits: () => boolean;
    /**
     * bits per second that the other side and we want of pictures at the most
     */
    pictures: () => number;
    /**
     * the string by which people compare their keys is another
     */
    string: (numbers: number[] | null) => void;
    /**
     * what of the call fits it is another
     */
    line: () => void;
    /**
     * a picture has come that way
     */
    shown: () => void;
    /**
     * the other side has no way but a connection, and there is none
     */
    doorless: () => void;
    /**
     * the peer is in another state
     */
    said: (state: PeerState) => void;
    /**
     * its tracks are others
     */
    stream: () => void;
};

// ---- call/websocket/age.js
/**
 * How late the least late frame is since `again`, against the earliest of the last half minute: what waits in a queue makes all of
 * them late, and a busy page some (the idea of RFC 8289). The sender empties its queue now and then, see Flow: else one that always
 * stands would count as none after half a minute.
 */
declare class Age {
    /** @param {number} at when a frame was made, by the sender's clock @param {number} now milliseconds */
    note(at: number, now: number): void;
    /** Milliseconds; 0: nothing has come. */
    get late(): number;
    /** It is asked anew from here. */
    again(): void;
    #private;
}

// ---- call/websocket/audio.js
/** The context, once its modules are there. It rejects where there can be none, or nobody waits for it any more. */
declare function open(): Promise<AudioContext>;
/** Whoever has opened it needs it no more. */
declare function close(): void;

// ---- call/websocket/busy.js
/** Tells how late this page was lately. */
declare class Busy {
    /** @param {import('../../base/clock.js').Clock} clock @param {() => boolean} counts timers are in time where the page is not busy: not in every hidden tab */
    constructor(clock: Clock, counts: () => boolean);
    /** By so much, milliseconds, what came or left lately may be late for the page alone. */
    get lately(): number;
    /** @param {number} late milliseconds @returns {number} what of it the page does not explain */
    excuse(late: number): number;
    close(): void;
    #private;
}

// ---- call/websocket/capture.worklet.js
/** @type {any} */ declare const scope: any;
declare const Capture_base: any;
declare class Capture extends Capture_base {
    [x: string]: any;
    /** @param {{processorOptions: {packetSamples: number, sampleRate: number}}} options */
    constructor({ processorOptions: { packetSamples, sampleRate } }: {
        processorOptions: {
            packetSamples: number;
            sampleRate: number;
        };
    });
    /** @param {Float32Array[][]} inputs */
    process([channels]: Float32Array[][]): boolean;
    #private;
}

// ---- call/websocket/channels.js
/** All channels of one path. Numbers that we give are even on one side and odd on the other. */
declare class Channels {
    /**
     * @param {boolean} even which numbers are ours
     * @param {() => number} part so many bytes go at once
     * @param {(content: Uint8Array<ArrayBuffer>) => void} out
     * @param {(channel: Channel) => void} incoming the other side has opened one
     * @param {() => void} flooded too much waits
     */
    constructor(even: boolean, part: () => number, out: (content: Uint8Array<ArrayBuffer>) => void, incoming: (channel: Channel) => void, flooded: () => void);
    /** The one for chat and state. */
    main: Channel;
    /** @param {string} label */
    createDataChannel(label: string): Channel;
    /** @param {Channel} channel @param {number} op @param {Uint8Array} data */
    send(channel: Channel, op: number, data: Uint8Array): void;
    /** @param {Uint8Array<ArrayBuffer>} content */
    take(content: Uint8Array<ArrayBuffer>): void;
    /** Says how much has come: now and then. */
    say(): void;
    /** The two have met by another socket: what was on its way may be lost. */
    met(): void;
    /** @param {Channel} channel */
    forget(channel: Channel): void;
    /** The path has ended. Those who use them go on elsewhere. */
    close(): void;
    #private;
}
export type ChannelState = "connecting" | "open" | "closed";
/** One of them: the part of RTCDataChannel that is used here. */
declare class Channel extends EventTarget {
    /** @param {Channels} all @param {number} id @param {string} label */
    constructor(all: Channels, id: number, label: string);
    /** @type {ChannelState} */ readyState: ChannelState;
    bufferedAmount: number;
    bufferedAmountLowThreshold: number;
    binaryType: string;
    /** @type {((event: {data: any}) => void) | null} */ onmessage: ((event: {
        data: any;
    }) => void) | null;
    /** @type {(() => void) | null} */ onopen: (() => void) | null;
    /** @type {(() => void) | null} */ onclose: (() => void) | null;
    /** @type {(() => void) | null} */ onbufferedamountlow: (() => void) | null;
    /** Of what is coming, and what that counts. @type {Uint8Array[]} */ parts: Uint8Array[];
    counted: number;
    all: Channels;
    id: number;
    label: string;
    /** @param {string | ArrayBuffer} data */
    send(data: string | ArrayBuffer): void;
    close(): void;
    closed(): void;
    /** @param {number} bytes that were sent */
    left(bytes: number): void;
}

// ---- call/websocket/flow.js
/** Lets out what one end sends: sound and reports at once, pictures and messages as the other side answers for them. */
declare class Flow {
    /**
     * @param {() => number} now milliseconds
     * @param {(kind: FrameKind, content: Uint8Array<ArrayBuffer>) => Promise<number>} send seals and sends; the number of the frame, 0: it was not sent
     * @param {(go: () => void, ms: number) => void} wake calls that once, in so many milliseconds
     */
    constructor(now: () => number, send: (kind: FrameKind, content: Uint8Array<ArrayBuffer>) => Promise<number>, wake: (go: () => void, ms: number) => void);
    /** Bytes of pictures and messages that may be on their way. */
    window: number;
    /** Whether another picture would wait. */
    get full(): boolean;
    /** So large a piece of a picture or a message is to be: no more than sound can wait for. */
    get piece(): number;
    /** Bytes of messages that wait. */
    get waiting(): number;
    /** How long the picture that leaves next has waited here, milliseconds. */
    get waited(): number;
    /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content */
    push(kind: FrameKind, content: Uint8Array<ArrayBuffer>): void;
    /** Whether far more than a narrow line carries has come in time lately. */
    get roomy(): boolean;
    /**
     * Looks for room with what nobody needs: pictures of which little moves, and sound alone, never show it. A piece of no picture, which the
     * other side drops.
     */
    probe(): void;
    /**
     * Bits per second at which pictures that waited here have left lately: what the line has beside sound; Infinity: not enough has waited to tell.
     * Asked now and then. @param {number} busy so long since it was asked last a page stood still, ours or theirs, milliseconds
     */
    carries(busy: number): number;
    /**
     * The other side answers.
     * @param {number[]} had the number of the last frame that came, of sound, pictures and messages
     * @param {number} at when that was said, by the other side's clock, milliseconds
     * @param {number} held how long before a picture or message came last, milliseconds
     */
    answered(had: number[], at: number, held: number): void;
    /** Now and then: what did not come is given up, and what of the window nothing needs. */
    tick(): void;
    /** The two have met by another socket: what was on its way is lost, or comes all the same. */
    met(): void;
    #private;
}
/** What has come, for the other side's flow. */
declare class Arrivals {
    /** Our own line, on which answers go, is narrow. */
    narrow: boolean;
    /**
     * @param {FrameKind} kind @param {number} number of the frame @param {number} bytes @param {number} now milliseconds
     * @returns {boolean} whether it is to be answered for now
     */
    note(kind: FrameKind, number: number, bytes: number, now: number): boolean;
    /** @param {number} now */
    due(now: number): boolean;
    /** So long what came may be without an answer, milliseconds. */
    get wait(): 50 | 150;
    /** Whether something is to be answered for, some time. */
    get owes(): boolean;
    /** @param {number} now @returns {{had: number[], at: number, held: number}} for Flow.answered */
    answer(now: number): {
        had: number[];
        at: number;
        held: number;
    };
    #private;
}
/**
 * `number`: Infinity until it is sealed; `burst`: bytes that left with it; `flight`: that were on their way then
 */
export type Parcel = {
    lane: number;
    number: number;
    bytes: number;
    at: number;
    burst: number;
    flight: number;
};
export type Waiting = {
    kind: FrameKind;
    content: Uint8Array<ArrayBuffer>;
    at: number;
};

// ---- call/websocket/libopus.js
/** @returns {Promise<WebAssembly.Module>} rejected where it cannot be had */
declare function load(): Promise<WebAssembly.Module>;
/** Encodes one voice: mono, 48 kHz. */
declare class Encoder {
    /** @param {WebAssembly.Module} module @param {number} bitrate */
    static begin(module: WebAssembly.Module, bitrate: number): Promise<Encoder>;
    /** @param {Opus} opus @param {number} voice */
    constructor(opus: Opus, voice: number);
    /** @param {Float32Array} samples 20 ms of them @returns {Uint8Array<ArrayBuffer>} a packet */
    encode(samples: Float32Array): Uint8Array<ArrayBuffer>;
    #private;
}
/** Decodes one voice. */
declare class Decoder {
    /** @param {WebAssembly.Module} module */
    static begin(module: WebAssembly.Module): Promise<Decoder>;
    /** @param {Opus} opus @param {number} voice */
    constructor(opus: Opus, voice: number);
    /** @param {Uint8Array} packet @returns {Float32Array<ArrayBuffer> | null} null: that is none */
    decode(packet: Uint8Array): Float32Array<ArrayBuffer> | null;
    #private;
}
/**
 * What opus.c offers. Numbers are places in `memory`, or errors of libopus where they are below 0.
 */
export type Opus = {
    memory: WebAssembly.Memory;
    samples_at: () => number;
    packet_at: () => number;
    /**
     * bytes
     */
    packet_most: () => number;
    /**
     * 0: there is no memory
     */
    encoder: (bitrate: number) => number;
    /**
     * the same
     */
    decoder: () => number;
    encode: (encoder: number, samples: number) => number;
    decode: (decoder: number, bytes: number) => number;
};

// ---- call/websocket/link.js
/** The sockets of one end. */
declare class Link {
    /** @param {LinkHost} host @param {string} [agent] */
    constructor(host: LinkHost, agent?: string);
    /** Whether the other side has its socket, as far as the server has told. */
    here: boolean;
    /** Bytes that wait in the browser. */
    get queued(): number;
    /** Whether what is sent now leaves. */
    get open(): boolean;
    /** How long the server has said nothing by the one in use, whoever's word it was, milliseconds. */
    get silence(): number;
    /** @param {Uint8Array<ArrayBuffer>} frame sent, or lost where there is no socket */
    send(frame: Uint8Array<ArrayBuffer>): void;
    /** Opens one; beside that in use, which goes on until the other side is met there. */
    begin(): void;
    /** Asks the server for a word, by the one in use: whether it is that which is silent. */
    ask(): void;
    /**
     * Nothing has come for a while: the socket may be dead without knowing it.
     * @param {boolean} [sure] another is used even if this one goes on meanwhile
     */
    renew(sure?: boolean): void;
    /** Our session or the other side's is another: the one in use is of those before, and goes on until the two have met as these. */
    again(): void;
    /** Our session goes on, at another node perhaps. The server passes on what comes to two, and each costs: all of ours go to that one. */
    settle(): void;
    close(): void;
    #private;
}
/**
 * `sure`: it is used, whatever the one in use does meanwhile
 */
export type Try = {
    socket: WebSocket | null;
    begunAt: number;
    timer: any;
    sure: boolean;
};
/**
 * What the link needs of its path.
 */
export type LinkHost = {
    /**
     * one on its way; null: not now. `opens` is asked once it has opened: false, nothing is said there
     */
    socket: (opens: () => boolean) => WebSocket | null;
    /**
     * whether it goes to the node that has our session
     */
    near: (socket: WebSocket) => boolean;
    /**
     * whether the line has room for several on their way at once
     */
    wide: () => boolean;
    clock: Clock;
    came: (frame: Uint8Array<ArrayBuffer>) => void;
    /**
     * the other side has its socket too, or has it anew: what was on its way may be lost
     */
    met: () => void;
    /**
     * a picture did not get through
     */
    key: () => void;
    /**
     * there will be none any more
     */
    ended: () => void;
};

// ---- call/websocket/path.js
/** What this browser can do here: told to the other side with our key. */
declare function abilities(): Promise<{
    pictures: Codec[];
    sound: boolean;
} | null>;
/** Media between two browsers through a WebSocket of each. */
declare class WebSocketPath {
    /** @param {PathHost} host */
    constructor(host: PathHost);
    publicKey: string;
    /** Alike on both sides where nobody has put keys of his own between: for the words that people compare. '' before they have agreed. */
    agreement: string;
    /** Both ends are there and understand each other. */
    open: boolean;
    /** Messages and files. @type {Channels | null} */ channels: Channels | null;
    /** Its keys are bound to the connection that there was when it was begun. */
    bound: boolean;
    /** What is known of the path now, once a second. */
    stats: {
        rtt: number;
        loss: number;
        jitter: number;
        sent: number;
        received: number;
        available: number;
        frames: number;
        frameRate: number;
        width: number;
        height: number;
        silence: number;
    };
    begin(): Promise<void>;
    get audio(): MediaStreamTrack | null;
    get video(): MediaStreamTrack;
    get screen(): MediaStreamTrack;
    get loudness(): number;
    /** Pictures that are shown by this: of the camera, and of the screen. */
    get pictured(): {
        stream: MediaStreamTrack | null;
        screen: MediaStreamTrack | null;
    };
    /** Whether so little of ours or theirs gets through that nothing long may go any other way: it would hold the sound up. */
    get narrow(): boolean;
    /** Whether what is said by it is heard at once, or as soon as the line allows. */
    get prompt(): boolean;
    /** The other side hears us by nothing but this. */
    get used(): boolean;
    /** It has a use for this. */
    get wanted(): boolean;
    /** Sound comes this way. */
    get sounds(): boolean;
    /** Whether our line has room for pictures, and whether theirs has. */
    get fits(): {
        ours: boolean;
        theirs: boolean;
    };
    /**
     * The other side has said its key and what it can do.
     * @param {{key: string, pictures: string[], sound: boolean}} theirs
     * @param {Uint8Array<ArrayBuffer> | null} [shared] what nobody else knows
     */
    agree(theirs: {
        key: string;
        pictures: string[];
        sound: boolean;
    }, shared?: Uint8Array<ArrayBuffer> | null): Promise<void>;
    /** One of the two has another session: the server may take a socket now. */
    again(): void;
    /** Our session goes on, at another node perhaps. */
    settle(): void;
    /** What we send has changed. */
    send(): void;
    /** The network is another one: what is in use may be dead, and another is opened beside it at once. */
    networkChanged(): void;
    close(): void;
    #private;
}
/**
 * What the path needs of its peer.
 */
export type PathHost = {
    /**
     * to the server, on its way; `opens` says whether it is wanted still
     */
    socket: (opens: () => boolean) => WebSocket | null;
    /**
     * whether it goes to the node that has our session
     */
    near: (socket: WebSocket) => boolean;
    media: LocalMedia;
    /**
     * whether our media is to go this way now
     */
    sending: () => boolean;
    /**
     * whether sound and pictures are asked for this way, although there is a connection
     */
    standing: () => boolean;
    /**
     * whether our connection is over TCP or TLS: a line that has become narrow stands still there as a dead one does, and has no room for pictures beside it
     */
    waits: () => boolean;
    /**
     * bits per second that people want of pictures at the most
     */
    pictures: () => number;
    /**
     * both ends are there
     */
    opened: () => void;
    /**
     * a channel that the other side has opened
     */
    incoming: (channel: any) => void;
    /**
     * `audio`, `video` or `screen` is another, or something begins to come in place of a connection's
     */
    tracks: () => void;
    /**
     * what the other side has this for is another
     */
    wanted: () => void;
    /**
     * what fits the line is another, of ours or of theirs
     */
    line: () => void;
    /**
     * a picture has been shown
     */
    shown: () => void;
    /**
     * it has ended
     */
    closed: () => void;
};

// ---- call/websocket/pictures.js
/** The codecs whose pictures this browser decodes, the preferred first. @returns {Promise<Codec[]>} */
declare function decodes(): Promise<Codec[]>;
/** The first of these that this browser encodes. @param {string[]} theirs @returns {Promise<Codec | ''>} */
declare function codecFor(theirs: string[]): Promise<Codec | "">;
/**
 * Whether a picture says that it is larger than any that is sent: whole ones of VP8 say how large they are (RFC 6386, 9.1), whatever
 * their frame is called. What H.264 says is seen once it is decoded.
 * @param {Codec} codec @param {Uint8Array} data
 */
declare function oversized(codec: Codec, data: Uint8Array): boolean;
/** Encodes one track, as large and as often as the rate allows. */
declare class PictureSender {
    /**
     * @param {Codec} codec @param {boolean} screen whose pictures they are
     * @param {() => number} rate bits per second; 0: none is sent now
     * @param {() => number} piece so many bytes are sent at once
     * @param {(kind: import('./seal.js').FrameKind, content: Uint8Array<ArrayBuffer>) => void} send
     */
    constructor(codec: Codec, screen: boolean, rate: () => number, piece: () => number, send: (kind: FrameKind, content: Uint8Array<ArrayBuffer>) => void);
    /** @param {MediaStreamTrack | null} track */
    use(track: MediaStreamTrack | null): void;
    /** The other side cannot go on without a whole picture. @param {boolean} [anew] the last one is lost with a socket, perhaps: another comes soon after it too */
    wantKey(anew?: boolean): void;
    close(): void;
    #private;
}
/** Puts the pieces of pictures together. */
declare class Pieces {
    /**
     * @param {number} kind @param {Uint8Array<ArrayBuffer>} content
     * @param {boolean} gap something before it is missing
     * @returns {Picture | null} one that is whole now
     */
    take(kind: number, content: Uint8Array<ArrayBuffer>, gap: boolean): Picture | null;
    #private;
}
/** Decodes the other side's pictures of the camera or of the screen, and shows each when its sound is played. */
declare class PictureReceiver {
    /**
     * @param {(at: number) => number} dueAt when what was taken at that time of the sender's is to be shown, by our clock
     * @param {() => void} wantKey only a whole picture helps
     * @param {(begins: boolean) => void} shown `begins`: none was for a while
     */
    constructor(dueAt: (at: number) => number, wantKey: () => void, shown: (begins: boolean) => void);
    /** Pictures shown so far, when the last was, and how large it is. */
    frames: number;
    width: number;
    height: number;
    /** @type {MediaStreamTrack} */ track: MediaStreamTrack;
    /** One was shown a moment ago. */
    get fresh(): boolean;
    /** A whole picture has come. @param {Picture} picture */
    take({ key, at, codec, data, complete }: Picture): void;
    close(): void;
    #private;
}
export type Codec = "vp8" | "h264";
/**
 * `complete`: none before it is missing
 */
export type Picture = {
    key: boolean;
    at: number;
    screen: boolean;
    codec: Codec;
    data: Uint8Array<ArrayBuffer>;
    complete: boolean;
};

// ---- call/websocket/playout.js
/** Samples per second, and of one packet. */
declare const sampleRate: 48000;
declare const packetMs: 20;
declare const packetSamples: number;
/**
 * A queue of sound whose length follows how unevenly it comes. What comes too late is not played, what is missing is
 * concealed; clocks that run differently are evened out.
 */
declare class Playout {
    /** Samples that had to be made up. */
    concealed: number;
    /** The time of the sample that is played next, by the sender's clock in milliseconds; NaN: none yet. */
    at: number;
    /** Whether something that came is being played. */
    get playing(): boolean;
    /** Milliseconds that should wait. */
    get target(): number;
    /** Milliseconds that wait. */
    get waiting(): number;
    /** @param {number} at of its first sample, by the sender's clock @param {Float32Array} samples @param {number} now milliseconds, by ours */
    push(at: number, samples: Float32Array, now: number): void;
    /** Fills a block. @param {Float32Array} block */
    pull(block: Float32Array): void;
    #private;
}

// ---- call/websocket/rate.js
/** What of a picture a rate is enough for. @param {number} rate @returns {{width: number, height: number, frames: number}} */
declare function sizeFor(rate: number): {
    width: number;
    height: number;
    frames: number;
};
declare class Rate {
    /** Of the picture, bits per second; 0: the line carries sound alone. */
    picture: number;
    /** So many packets of sound leave together. */
    together: number;
    /** The line may be wide by now, and nothing that is sent would show it. */
    get unsure(): boolean;
    /**
     * @param {number} now milliseconds @param {RateReport} report
     * @param {number} queued milliseconds that what waits in our own browser takes to leave
     * @param {{carries: number, roomy: boolean}} seen `carries`: bits per second that the line is seen to carry beside sound; Infinity: nobody knows. A queue that is short is
     *   never late, and pictures of which nothing moves never fill a line: only what had to wait tells how wide it is. `roomy`: or what came at once
     */
    take(now: number, { age, got, lost }: RateReport, queued?: number, { carries, roomy }?: {
        carries: number;
        roomy: boolean;
    }): void;
    #private;
}
/**
 * how late even the least late were, milliseconds; bits per second; frames that did not come
 */
export type RateReport = {
    age: number;
    got: number;
    lost: number;
};

// ---- call/websocket/seal.js
/** What a frame is. The server reads this, and nothing else of it. A picture begins with a `picture` or, where it needs none before it, a `key`; the rest of it comes in pieces. */
declare const kinds: Readonly<{
    sound: 1;
    picture: 2;
    key: 3;
    message: 4;
    report: 5;
    piece: 6;
}>;
declare function laneOf(kind: number): number;
declare function toText(bytes: Uint8Array): string;
/** Our half of an agreement, good for one path. */
declare class Exchange {
    static begin(): Promise<Exchange>;
    /** What the other side needs of it: an uncompressed point of P-256 (SEC 1, 2.3.3), base64url. */
    publicKey: string;
    /**
     * A key for each direction (HKDF of RFC 5869 over the shared secret), so that no number is ever used twice under one.
     * @param {string} theirs the other side's public key
     * @param {Uint8Array | null} [shared] what both know, and nobody else: without it the keys cannot be made
     * @returns {Promise<{sealer: Sealer, opener: Opener, agreement: string}>} rejected where that is none; `agreement` is alike on both
     *   sides if both have the same two public keys, hexadecimal
     */
    agree(theirs: string, shared?: Uint8Array | null): Promise<{
        sealer: Sealer;
        opener: Opener;
        agreement: string;
    }>;
    #private;
}
/** Seals frames, each lane under its counter. */
declare class Sealer {
    /** @param {CryptoKey} key */
    constructor(key: CryptoKey);
    /** The number of the last one of a lane. @param {FrameKind} kind */
    numberOf(kind: FrameKind): number;
    /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @returns {Promise<Uint8Array<ArrayBuffer>>} */
    seal(kind: FrameKind, content: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
    #private;
}
/** Opens frames, each once and those of a lane in the order in which they were sealed; some may be missing. */
declare class Opener {
    /** @param {CryptoKey} key */
    constructor(key: CryptoKey);
    /** Frames that were not opened: forged, altered, said again or too late. */
    refused: number;
    /** `missing`: so many before it did not come. @param {Uint8Array<ArrayBuffer>} frame @returns {Promise<{kind: FrameKind, number: number, missing: number, content: Uint8Array<ArrayBuffer>} | null>} */
    open(frame: Uint8Array<ArrayBuffer>): Promise<{
        kind: FrameKind;
        number: number;
        missing: number;
        content: Uint8Array<ArrayBuffer>;
    } | null>;
    #private;
}
export type FrameKind = 1 | 2 | 3 | 4 | 5 | 6;

// ---- call/websocket/silence.js
/** How long nothing has come by a path, and what that tells. */
declare class Silence {
    /** @param {number} now milliseconds */
    constructor(now: number);
    /** When the last frame came, milliseconds. */
    heardAt: number;
    /** A frame has come. @param {number} now milliseconds */
    note(now: number): void;
    /**
     * What is to be done about it.
     * @param {number} quiet how long nothing has come that this page does not explain, milliseconds
     * @param {number} socket how long the server has said nothing by the socket, likewise
     * @param {boolean} wide whether the line has room for others
     * @returns {{ask: boolean, renew: '' | 'unless it goes on' | 'surely'}}
     */
    judge(quiet: number, socket: number, wide: boolean): {
        ask: boolean;
        renew: "" | "unless it goes on" | "surely";
    };
    #private;
}

// ---- call/websocket/sounds.js
declare function hasSound(): Promise<boolean>;
/** Sends a microphone's sound. */
declare class SoundSender {
    /** @param {(content: Uint8Array<ArrayBuffer>) => void} send @param {() => number} together how many packets are to leave together */
    constructor(send: (content: Uint8Array<ArrayBuffer>) => void, together: () => number);
    /** @param {MediaStreamTrack | null} track */
    use(track: MediaStreamTrack | null): void;
    close(): void;
    #private;
}
/** Plays what comes. */
declare class SoundReceiver {
    /** @param {(track: MediaStreamTrack) => void} ready */
    constructor(ready: (track: MediaStreamTrack) => void);
    /** How loud it is, 0 to 1. */
    level: number;
    /** @type {MediaStreamTrack | null} once there is one */ track: MediaStreamTrack | null;
    /** When what was taken at that time of the sender's is played, by our clock, milliseconds; NaN: nothing is played. @param {number} at */
    dueAt(at: number): number;
    /** @param {Uint8Array<ArrayBuffer>} content */
    take(content: Uint8Array<ArrayBuffer>): void;
    close(): void;
    #private;
}

// ---- call/websocket/voice.js
/** Whether voices can be encoded and decoded here. What that takes is loaded. */
declare function speaks(): Promise<boolean>;
/**
 * Joins packets of one frame each to one of several, which any decoder takes (RFC 6716 section 3.2.5).
 * @param {Uint8Array[]} packets one after the other
 * @returns {Uint8Array<ArrayBuffer> | null} null: they are coded differently, or have more frames already
 */
declare function joined(packets: Uint8Array[]): Uint8Array<ArrayBuffer> | null;
/** @param {(packet: Uint8Array<ArrayBuffer>, time: number) => void} out @returns {Promise<VoiceEncoder>} */
declare function encoder(out: (packet: Uint8Array<ArrayBuffer>, time: number) => void): Promise<VoiceEncoder>;
/** @param {(samples: Float32Array<ArrayBuffer>, time: number) => void} out @returns {Promise<VoiceDecoder>} */
declare function decoder(out: (samples: Float32Array<ArrayBuffer>, time: number) => void): Promise<VoiceDecoder>;
export type VoiceEncoder = {
    /**
     * milliseconds
     */
    encode: (samples: Float32Array<ArrayBuffer>, time: number) => void;
    close: () => void;
};
export type VoiceDecoder = {
    /**
     * milliseconds
     */
    decode: (packet: Uint8Array<ArrayBuffer>, time: number) => void;
    close: () => void;
};

// ---- call/wishes.js
/** What is sent at the most, bits per second: ours, who saves, and theirs. @param {Wish} ours @param {Wish} theirs */
declare function most(ours: Wish, theirs: Wish): {
    video: number;
    scale: number;
    frameRate: number;
    audio: number;
} | {
    video: number;
    audio: number;
};
/**
 * What may be sent where people wish less than the line takes; what it takes counts all the same.
 * @param {Allowance} line @param {Wish} ours @param {Wish} theirs
 * @returns {Allowance}
 */
declare function within(line: Allowance, ours: Wish, theirs: Wish): Allowance;
/** @type {readonly Reaction[]} */ export const reactions: readonly Reaction[];
declare function wishOf(wish: unknown): Wish;
declare function isReaction(reaction: unknown): reaction is Reaction;
declare const reactionsAtOnce: 5;
declare const reactionEvery: 1000;
/**
 * How much somebody wants to receive: as much as the line takes, little (`saver`), or no pictures (`sound`).
 */
export type Wish = "automatic" | "saver" | "sound";
export type Reaction = "thumb" | "applause" | "heart" | "laughter" | "surprise" | "party";

// ---- check/nat.js
/** @param {string} url @returns {UrlResult['kind']} */
export declare function kindOf(url: string): UrlResult["kind"];
/**
 * Tries one STUN or TURN URL by itself.
 * @param {RTCIceServer} server with this one URL
 * @param {number} [patience] milliseconds; a TLS relay behind a slow proxy needs more than 10 s
 * @param {AbortSignal} [signal] gives it up earlier
 * @returns {Promise<UrlResult & {mapped: {address: string, port: number}[], hosts: string[]}>}
 */
export declare function checkUrl(server: RTCIceServer, patience?: number, signal?: AbortSignal): Promise<UrlResult & {
    mapped: {
        address: string;
        port: number;
    }[];
    hosts: string[];
}>;
/**
 * The kind of NAT, from the mapping that the STUN server saw and the port from which a second address saw us.
 * @param {object} seen
 * @param {boolean} seen.answered whether STUN over UDP answers at all
 * @param {{address: string, port: number}[]} seen.mapped
 * @param {string[]} seen.hosts our own addresses, where the browser tells them
 * @param {number | null} seen.secondPort null: could not be found out
 * @returns {NatKind}
 */
export declare function natKind({ answered, mapped, hosts, secondPort }: {
    answered: boolean;
    mapped: {
        address: string;
        port: number;
    }[];
    hosts: string[];
    secondPort: number | null;
}): NatKind;
/**
 * The port from which a relayed address, which is a second address behind the NAT's back, sees us. Our own connection
 * with only STUN talks to one of ours behind the relay.
 * @param {RTCIceServer} stun @param {RTCIceServer} turn
 * @param {RTCIceServer} [other] the same relay with another user's credentials: the relay lets nobody reach their own
 *   address before it has seen somebody else there
 * @returns {Promise<{mapped: {address: string, port: number}[], hosts: string[], secondPort: number | null}>}
 */
export declare function secondMapping(stun: RTCIceServer, turn: RTCIceServer, other?: RTCIceServer): Promise<{
    mapped: {
        address: string;
        port: number;
    }[];
    hosts: string[];
    secondPort: number | null;
}>;
/**
 * A round trip through the relay and back, as in a call of two people who both need it: latency, jitter, loss, and
 * throughput over a data channel.
 * @param {RTCIceServer[]} iceServers
 * @param {{pings?: number, seconds?: number}} [options]
 * @returns {Promise<LoopResult>}
 */
export declare function relayLoop(iceServers: RTCIceServer[], { pings, seconds }?: {
    pings?: number;
    seconds?: number;
}): Promise<LoopResult>;
/**
 * Splits an RTCConfiguration into servers of one URL each.
 * @param {RTCConfiguration} configuration
 * @returns {RTCIceServer[]}
 */
export declare function single(configuration: RTCConfiguration): RTCIceServer[];
/**
 * What became of one URL in this browser, on this network.
 */
export type UrlResult = {
    url: string;
    kind: "stun" | "udp" | "tcp" | "tls";
    works: boolean;
    /**
     * milliseconds until it answered, or until it was given up
     */
    time: number;
    /**
     * of icecandidateerror: 701 is "could not be reached", others are the server's
     */
    errorCode?: number | undefined;
    /**
     * what the browser said, for logs
     */
    errorText?: string | undefined;
    /**
     * `silent`: no answer in time; `no-way`: nothing gets to this
     * address; `lookup`: its name has no address; `denied`: the server answered with an error
     */
    error?: "lookup" | "silent" | "denied" | "no-way" | undefined;
};
export type NatKind = "open" | "cone" | "symmetric" | "blocked" | "unknown";
export type LoopResult = {
    works: boolean;
    /**
     * milliseconds to connect
     */
    time: number;
    /**
     * milliseconds there and back, median
     */
    latency: number;
    /**
     * milliseconds, mean difference of successive round trips
     */
    jitter: number;
    /**
     * 0 to 1
     */
    loss: number;
    /**
     * bits per second
     */
    throughput: number;
    /**
     * `timeout`: no connection through the relay in 20 s; `unreachable`: the
     * two ends could not reach each other through it; `failed`: the browser could not make the connection
     */
    error?: "failed" | "timeout" | "unreachable" | undefined;
};

// ---- check/verdict.js
/**
 * How calls will go from here, and what would make them better.
 * @param {Findings} findings
 * @returns {Verdict}
 */
export declare function verdict({ urls, nat, loop, socket, media, local, devices, webrtc }: Findings): Verdict;
export type Findings = {
    urls: UrlResult[];
    nat: NatKind;
    loop: LoopResult | null;
    /**
     * false: this browser has no WebRTC, so nothing else says anything
     */
    webrtc?: boolean | undefined;
    /**
     * whether the signaling socket opens
     */
    socket: boolean;
    /**
     * whether media would go through a WebSocket where nothing else does
     */
    media?: boolean | undefined;
    /**
     * whether the browser keeps this page from devices on the local network, as Chrome does unless it is allowed
     */
    local?: boolean | undefined;
    /**
     * null where the device works, else what is wrong
     */
    devices: {
        audio: ProblemCode | null;
        video: ProblemCode | null;
    };
};
/**
 * One thing to say, as a code and its values; the page has the words.
 */
export type Said = {
    code: "no-webrtc" | "no-socket" | "no-relay-offered" | "no-relay" | "local-network" | "websocket" | "web-only" | "no-udp" | "connects" | "throughput";
    values?: undefined;
} | {
    code: "loop";
    values: {
        error: "timeout" | "unreachable" | "failed";
    };
} | {
    code: "loss";
    values: {
        loss: number;
    };
} | {
    code: "latency";
    values: {
        latency: number;
    };
} | {
    code: "device";
    values: {
        kind: "audio" | "video";
        problem: ProblemCode;
    };
} | {
    code: "ask-socket" | "ask-exempt";
    values: {
        host: string;
    };
} | {
    code: "ask-udp" | "ask-tcp" | "ask-tls";
    values: {
        host: string;
        port: number;
    };
};
/**
 * What the findings mean for a visitor.
 */
export type Verdict = {
    level: "good" | "fair" | "bad";
    /**
     * what it means: `loss` is 0 to 1, `latency` milliseconds, `throughput` is too low for good pictures
     */
    text: Said[];
    /**
     * what to ask the network's administrator for
     */
    ask: Said[];
};

// ---- frame/frame.js
/**
 * The call page of a turnhub server as a part of this page, in an iframe. The server's `access.embed_origins` has to
 * name this page's origin.
 *
 *     import {CallFrame} from 'https://calls.example.org/client/frame/frame.js';
 *     const frame = new CallFrame({parent: document.querySelector('#call'), room: 'support'});
 *     frame.on('left', () => frame.close());
 *
 * @extends {Emitter<CallFrameEvents>}
 */
export declare class CallFrame extends Emitter<CallFrameEvents> {
    /** @param {CallFrameOptions} options throws a TypeError where no server is known */
    constructor({ parent, room, server, name, token, join, language, colors }: CallFrameOptions);
    /** The iframe, for a size and place of one's own. @type {HTMLIFrameElement} */ element: HTMLIFrameElement;
    /** Enters the call, from the lobby or after the end. */
    join(): void;
    /** Ends the call for this visitor; the frame stays. */
    leave(): void;
    /** Switches microphone and camera: true is off, false on; what is left out stays. @param {{audio?: boolean, video?: boolean}} off */
    mute(off: {
        audio?: boolean;
        video?: boolean;
    }): void;
    /** Takes the frame out of the page, and with it the call. */
    close(): void;
    #private;
}
export type CallFrameOptions = {
    /**
     * what the frame becomes a part of
     */
    parent: HTMLElement;
    /**
     * whose call it shows
     */
    room: string;
    /**
     * base URL; default: the server that this module came from
     */
    server?: string | undefined;
    /**
     * what others see; default: the visitor says it
     */
    name?: string | undefined;
    /**
     * access token, where the server wants one
     */
    token?: string | undefined;
    /**
     * enters the call at once, instead of showing the lobby
     */
    join?: boolean | undefined;
    /**
     * such as "de"; default: the browser's
     */
    language?: string | undefined;
    /**
     * `#rrggbb` each; what could not be read is left as it is
     */
    colors?: {
        accent?: string;
        background?: string;
        surface?: string;
        text?: string;
    } | undefined;
};
export type CallFramePerson = {
    id: string;
    name: string;
};
export type CallFrameEvents = {
    /**
     * the page is loaded and takes orders
     */
    ready: {
        room: string;
    };
    joined: {
        room: string;
    };
    /**
     * who else is in the call, whenever it changes
     */
    people: {
        people: CallFramePerson[];
    };
    /**
     * what is sent, whenever it changes
     */
    devices: {
        audio: boolean;
        video: boolean;
        screen: boolean;
    };
    /**
     * the call is over; reasons of protocol.md, or `left`
     */
    left: {
        reason: string;
    };
    /**
     * joining failed
     */
    error: {
        code: string;
        message: string;
    };
};

// ---- session/attempts.js
/** What attempts in a row have found where no socket opened, and when that is enough to be told. */
declare class Attempts {
    /**
     * One more attempt.
     * @param {string} is what it found, see whyRefused
     * @param {boolean} own whether the page comes from that very server, and so knows that it is there
     * @returns {{strange: boolean, blocked: boolean}} strange: no turnhub is there; blocked: for the first time it is certain
     *   that no WebSocket gets through
     */
    found(is: string, own: boolean): {
        strange: boolean;
        blocked: boolean;
    };
    /** A socket has opened. */
    clear(): void;
    #private;
}

// ---- session/doors.js
/** @param {string} reason of `out` */
declare function errorOf(reason: string): HubError;
/** The rooms at whose door this session waits, until it is let in. */
declare class Doors {
    /** Waits at a door. @param {string} room @returns {Promise<void>} settled when one may join again; rejected when one is turned away */
    wait(room: string): Promise<void>;
    /** @param {string} room */
    open(room: string): void;
    /** @param {string} room @param {HubError} error @returns {boolean} whether somebody waited there */
    shut(room: string, error: HubError): boolean;
    /** The server has forgotten who waits: they knock again. */
    again(): void;
    close(): void;
    #private;
}

// ---- session/heartbeat.js
/** Sees that the other end of a socket is there: faster while the person is with others, so that a dead path is seen within seconds. */
declare class Heartbeat {
    /** @param {HeartbeatHost} host */
    constructor(host: HeartbeatHost);
    /** Smoothed round trip, milliseconds; 0: not known yet. */
    rtt: number;
    /** What the server asks for, milliseconds: between two, between two in a call, and until an answer. */
    plan: {
        interval: number;
        call: number;
        timeout: number;
    };
    inCall: boolean;
    /** Milliseconds since the server was last heard. */
    get silence(): number;
    /** Sends a ping now and plans the next. */
    beat(): void;
    /** One socket after another: this one has carried nothing yet. */
    begin(): void;
    /** A message has come or gone. @param {number} characters */
    carried(characters: number): void;
    /** Whether attempts and answers are given up early: in a call, and where a socket has frozen. */
    get hurried(): boolean;
    /** The line is known as narrow: what waits on it looks like silence, and each new socket would take of what is left. @param {boolean} narrow */
    set narrow(narrow: boolean);
    /** Something has happened to the network. */
    urge(): void;
    /** Something was sent that is answered: nothing at all for too long means that the socket is dead. */
    expect(): void;
    /** Something has come. */
    heard(): void;
    /** The answer to a ping. */
    pong(): void;
    stop(): void;
    #private;
}
/**
 * What the heartbeat needs of its session.
 */
export type HeartbeatHost = {
    clock: Clock;
    /**
     * sends one
     */
    ping: () => void;
    /**
     * nothing has come for too long
     */
    silent: () => void;
    /**
     * something long is on its way, which its own answer looks after
     */
    sending: () => boolean;
};

// ---- session/hosted.js
/** Whether a room has a host who lets the others in: its name says so. @param {string} room */
export declare function isHosted(room: string): boolean;
/** The name of a room as people read it: without what says that it has a host. @param {string} room */
export declare function titleOfRoom(room: string): string;
/**
 * A room with a host, of which nobody else has to know before: whoever joins it with the secret is its host, everybody
 * else waits until the host lets them in. The secret belongs into the host's own link alone.
 * @param {string} [title] what people read, at most 79 bytes
 * @param {object} [options]
 * @param {boolean} [options.follows] when the last host has left, whoever has been there longest is the host
 * @returns {Promise<{room: string, secret: string}>} rejected where the page has no secure address, or the title is too long
 */
export declare function hostedRoom(title?: string, { follows }?: {
    follows?: boolean | undefined;
}): Promise<{
    room: string;
    secret: string;
}>;
/**
 * Whether this is the secret by which one is the host of a room, as in a host's link that is whole. Nobody has to be asked: it
 * is in the room's name.
 * @param {string} room
 * @param {string} secret
 * @returns {Promise<boolean>} rejected where the page has no secure address
 */
export declare function opensAsHost(room: string, secret: string): Promise<boolean>;

// ---- session/hub.js
/**
 * The signaling hub: rooms, presence, chat and calls by name over one WebSocket that survives changes of network.
 *
 *     const hub = new Hub({name: 'Vasya'});
 *     await hub.connect();
 *     hub.on('message', ({from, data}) => console.log(from, data));
 *     const {peers} = await hub.join('blue-fox-42');
 *     hub.message({room: 'blue-fox-42', data: 'hello'});
 *
 * @extends {Session<HubEvents>}
 */
export declare class Hub extends Session<HubEvents> {
    /** @param {import('./types.js').SessionOptions} [options] */
    constructor(options?: SessionOptions);
    /** @type {Map<string, HubRoom>} rooms this session is in */
    rooms: Map<string, HubRoom>;
    /** @type {Map<string, CallState['state']>} calls that have not ended */
    calls: Map<string, CallState["state"]>;
    /**
     * Becomes a member of a room. After a restart of the server the room is joined again by itself (`rejoined`). Where the
     * room has a host (`isHosted`) this waits until one lets us in; `knocking` says so.
     * @param {string} room 1 to 128 bytes of letters of any script, digits and `. _ ~ -`; in Unicode's normal form C it is the same
     *   room however it was typed
     * @param {object} [options]
     * @param {any | ((rejoin: boolean) => any)} [options.first] goes with `peer-joined` to the one peer that is longest there
     * @param {string} [options.host] the secret of `hostedRoom`: one comes as the host
     * @returns {Promise<Joined>} rejected (`declined`, `locked`, …) where the host does not let us in
     */
    join(room: string, { first, host }?: {
        first?: any | ((rejoin: boolean) => any);
        host?: string | undefined;
    }): Promise<Joined>;
    /**
     * Does what a host may do in a room (protocol.md, "Rooms with a host").
     * @param {string} room @param {HostAction} action
     * @param {string} [peer] whom it concerns; `lock`, `unlock` and `end` concern everybody
     * @returns {Promise<void>} rejected (`forbidden`) where this session is not the host
     */
    host(room: string, action: HostAction, peer?: string): Promise<void>;
    /**
     * Waits in the lobby of a room, out of any other, with an offer for whoever is or comes there; `lobby` tells who has it.
     * @param {string} room @param {any} first
     * @returns {Promise<void>}
     */
    lobby(room: string, first: any): Promise<void>;
    /** Leaves a room, or its lobby. @param {string} room @returns {Promise<void>} */
    leave(room: string): Promise<void>;
    /**
     * Signaling data to one peer of a shared room or call.
     * @param {string} to @param {any} data
     */
    signal(to: string, data: any): void;
    /**
     * Chat and the like, to everyone else in a room or to one peer.
     * @param {{room: string, data: any} | {to: string, data: any}} message
     * @returns {Promise<void>} settled when the server has it
     */
    message(message: {
        room: string;
        data: any;
    } | {
        to: string;
        data: any;
    }): Promise<void>;
    /**
     * Presence of users, now and at each change (`presence`).
     * @param {...string} users
     * @returns {Promise<Record<string, 'offline' | 'online' | 'busy'>>}
     */
    subscribe(...users: string[]): Promise<Record<string, "offline" | "online" | "busy">>;
    /** @param {...string} users @returns {Promise<void>} */
    unsubscribe(...users: string[]): Promise<void>;
    /**
     * Rings all of a user's devices. What happens is told by `call`.
     * @param {string} user @param {any} [data]
     * @returns {Promise<string>} the call's id
     */
    invite(user: string, data?: any): Promise<string>;
    /** @param {string} call @param {any} [data] @returns {Promise<void>} */
    accept(call: string, data?: any): Promise<void>;
    /** @param {string} call @param {string} [reason] @returns {Promise<void>} */
    decline(call: string, reason?: string): Promise<void>;
    /** @param {string} call @returns {Promise<void>} */
    hangup(call: string): Promise<void>;
    /**
     * Has this browser rung when somebody calls this user while no page is open, by the browser's push service. Needs a `user`,
     * a server with `pushKey`, and permission for notifications; where that is not given yet it asks, so call it in a click the
     * first time. Say it again at each `welcome` that is not resumed: subscriptions change, and a browser is one user's. The
     * worker shows what is pushed, see docs/client.md.
     * @param {ServiceWorkerRegistration} registration of the worker that hears `push`
     * @returns {Promise<PushSubscription>} settled when the server has it on disk; rejected with a HubError (`forbidden`,
     *   `too-many`, `rate`) or what PushManager.subscribe throws (`NotAllowedError`)
     */
    ringWhenAway(registration: ServiceWorkerRegistration): Promise<PushSubscription>;
    /**
     * Ends `ringWhenAway` for this browser. With the last browser of the user the server forgets him.
     * @param {ServiceWorkerRegistration} registration
     * @returns {Promise<void>}
     */
    ringNoMore(registration: ServiceWorkerRegistration): Promise<void>;
    /** These missed calls have been shown, and are not told again. @param {...string} calls their ids @returns {Promise<void>} */
    seen(...calls: string[]): Promise<void>;
    /** @param {Report} report */
    report(report: Report): void;
    /**
     * Asks for fresh credentials.
     * @returns {Promise<import('./session.js').HubConfiguration>}
     */
    refresh(): Promise<HubConfiguration>;
    /** @override @protected @param {any} message */
    protected override receive(message: any): void;
    /** An invitation that is still ringing here, by the call's id. @param {string} call */
    invitation(call: string): Invitation | undefined;
    #private;
}
/**
 * Another person's session, as the server tells it.
 */
export type PeerInfo = {
    /**
     * session id
     */
    peer: string;
    name?: string | undefined;
    user?: string | undefined;
    /**
     * what *we* are towards that peer in perfect negotiation
     */
    polite: boolean;
    /**
     * its socket is lost at the moment
     */
    away?: boolean | undefined;
};
export type Joined = {
    room: string;
    /**
     * who was there
     */
    peers: PeerInfo[];
    /**
     * the peer that got our `first`
     */
    first?: string | undefined;
};
/**
 * How a room with a host stands.
 */
export type HostingState = {
    room: string;
    /**
     * nobody comes in any more
     */
    locked: boolean;
    /**
     * their sessions
     */
    hosts: string[];
    /**
     * the sessions of those whose sound nobody plays
     */
    muted: string[];
};
/**
 * Somebody is at the door of a room of which this session is the host: `hub.host(room, 'admit', peer)`, or `decline`.
 */
export type Knock = {
    room: string;
    /**
     * session id
     */
    peer: string;
    name?: string | undefined;
    user?: string | undefined;
    /**
     * somebody of the same household was removed before
     */
    again: boolean;
};
export type HostAction = "admit" | "decline" | "remove" | "mute" | "unmute" | "lock" | "unlock" | "hand" | "end";
export type HubRoom = {
    peers: Map<string, PeerInfo>;
    make?: (rejoin: boolean) => any;
    host?: string;
    seat?: string;
    hosting?: HostingState;
};
export type Path = "direct" | "relay-udp" | "relay-tcp" | "relay-tls" | "websocket";
/**
 * How the call with one peer goes, for the server's metrics and console.
 */
export type Report = {
    room?: string | undefined;
    peer: string;
    path?: Path | undefined;
    /**
     * seconds
     */
    rtt?: number | undefined;
    /**
     * 0 to 1
     */
    loss?: number | undefined;
    /**
     * bits per second
     */
    bitrate?: number | undefined;
    /**
     * milliseconds from join or accept to the first remote frame
     */
    firstFrame?: number | undefined;
    /**
     * what of the call fits its line
     */
    line?: LineState | undefined;
};
/**
 * A call that nobody took. One with `call` was missed while no session was open, and is told to each that opens until `seen`.
 */
export type Missed = {
    /**
     * its id
     */
    call?: string | undefined;
    /**
     * who called
     */
    user?: string | undefined;
    name?: string | undefined;
    /**
     * why it ended, as in CallState
     */
    reason: string;
    /**
     * milliseconds since
     */
    ago?: number | undefined;
};
export type HubEvents = {
    /**
     * the socket is (back) in service
     */
    welcome: {
        first: boolean;
        resumed: boolean;
        silent: boolean;
    };
    /**
     * the browser says that the network has changed
     */
    network: void;
    "peer-joined": PeerInfo & {
        room: string;
        first?: any;
    };
    "peer-left": {
        room: string;
        peer: string;
        reason: string;
    };
    /**
     * somebody has called while the line was busy, or while nobody was here
     */
    missed: Missed;
    /**
     * we are in the lobby of a room; `first`: the member who has our offer
     */
    lobby: {
        room: string;
        first?: string;
    };
    /**
     * somebody is in the lobby of a room of ours
     */
    "lobby-peer": {
        room: string;
        peer: string;
        first: any;
    };
    "lobby-left": {
        room: string;
        peer: string;
    };
    /**
     * the room has a host: `join` waits until the host lets this session in
     */
    knocking: {
        room: string;
    };
    /**
     * a room with a host stands so
     */
    hosting: HostingState;
    knock: Knock;
    /**
     * somebody does not wait at the door any more
     */
    "knock-left": {
        room: string;
        peer: string;
    };
    /**
     * this session is out of a room, by its host
     */
    out: {
        room: string;
        reason: "removed" | "ended" | "locked" | "declined" | "too-many";
    };
    "peer-away": {
        peer: string;
    };
    "peer-back": {
        peer: string;
    };
    signal: {
        from: string;
        data: any;
    };
    message: {
        from: string;
        room?: string;
        data: any;
    };
    presence: Record<string, "offline" | "online" | "busy">;
    /**
     * every state of every call
     */
    call: CallState;
    /**
     * somebody calls
     */
    incoming: Invitation;
    /**
     * after a fresh session this room was joined again
     */
    rejoined: Joined;
    /**
     * fresh credentials
     */
    config: HubConfiguration;
    /**
     * the access token expires in so many milliseconds: `renew` it; where the `token` option
     * is a function, that happens by itself
     */
    token: {
        after: number;
    };
    /**
     * the server is going down for so many milliseconds
     */
    restart: {
        after: number;
    };
    /**
     * an error that answers no request
     */
    error: HubError;
};

// ---- session/inbox.js
/** Which of the server's numbered messages have come, and which of them it knows we have. */
declare class Inbox {
    /** @param {import('../base/clock.js').Clock} clock @param {() => void} acknowledge sends an acknowledgement, as nothing else has carried it */
    constructor(clock: Clock, acknowledge: () => void);
    /** The number of the last message that was handled. */
    handled: number;
    /**
     * A numbered message has come.
     * @param {number} seq @param {number} size characters
     * @returns {boolean} false: it was handled before the socket was lost
     */
    take(seq: number, size: number): boolean;
    /** What the message that is being sent acknowledges; undefined: nothing that the server does not know. */
    acknowledged(): number | undefined;
    /** There is no socket. */
    stop(): void;
    /** For another session, whose numbers begin anew. */
    clear(): void;
    #private;
}

// ---- session/invitation.js
/** Somebody calls: answer with `Call.accept(invitation)`, or `decline`. */
export declare class Invitation {
    /** @param {import('./hub.js').Hub} hub @param {CallState} state */
    constructor(hub: Hub, state: CallState);
    hub: Hub;
    /** the call's id */
    call: string;
    /** the caller's session, user and display name */
    from: string;
    user: string;
    name: string;
    data: any;
    /** @type {CallState['reason'] | null} why it ended, once it has (also `elsewhere`: another device answered) */
    ended: CallState["reason"] | null;
    /**
     * @param {string} [reason] told to the caller
     * @returns {Promise<void>}
     */
    decline(reason?: string): Promise<void>;
}
export type CallState = {
    call: string;
    state: "ringing" | "incoming" | "accepted" | "ended";
    from?: string | undefined;
    peer?: string | undefined;
    user?: string | undefined;
    name?: string | undefined;
    polite?: boolean | undefined;
    data?: any;
    reason?: "canceled" | "timeout" | "replaced" | "revoked" | "declined" | "elsewhere" | "hangup" | "busy" | "unavailable" | "lost" | "shutdown" | undefined;
    detail?: string | undefined;
};

// ---- session/nodes.js
/**
 * At which of several nodes the session is, and where it tries next: protocol.md, "elsewhere". Where there is one server this is
 * the address that was given.
 */
declare class Nodes {
    /** @param {string | undefined} url */
    constructor(url: string | undefined);
    /** @type {string | undefined} the address in use; undefined: that of the server of this module */ url: string | undefined;
    /**
     * The server says which nodes there are.
     * @param {unknown} signalings @param {URL} now the address in use, in full
     */
    learn(signalings: unknown, now: URL): void;
    /** The address in use did not answer: the next one is. @param {URL} now @param {number} time */
    failed(now: URL, time: number): void;
    /**
     * Another node has the room. Where that did not answer a moment ago we stay: with whom we can reach.
     * @param {unknown} signalings @param {URL} now @param {number} time
     * @returns {boolean} whether to go
     */
    move(signalings: unknown, now: URL, time: number): boolean;
    #private;
}

// ---- session/outbox.js
/** What the server has not acknowledged, in order, with its numbers. */
declare class Outbox {
    /** @type {Sent[]} */ entries: Sent[];
    /** Numbers a message and keeps it. @param {import('./session.js').Message} message */
    add(message: Message): {
        seq: number;
        message: Message;
        bytes: number;
    };
    /** The server has everything up to this number. @param {unknown} ack */
    acknowledge(ack: unknown): void;
    /** For another session, whose numbers begin anew. */
    clear(): void;
    #private;
}
export type Sent = {
    seq: number;
    message: Message;
    bytes: number;
};

// ---- session/page.js
/**
 * Tells of what the browser says about the network and the page; nothing where there is no browser.
 * @param {{changed: () => void, leaving: () => void}} tell `changed`: the network is back or another one; `leaving`:
 *   the page goes and does not come back
 * @returns {() => void} ends it
 */
declare function watchPage({ changed, leaving }: {
    changed: () => void;
    leaving: () => void;
}): () => void;

// ---- session/push.js
/**
 * Has this browser rung by its push service (protocol.md, "Called while the page is closed").
 * @param {Hub} hub @param {ServiceWorkerRegistration} registration
 */
declare function ringWhenAway(hub: Hub, registration: ServiceWorkerRegistration): Promise<PushSubscription>;
/** The opposite. What the server is not told it finds out. @param {Hub} hub @param {ServiceWorkerRegistration} registration */
declare function ringNoMore(hub: Hub, registration: ServiceWorkerRegistration): Promise<void>;

// ---- session/retry.js
/**
 * How long an attempt to connect may take, milliseconds. An attempt over a path that is dead says nothing for minutes, and
 * begins again seconds after the path is back: in a call, and where sockets freeze, the first ones are given up early, if the server
 * was quick before. Later ones give slow resolvers and proxies their time.
 * @param {number} attempt the number of those before @param {{hurried: boolean, rtt: number}} heartbeat
 * @param {number} openedIn how long the last one took that succeeded
 */
declare function patience(attempt: number, { hurried, rtt }: {
    hurried: boolean;
    rtt: number;
}, openedIn: number): number;
/**
 * Milliseconds until the next attempt: at once after a cut, then doubling with jitter; a call waits at most half a second
 * at first, since it shows.
 * @param {number} attempt the number of those before @param {boolean} inCall @param {number} least @param {number} random 0 ≤ x < 1
 */
declare function delay(attempt: number, inCall: boolean, least: number, random: number): number;
declare function holdsBack(agent: string): boolean;
/** At which path each try to come back is made: one of its own, where the browser would hold it back and the server takes it. */
declare class Tries {
    /** @param {string} [agent] */
    constructor(agent?: string);
    /** The server welcomes us. @param {unknown} path below which it takes any, as seen from the socket's own: `resume.path` */
    begin(path: unknown): void;
    /** @param {URL} url of the socket @returns {URL} of the next try */
    next(url: URL): URL;
    #private;
}

// ---- session/roomname.js
/**
 * An unguessable room name, easy to read out: about 71 bits.
 * @returns {string} for example `kuvo-tiba-remu-sodi-nalo-wepa`
 */
export declare function randomRoom(): string;

// ---- session/session.js
/**
 * The connection to a hub below its verbs: hello and welcome, numbered messages, acknowledgement, resume with
 * retransmission, heartbeat, reconnecting. See signaling/protocol.md.
 * @template {Record<string, any>} Events
 * @extends {Emitter<Events & {state: SessionState, closed: Closed}>}
 */
declare class Session<Events extends Record<string, any>> extends Emitter<Events & {
    state: SessionState;
    closed: Closed;
}> {
    /** @param {SessionOptions} [options] */
    constructor(options?: SessionOptions);
    /** @type {SessionState} */
    state: SessionState;
    /** The public id of this session: what others see as `peer`. Empty until the first welcome. */
    id: string;
    /** The user name under which others can call. */
    user: string;
    /** What others see. */
    name: string;
    /** @type {HubConfiguration} an RTCConfiguration with fresh credentials, ready for `new RTCPeerConnection` */
    config: HubConfiguration;
    /** The server's key for `PushManager.subscribe`, where it rings this user while no page is open; '' where it does not. */
    pushKey: string;
    /**
     * Connects; from then on the session comes back by itself until `close`, or until the server refuses it.
     * @returns {Promise<void>} settled at the first welcome; rejected where it cannot come: `no-hub`, the address is not that
     *   of a turnhub server, `closed`, refused or closed before
     */
    connect(): Promise<void>;
    /** Ends the session at once: the others see this person leave. */
    close(): void;
    /**
     * Hands in another access token of the same user, before the old one expires (`token`): the session goes on with
     * it, and comes back with it. Rooms that it does not allow are not left, but cannot be joined again.
     * @param {string} token
     * @returns {Promise<void>} rejected (`forbidden`) where the server does not take it
     */
    renew(token: string): Promise<void>;
    /**
     * Lets others into one room, on a server with `access.mode: token`: makes a token that opens it and nothing else, for a
     * link. It ends within a day, and never after the token in use.
     * @param {string} room
     * @returns {Promise<{token: string, expires: Date | null}>} an empty token where none is needed; rejected (`forbidden`,
     *   `rate`) where the server makes none
     */
    guestToken(room: string): Promise<{
        token: string;
        expires: Date | null;
    }>;
    /** Whether this session ends, and another begins at a node that was named. @protected */
    protected get going(): boolean;
    /** Whether the server passes on media where no other way is left. */
    get passesMedia(): boolean;
    /**
     * A WebSocket of its own for the media between us and one other, see protocol.md; null: not here, not now. The session may be without
     * its own: both were lost together, mostly, and neither waits for the other.
     * @param {string} peer @param {() => boolean} [opens] asked once it has opened: false, and it is closed before anything is said
     */
    mediaSocket(peer: string, opens?: () => boolean): WebSocket | null;
    /** Whether a socket for media goes to the node that has this session: while that was looked for, it may have gone to another. @param {WebSocket} socket */
    mediaNear(socket: WebSocket): boolean;
    /** The access token expires in so many milliseconds. @protected @param {number} after */
    protected tokenExpires(after: number): void;
    /**
     * The heartbeat is fast while the person is with others, or a call rings, so that a dead path is seen within seconds.
     * @param {boolean} inCall
     */
    setInCall(inCall: boolean): void;
    /**
     * The line to the server is known as narrow, or no longer: a socket that says nothing waits, mostly, and another would wait behind it.
     * @param {boolean} narrow
     */
    setNarrow(narrow: boolean): void;
    /**
     * Looks at once whether the connection still works: for the moment after a change of network. A session that
     * waits for its next attempt makes it now.
     */
    poke(): void;
    /**
     * Sends a numbered message; while the connection is away it is kept and sent on return.
     * @param {Message} message
     */
    send(message: Message): void;
    /**
     * Sends a message that the server answers.
     * @param {Message} message
     * @returns {Promise<any>} the answer; rejected with a HubError
     */
    request(message: Message): Promise<any>;
    /**
     * Handles one message of the server that is not an answer. Overridden by the hub.
     * @protected
     * @param {Message} _message
     */
    protected receive(_message: Message): void;
    /**
     * The socket is back after it was lost, or the first welcome has come. Overridden by the hub.
     * @protected
     * @param {Reconnected & {first: boolean}} _how
     */
    protected welcomed(_how: Reconnected & {
        first: boolean;
    }): void;
    /** Smoothed round trip to the server in milliseconds; 0: not known yet. */
    get rtt(): number;
    /** Milliseconds since the server was last heard. */
    get silence(): number;
    #private;
}
export type HubConfiguration = RTCConfiguration & {
    ttl?: number;
    expires?: string;
};
export type SessionState = "closed" | "connecting" | "open" | "reconnecting";
export type Message = Record<string, any> & {
    type: string;
};

// ---- session/token.js
/** The access token of a session, for servers with `access.mode: token`. */
declare class AccessToken {
    /** @param {string | TokenSource | undefined} token @param {TokenHost} host */
    constructor(token: string | TokenSource | undefined, host: TokenHost);
    /** The token in use; empty: none. */
    value: string;
    /** Whether there has to be another before the server can be asked for anything. */
    get needed(): boolean;
    /**
     * Asks the source. Who asks while it is being asked gets the same answer.
     * @returns {Promise<string>} empty: there is none that the server would take
     */
    fetch(): Promise<string>;
    /** The server does not take this one. @param {string} token @returns {boolean} whether another is worth a try: not twice in a row */
    refuse(token: string): boolean;
    /** The server has taken the one in use. */
    accepted(): void;
    /**
     * Hands in another token.
     * @param {string} token
     * @returns {Promise<void>} rejected (`forbidden`) where the server does not take it: then the old one stays
     */
    renew(token: string): Promise<void>;
    /** The one in use expires. A source whose tokens are short-lived is not asked all the time. @param {number} after milliseconds */
    expires(after: number): void;
    close(): void;
    #private;
}
/**
 * Gets an access token of the same user, for example from the program's own server. One that throws is asked again;
 * an empty string says that there is none any more.
 */
export type TokenSource = () => string | Promise<string>;
/**
 * What an access token needs of its session.
 */
export type TokenHost = {
    clock: Clock;
    request: (message: Message) => Promise<any>;
    failed: (error: HubError) => void;
};

// ---- session/types.js
export type SessionOptions = {
    /**
     * the hub's WebSocket URL; default: `/ws` of the server that served this module, so that a copy of
     * it (npm, a bundle) has to name one
     */
    url?: string | undefined;
    /**
     * what others see, at most 64 characters
     */
    name?: string | undefined;
    /**
     * the name by which others call this person
     */
    user?: string | undefined;
    /**
     * what keeps others from taking `user` (8 to 128 characters, kept by the client)
     */
    userSecret?: string | undefined;
    /**
     * access token, for servers with `access.mode: token`; a
     * function is asked for the first and again before each expires
     */
    token?: string | TokenSource | undefined;
    /**
     * another implementation, for tests and other runtimes
     */
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    /**
     * for tests
     */
    clock?: Clock | undefined;
};
export type Closed = {
    /**
     * of protocol.md; 0: what answers is no turnhub server, 1000: closed here
     */
    code: number;
    /**
     * for logs and developers
     */
    reason: string;
    /**
     * what the access token lacks, where the server has said so
     */
    why?: "invalid" | "expired" | "revoked" | "missing" | undefined;
};
export type Reconnected = {
    /**
     * false: the server had forgotten the session; rooms and calls are gone there
     */
    resumed: boolean;
    /**
     * the old socket died without a word, so the network itself has probably changed
     */
    silent: boolean;
};

export {};
