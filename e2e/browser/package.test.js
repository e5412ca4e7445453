// The npm package as `npm pack` makes it, in the programs that take packages: strict TypeScript, Node's test runner, Vite (the
// example in React, built), and a page that has nothing but <script type=module>; the pages in Chromium and Firefox.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const example = path.join(root, 'examples/react');
/** A project that has installed the package. */
let project = '';

/** Runs a program in the project; what it said stands in the error. @param {string} program @param {string[]} args */
async function run(program, ...args) {
  try {
    return (await promisify(execFile)(program, args, { cwd: project, env: { ...process.env, NODE_TEST_CONTEXT: undefined } })).stdout;
  } catch (error) {
    const { message, stdout } = /** @type {any} */ (error);
    throw new Error(`${message}\n${stdout}`);
  }
}

/** @param {string} name @param {string} content */
const write = (name, content) => fs.writeFile(path.join(project, name), content);
/** A program of the example's own packages. @param {string} name */
const installed = (name) => path.join(example, 'node_modules', name);

before(async () => {
  project = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-package-'));
  onCleanup(() => fs.rm(project, { recursive: true, force: true }));
  const [{ filename }] = JSON.parse(await run('npm', 'pack', '--json', '--pack-destination', project, path.join(root, 'web/client')));
  await run('tar', '-xzf', filename);
  await fs.mkdir(path.join(project, 'node_modules'));
  await fs.rename(path.join(project, 'package'), path.join(project, 'node_modules/turnhub'));
  for (const name of ['react', 'react-dom', 'scheduler', '@types', 'csstype']) await fs.symlink(installed(name), path.join(project, 'node_modules', name));
  await write('package.json', JSON.stringify({ name: 'project', private: true, type: 'module' }));
});
after(cleanup);

