// @ts-check

/** What the paths of media are called for people. */
export const pathNames = /** @type {Record<string, string>} */ ({
  'direct': 'direct', 'relay-udp': 'relayed over UDP', 'relay-tcp': 'relayed over TCP', 'relay-tls': 'relayed over TLS',
  'websocket': 'WebSocket',
});
