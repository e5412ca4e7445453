// Questions to the server beside its socket: each ends, whatever the connection does.
import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import {once} from 'node:events';
import {ask} from '../base/http.js';

test('an answer that does not come, or not whole, is given up', async (t) => {
  const server = http.createServer((request, response) => {
    if (request.url === '/json') response.end('{"token":"t"}');
    else if (request.url === '/text') response.writeHead(404).end('nothing');
    else if (request.url === '/half') response.writeHead(200).write('{"token":');
    // Else it stays silent, as a frozen connection does.
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.closeAllConnections(); server.close(); });
  const at = (/** @type {string} */ path) => new URL(`http://127.0.0.1:${/** @type {any} */ (server.address()).port}/${path}`);
  assert.equal((await ask(at('json')))?.said.token, 't');
  const other = await ask(at('text'));
  assert.deepEqual([other?.answer.status, other?.said], [404, null]);
  assert.equal(await ask(at('silent'), {method: 'POST'}, 50), null);
  assert.equal(await ask(at('half'), {}, 50), null);
  assert.equal(await ask(new URL('http://127.0.0.1:9/')), null);
});