test('it holds what it names, its licences among it, and nothing else', async () => {
  const home = path.join(project, 'node_modules/turnhub');
  const description = JSON.parse(await fs.readFile(path.join(home, 'package.json'), 'utf8'));
  const files = (await fs.readdir(home, { recursive: true, withFileTypes: true })).filter((each) => each.isFile()).map((each) => path.relative(home, path.join(each.parentPath ?? each.path, each.name)));
  for (const wanted of ['LICENSE', 'README.md', 'package.json', 'turnhub.js', 'turnhub.d.ts', 'vendor/opus/COPYING.txt', 'vendor/opus/opus.wasm', ...Object.values(description.exports['.'])]) {
    assert.ok(files.includes(path.normalize(wanted)), `${wanted} is missing`);
  }
  assert.deepEqual(files.filter((name) => /test|tsconfig|package-lock|node_modules/.test(name)), []);
  assert.deepEqual(Object.keys(description.dependencies ?? {}), []);
  // What a module imports or loads by its address is there.
  for (const name of files.filter((each) => each.endsWith('.js'))) {
    const text = await fs.readFile(path.join(home, name), 'utf8');
    for (const [, , from] of text.matchAll(/(^(?:import|export)[^'"]* from |import\(|^import |new URL\()'(\.[^']+\.[a-z]+)'/gm)) {
      assert.ok(files.includes(path.join(path.dirname(name), from)), `${name} wants ${from}`);
    }
  }
});

test('strict TypeScript, as bundlers and as Node resolve it', async () => {
  await write('strict.ts', `import {Call, CallFrame, Hub, HubError, LocalMedia, hostedRoom, type CallPhase, type HubErrorCode, type Invitation, type Peer} from 'turnhub';
export async function call(name: string, on: (peer: Peer) => void): Promise<CallPhase> {
  const hub = new Hub({url: 'wss://calls.example.org/ws', name});
  hub.on('incoming', (invitation: Invitation) => void invitation.decline('busy'));
  const call = new Call(hub, {media: new LocalMedia()});
  call.on('peer', on);
  call.on('ended', ({reason, by}) => { const who: 'self' | 'peer' | 'server' | 'host' = by; console.log(reason.length, who); });
  // @ts-expect-error there is no such event
  call.on('never', () => {});
  // @ts-expect-error a room is a string
  await call.join(7);
  // @ts-expect-error somebody has to be named
  await call.invite();
  // @ts-expect-error not one of the phases
  if (call.phase === 'nowhere') return 'idle';
  return call.phase;
}
export const codeOf = (error: unknown): HubErrorCode | '' => (error instanceof HubError ? error.code : '');
export const frame = async (parent: HTMLElement): Promise<CallFrame> => new CallFrame({parent, room: (await hostedRoom('visit')).room, server: 'https://calls.example.org'});
`);
  const compilerOptions = { target: 'ES2022', lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [], strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, jsx: 'react-jsx' };
  await fs.cp(path.join(example, 'src'), path.join(project, 'src'), { recursive: true });
  await Promise.all([['bundler', 'ESNext', ['strict.ts', 'src']], ['nodenext', 'NodeNext', ['strict.ts']]].map(async ([moduleResolution, module, include]) => {
    await write(`tsconfig.${moduleResolution}.json`, JSON.stringify({ compilerOptions: { ...compilerOptions, moduleResolution, module }, include }));
    await run(installed('.bin/tsc'), '-p', `tsconfig.${moduleResolution}.json`);
  }));
});

test('Node’s test runner', async () => {
  await write('node.test.mjs', `import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Hub, HubError, Meter, budget, closeCodes, hostedRoom, isHosted} from 'turnhub';
test('a copy knows no server, and says so', () => assert.rejects(new Hub({name: 'Ann'}).connect(), (error) => error instanceof HubError && error.code === 'no-hub'));
test('what needs no browser', async () => {
  assert.ok(isHosted((await hostedRoom('visit')).room));
  assert.ok(closeCodes && Meter && budget);
});
`);
  assert.match(await run(process.execPath, '--test', '--test-reporter=tap', 'node.test.mjs'), /# pass 2\n# fail 0/);
});

/** A site of these files. @param {string} folder */
async function site(folder) {
  /** @type {Record<string, string>} */ const kinds = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
  const pages = http.createServer(async (request, response) => {
    const file = path.join(folder, path.normalize(new URL(request.url ?? '', 'http://site').pathname).replace(/\/$/, '/index.html'));
    const content = await fs.readFile(file).catch(() => null);
    if (!content) return response.writeHead(404).end();
    response.setHeader('content-type', kinds[path.extname(file)] ?? 'application/octet-stream');
    response.end(content);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', () => resolve(undefined)));
  onCleanup(() => { pages.closeAllConnections(); pages.close(); });
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (pages.address()).port}`;
}

test('a page with <script type=module>, and the example in React as Vite builds it: each between Chromium and Firefox', async () => {
  const [server, ...browsers] = await Promise.all([startServer(), startBrowser(), startBrowser({ kind: 'firefox' })]);
  const socket = `${server.base.replace(/^http/, 'ws')}/ws`;
  const built = path.join(project, 'built');
  await fs.cp(path.join(example, 'src'), path.join(project, 'src'), { recursive: true });
  for (const name of ['index.html', 'tsconfig.json']) await fs.copyFile(path.join(example, name), path.join(project, name));
  const main = path.join(project, 'src/main.tsx');
  await fs.writeFile(main, (await fs.readFile(main, 'utf8')).replace('wss://calls.example.org/ws', socket));
  await run(installed('.bin/vite'), 'build', '--outDir', built, '--logLevel', 'warn');

  await write('plain.html', `<!doctype html>
<script type="importmap">{"imports": {"turnhub": "/node_modules/turnhub/turnhub.js"}}</script>
<p id="state"></p>
<script type="module">
  import {Call, Hub, LocalMedia} from 'turnhub';
  const hub = new Hub({url: '${socket}', name: 'Ann'}), media = new LocalMedia(), call = new Call(hub, {media});
  await Promise.all([hub.connect(), media.open()]);
  await call.join('plain');
</script>`);
  for (const address of [`${await site(project)}/plain.html`, `${await site(built)}/#built`]) {
    const pages = await Promise.all(browsers.map((browser) => browser.newPage()));
    await Promise.all(pages.map((page) => page.goto(address)));
    await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 1 })));
    await Promise.all(pages.map((page) => page.context().close()));
  }

  // What is loaded into a worklet by its address is whole: Vite copies it without what it would import.
  const page = await browsers[0].newPage();
  await page.goto(`${await site(built)}/`);
  const loaded = (await fs.readdir(path.join(built, 'assets'))).filter((name) => /playout|capture/.test(name));
  assert.ok(loaded.length, 'Vite has copied what goes into worklets');
  await page.evaluate(async (names) => {
    const { audioWorklet } = new AudioContext();
    for (const name of names) await audioWorklet.addModule(`/assets/${name}`);
  }, loaded);
  await page.context().close();
});
