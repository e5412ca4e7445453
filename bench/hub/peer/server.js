// PeerServer on 127.12.0.x for the benchmark, with TLS 1.3 where a certificate is named. SIGUSR2 collects garbage, so
// that memory can be compared after a collection (node --expose-gc).
const { readFileSync } = require('node:fs');
const { PeerServer } = require('peer');

const [host, port, cert, key] = process.argv.slice(2);
const ssl = cert && { cert: readFileSync(cert), key: readFileSync(key), ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' };
PeerServer({ host, port: Number(port), path: '/', concurrent_limit: 1000000, alive_timeout: 90000, ...(ssl && { ssl }) });
process.on('SIGUSR2', () => globalThis.gc());
