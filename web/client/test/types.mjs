// Makes turnhub.d.ts, one file for all modules, from the JSDoc types: `npm run types`. With --check it only says
// whether the file is up to date.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'turnhub-types-'));
try {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(root, 'tsconfig.types.json'), '--outDir', out], {stdio: 'inherit'});
  const entry = readFileSync(join(out, 'turnhub.d.ts'), 'utf8');
  const shown = new Set([...entry.matchAll(/export \{([^}]*)\}/g)].flatMap(([, names]) => names.split(',').map((name) => name.trim())));
  const seen = new Map();
  let text = '// Made from the JSDoc types by `npm run types`: do not edit.\n';
  for (const file of readdirSync(out, {recursive: true}).map(String).sort()) {
    if (file === 'turnhub.d.ts' || !file.endsWith('.ts')) continue;
    let module = readFileSync(join(out, file), 'utf8');
    // One file needs no imports, and no aliases of what another module says.
    module = module.replace(/^import .*;\n/gm, '').replace(/^export \{\};\n/gm, '')
      .replace(/^(?:\/\*\*(?:(?!\*\/)[^])*?\*\/\n)?(?:export )?type (\w+) = import\("[\w./]+\.js"\)\.\1;\n/gm, '')
      .replace(/import\("[\w./]+\.js"\)\./g, '')
      .replace(/^\/\*\*(?:(?!\*\/)[^])*?@typedef(?:(?!\*\/)[^])*?\*\/\n/gm, '');
    for (const [, name] of module.matchAll(/^export (?:declare )?(?:class|function|const|type) (\w+)/gm)) {
      if (seen.has(name)) throw new Error(`${name} is declared in ${seen.get(name)} and in ${file}: rename one`);
      seen.set(name, file);
    }
    // What turnhub.js does not export is known inside only; types are for everybody.
    module = module.replace(/^export (declare )?(class|function|const) (\w+)/gm, (all, _, kind, name) => (shown.has(name) ? `export declare ${kind} ${name}` : `declare ${kind} ${name}`));
    text += `\n// ---- ${file.replace('.d.ts', '.js')}\n${module.trim()}\n`;
  }
  for (const name of shown) if (!seen.has(name)) throw new Error(`turnhub.js exports ${name}, which no module declares`);
  text += '\nexport {};\n';
  const target = join(root, 'turnhub.d.ts');
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error('turnhub.d.ts is not up to date: run `npm run types`');
    process.exitCode = 1;
  }
} finally {
  rmSync(out, {recursive: true, force: true});
}
