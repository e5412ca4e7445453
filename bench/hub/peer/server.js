// PeerServer on 127.12.0.x for the benchmark. SIGUSR2 collects garbage, so that
// memory can be compared after a collection (node --expose-gc).
const { PeerServer } = require('peer');

const [host, port] = process.argv.slice(2);
PeerServer({ host, port: Number(port), path: '/', concurrent_limit: 1000000, alive_timeout: 90000 });
process.on('SIGUSR2', () => globalThis.gc());
