// Reads a capture of tcpdump and names what is in each packet: STUN and TURN, DTLS, media, TCP and TLS.

/**
 * @typedef {object} Packet
 * @property {number} at milliseconds since 1970, with fractions
 * @property {string} from address and port
 * @property {string} to
 * @property {string} what is in it
 */

/**
 * The packets of a capture file (little-endian pcap, microseconds), IPv4 only.
 * @param {Buffer} file
 * @returns {Packet[]}
 */
export function readCapture(file) {
  const linkType = file.readUInt32LE(20);
  const skip = linkType === 1 ? 14 : 0; // Ethernet; else raw IP, as TUN devices have it
  const packets = [];
  for (let offset = 24; offset + 16 <= file.length; ) {
    const at = file.readUInt32LE(offset) * 1000 + file.readUInt32LE(offset + 4) / 1000;
    const length = file.readUInt32LE(offset + 8);
    const packet = readIP(file.subarray(offset + 16 + skip, offset + 16 + length));
    if (packet) packets.push({ at, ...packet });
    offset += 16 + length;
  }
  return packets;
}

/** @param {Buffer} ip */
function readIP(ip) {
  if (ip.length < 20 || ip[0] >> 4 !== 4) return undefined;
  const header = (ip[0] & 15) * 4;
  const address = (/** @type {number} */ offset) => [...ip.subarray(offset, offset + 4)].join('.');
  const transport = ip.subarray(header, ip.readUInt16BE(2));
  if (transport.length < 8) return undefined;
  const from = `${address(12)}:${transport.readUInt16BE(0)}`;
  const to = `${address(16)}:${transport.readUInt16BE(2)}`;
  if (ip[9] === 17 && /:53 |:53$/.test(`${from} ${to}`)) return { from, to, what: 'DNS' };
  if (ip[9] === 17) return { from, to, what: nameDatagram(transport.subarray(8)) };
  if (ip[9] !== 6) return undefined;
  const payload = transport.subarray((transport[12] >> 4) * 4);
  const flags = transport[13];
  if (flags & 2) return { from, to, what: flags & 16 ? 'TCP SYN, ACK' : 'TCP SYN' };
  return { from, to, what: payload.length ? nameStream(payload) : 'TCP ACK' };
}

const methods = { 1: 'Binding', 3: 'Allocate', 4: 'Refresh', 6: 'Send', 7: 'Data', 8: 'CreatePermission', 9: 'ChannelBind' };
const classes = ['request', 'indication', 'response', 'error'];
const handshakes = { 1: 'ClientHello', 2: 'ServerHello', 3: 'HelloVerifyRequest', 11: 'Certificate', 12: 'ServerKeyExchange',
  13: 'CertificateRequest', 14: 'ServerHelloDone', 15: 'CertificateVerify', 16: 'ClientKeyExchange', 20: 'Finished' };

/** @param {Buffer} data @returns {string} */
export function nameDatagram(data) {
  const [first] = data;
  if (first < 4 && data.length >= 20 && data.readUInt32BE(4) === 0x2112a442) return nameSTUN(data);
  if (first >= 0x40 && first < 0x50) return `TURN: ${nameDatagram(data.subarray(4, 4 + data.readUInt16BE(2)))}`;
  if (first >= 20 && first < 64) return `DTLS ${nameDTLS(data)}`;
  if (first >= 128 && first < 192) return data[1] >= 192 && data[1] < 224 ? 'SRTCP' : 'SRTP';
  return `${data.length} bytes`;
}

/** @param {Buffer} data */
function nameSTUN(data) {
  const type = data.readUInt16BE(0);
  const method = (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80);
  const name = methods[/** @type {keyof typeof methods} */ (method)] ?? `STUN method ${method}`;
  const attributes = new Map();
  for (let offset = 20; offset + 4 <= data.length; ) {
    const length = data.readUInt16BE(offset + 2);
    attributes.set(data.readUInt16BE(offset), data.subarray(offset + 4, offset + 4 + length));
    offset += 4 + ((length + 3) & ~3);
  }
  if ((name === 'Send' || name === 'Data') && attributes.has(0x13)) return `TURN: ${nameDatagram(attributes.get(0x13))}`;
  // META-DTLS-IN-STUN carries a flight of the handshake along with a connectivity check.
  const carried = attributes.get(0xc070);
  return [name, classes[((type >> 4) & 1) | ((type >> 7) & 2)], attributes.has(0x25) ? '(nominates)' : '',
    carried?.length ? `with DTLS ${nameDTLS(carried)}` : ''].filter(Boolean).join(' ');
}

/** @param {Buffer} data */
function nameDTLS(data) {
  const names = [];
  for (let offset = 0; offset < data.length; ) {
    const type = data[offset];
    if (type >= 32) { // DTLS 1.3: what is inside is encrypted
      names.push('1.3 encrypted');
      break;
    }
    if (offset + 13 > data.length) break;
    const epoch = data.readUInt16BE(offset + 3);
    const handshake = handshakes[/** @type {keyof typeof handshakes} */ (data[offset + 13])];
    names.push(type === 20 ? 'ChangeCipherSpec' : type === 22 ? (epoch ? 'Finished' : handshake ?? 'handshake') : type === 23 ? 'data' : type === 21 ? 'alert' : `record ${type}`);
    offset += 13 + data.readUInt16BE(offset + 11);
  }
  return [...new Set(names)].join(', ');
}

/** @param {Buffer} data */
function nameStream(data) {
  const stun = nameDatagram(data);
  if (data[0] < 4 && !stun.endsWith('bytes')) return stun;
  if (data[0] >= 0x40 && data[0] < 0x50 && data.readUInt16BE(2) + 4 <= data.length) return stun;
  if (data[0] >= 20 && data[0] < 24 && data[1] === 3) {
    return data[0] === 22 ? `TLS ${handshakes[/** @type {keyof typeof handshakes} */ (data[5])] ?? 'handshake'}` : `TLS, ${data.length} bytes`;
  }
  return `TCP, ${data.length} bytes`;
}
