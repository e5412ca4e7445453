// What the pages say: every text is looked up by a key, every language has every key, and nothing has a key that nobody asks for.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync, readdirSync} from 'node:fs';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const pages = fileURLToPath(new URL('../../static/', import.meta.url));
const client = fileURLToPath(new URL('../', import.meta.url));
const read = (name) => readFileSync(join(pages, name), 'utf8');
const files = (ext) => readdirSync(pages).filter((name) => name.endsWith(ext));
/** @type {Record<string, Record<string, Record<string, string | Record<string, string>>>>} */
const languages = Object.fromEntries(readdirSync(join(pages, 'words')).map((name) => [name.replace('.json', ''), JSON.parse(read(`words/${name}`))]));
const keysOf = (words) => Object.entries(words).flatMap(([area, texts]) => Object.keys(texts).map((name) => `${area}.${name}`));
const formsOf = (text) => (typeof text === 'string' ? [text] : Object.values(text));
const textOf = (words, key) => words[key.slice(0, key.indexOf('.'))]?.[key.slice(key.indexOf('.') + 1)];

// ---- texts that are not looked up

/** Names that browsers and protocols have given, which look like words. */
const names = /^(?:[A-Z][A-Za-z]+Error|InsecureContext|M|V|S|C|H|\?|Key|TURN|STUN|UDP|TCP|TLS)$/;
/** Where a string is shown to nobody: the argument of these calls, and the value of these properties. */
const silentCalls = /^(?:\$|closest|querySelector|querySelectorAll|matches|getElementById|createElementNS|getPropertyValue|setProperty|matchMedia|addEventListener|on|once|import|recall|remember|replace|test|Error|RangeError|warn|error|has)$/;
const silentProperties = /^(?:class|font|className|type|name|role|tabindex|href|icon|unit|color|tag|rel|key|style|max-age|data-.*)$/;
/** What a visitor sees or hears. */
const shownProperties = /^(?:textContent|innerText|innerHTML|title|placeholder|alt|label|ariaLabel|aria-label|aria-description|aria-valuetext|text|body)$/;
const shownCalls = /^(?:toast|notice|banner|dress|prompt|alert|confirm|Option|Notification|append|prepend|replaceChildren|createTextNode|write)$/;

/** @param {ts.Node} node of a call or new */
const calleeOf = (node) => (ts.isCallExpression(node) || ts.isNewExpression(node)
  ? (ts.isPropertyAccessExpression(node.expression) ? node.expression.name.text : node.expression.kind === ts.SyntaxKind.ImportKeyword ? 'import' : node.expression.getText()) : '');

/** A word with a capital, several words, or what no program writes. @param {string} text */
const prose = (text) => !names.test(text.trim()) && (/\p{L}{2,}[.,:;!?]?\s+\p{L}/u.test(text) || /^\s*\p{Lu}\p{Ll}/u.test(text) || /[…“”„–’]|[^\P{L}A-Za-z]/u.test(text));
const letters = (text) => /\p{L}/u.test(text) && !names.test(text.trim());

/**
 * The strings of a script that a visitor may see without their having been looked up.
 * @param {string} name @param {string} source
 */
function unlooked(name, source) {
  const file = ts.createSourceFile(name, source, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  /** @type {string[]} */ const found = [];
  /** Whether it goes where people see it, goes where nobody does, or is a value of which that is not known. @param {ts.Node} node */
  const place = (node) => {
    for (let child = node, e = node.parent; e; child = e, e = e.parent) {
      if (ts.isImportDeclaration(e) || ts.isExportDeclaration(e) || ts.isCaseClause(e) && e.expression === child || ts.isElementAccessExpression(e) || ts.isTypeNode(e)) return 'silent';
      if (ts.isBinaryExpression(e)) {
        const {kind} = e.operatorToken;
        if ([ts.SyntaxKind.EqualsEqualsEqualsToken, ts.SyntaxKind.ExclamationEqualsEqualsToken, ts.SyntaxKind.InKeyword].includes(kind)) return 'silent';
        if (kind === ts.SyntaxKind.EqualsToken && ts.isPropertyAccessExpression(e.left)) {
          if (shownProperties.test(e.left.name.text)) return 'shown';
          if (silentProperties.test(e.left.name.text) || /\.(?:dataset|cookie)\b/.test(e.left.getText())) return 'silent';
        }
      }
      if (ts.isPropertyAssignment(e) && e.initializer === child) {
        const property = e.name.getText().replaceAll("'", '');
        if (shownProperties.test(property)) return 'shown';
        if (silentProperties.test(property)) return 'silent';
      }
      const callee = calleeOf(e);
      if (callee) {
        const at = (e.arguments ?? []).indexOf(child);
        if (at < 0) return '';
        if (callee === 't' || callee === 'nodesOf') return at === 0 ? 'silent' : 'shown';
        if (callee === 'setAttribute') return at === 1 && shownProperties.test(e.arguments[0].text ?? '') ? 'shown' : 'silent';
        if (callee === 'el') return at === 0 ? 'silent' : at > 1 ? 'shown' : '';
        if (callee === 'dress') return at === 2 ? 'shown' : 'silent';
        if (callee === 'toast' || callee === 'notice') return (callee === 'toast' ? at === 0 : at > 0) ? 'shown' : 'silent';
        if (silentCalls.test(callee)) return 'silent';
        if (shownCalls.test(callee)) return 'shown';
        return '';
      }
      if (ts.isFunctionLike(e) || ts.isStatement(e)) return '';
    }
    return '';
  };
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isStringLiteralLike(node) || node.kind === ts.SyntaxKind.TemplateHead || node.kind === ts.SyntaxKind.TemplateMiddle || node.kind === ts.SyntaxKind.TemplateTail) {
      const {text} = /** @type {any} */ (node);
      const where = place(ts.isStringLiteralLike(node) ? node : ts.findAncestor(node, ts.isTemplateExpression));
      if (where !== 'silent' && (where === 'shown' ? letters(text) : prose(text))) {
        found.push(`${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}: “${text.trim()}”`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** What a page says by itself. @param {string} name @param {string} source */
function said(name, source) {
  const plain = source.replace(/<!--[^]*?-->/g, '').replace(/<(script|style)\b[^]*?<\/\1>/g, '').replace(/\{\{[^]*?\}\}/g, '').replace(/\[\[[^\]]*\]\]/g, '');
  const texts = plain.split(/<[^>]*>/).concat([...plain.matchAll(/\b(?:title|placeholder|alt|aria-label|aria-description|aria-valuetext|label|content)="([^"]*)"/g)].map(([, text]) => text));
  const kept = /^(?:turnhub|[–\s…]*|M|V|S|C|H|\?|width=device-width.*|light dark|#[0-9a-f]{6}|noindex|– turnhub)$/;
  return texts.map((text) => text.trim()).filter((text) => text && !kept.test(text)).map((text) => `${name}: “${text}”`);
}

test('every text of the pages is looked up', () => {
  assert.deepEqual(files('.js').flatMap((name) => unlooked(name, read(name))), []);
  assert.deepEqual(files('.html').flatMap((name) => said(name, read(name))), []);
  for (const name of files('.css')) assert.doesNotMatch(read(name), /content:\s*["'][^"']*\p{L}/u, name);
});

test('a text that is not looked up is found', () => {
  for (const [source, count] of [
    ["x.textContent = 'direct'", 1], ["x.textContent = open ? 'on' : ''", 1], ['x.title = `${name} has left`', 1], ["el('p', {}, 'hello')", 1],
    ["el('p', {'aria-label': 'hello'})", 1], ["x.setAttribute('aria-label', 'hello')", 1], ["toast('gone', 'bad')", 1], ["const words = {open: 'Connected'}", 1],
    ["const w = ['is calling you']", 1], ["toast(t('call.left', {who: 'Guest'}))", 1], ["new Option('none', '')", 1], ["document.title = 'Anruf'", 1], ["const w = 'größer'", 1],
    ["x.textContent = t('call.left')", 0], ["throw new Error('the page has none')", 0], ["$('#a .b').hidden = true", 0], ["if (name === 'NotAllowedError') go()", 0],
    ["el('p', {class: 'a b'}, t('x.y'))", 0], ["x.dataset.state = 'waiting here'", 0], ["console.warn('turnhub: it is odd')", 0],
  ]) assert.equal(unlooked('x.js', source).length, count, source);
  assert.equal(said('x.html', '<p>Hello <b>[[a.b]]</b></p><input placeholder="how"><svg aria-hidden="true">').length, 2);
});

/** @template T @param {() => T} make @returns {() => T} */
function once(make) {
  /** @type {T | undefined} */ let made;
  return () => (made ??= make());
}

// ---- keys

/** The keys that each script asks for, as the type checker knows them: also `area.${code}`, by the codes that there are. */
const asked = once(() => {
  const options = ts.parseJsonConfigFileContent(ts.readConfigFile(join(client, 'tsconfig.json'), ts.sys.readFile).config, ts.sys, client);
  const program = ts.createProgram(options.fileNames, options.options);
  const checker = program.getTypeChecker();
  /** @type {Map<string, Set<string>>} */ const by = new Map();
  /** @type {string[]} */ const odd = [];
  for (const file of program.getSourceFiles()) {
    if (!file.fileName.startsWith(pages) || file.fileName.includes('/vendor/') || !file.fileName.endsWith('.js')) continue;
    const keys = new Set();
    by.set(file.fileName, keys);
    /** @param {ts.Node} node */
    const visit = (node) => {
      if (/^(?:t|nodesOf)$/.test(calleeOf(node))) {
        const type = checker.getTypeAtLocation(node.arguments[0]);
        for (const each of type.isUnion() ? type.types : [type]) {
          if (each.isStringLiteral()) keys.add(each.value);
          else odd.push(`${file.fileName.slice(pages.length)}: ${node.getText()}: ${checker.typeToString(each)}`);
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  assert.deepEqual(odd, [], 'keys are known before the page runs');
  return by;
});

/** The scripts of the pages that a script imports, itself too. @param {string} file @param {Set<string>} [seen] */
function imports(file, seen = new Set()) {
  if (seen.has(file) || !file.startsWith(pages) || file.includes('/vendor/')) return seen;
  seen.add(file);
  for (const {fileName} of ts.preProcessFile(readFileSync(file, 'utf8')).importedFiles) if (fileName.startsWith('.') && fileName.endsWith('.js')) imports(resolve(dirname(file), fileName), seen);
  return seen;
}

test('every key exists in every language, in the same shape, and is asked for', () => {
  const {en} = languages;
  const all = keysOf(en);
  const inScripts = asked();
  const inPages = new Set(['language.name', 'language.dir']);
  for (const name of [...files('.html'), ...files('.webmanifest')]) for (const [, key] of read(name).matchAll(/\[\[([a-z]+\.[a-z0-9-]+)\]\]/g)) inPages.add(key);
  const server = ['errorpage.go', 'privacy.go'].map((name) => readFileSync(join(pages, '..', name), 'utf8')).join('');
  for (const [, key] of server.matchAll(/"((?:wrong|privacy)\.[a-z-]+)"/g)) inPages.add(key);
  const wanted = new Set([...inPages, ...[...inScripts.values()].flatMap((keys) => [...keys])]);
  assert.deepEqual([...wanted].filter((key) => !all.includes(key)), [], 'asked for, and in no language');
  assert.deepEqual(all.filter((key) => !wanted.has(key)), [], 'nobody asks for these');

  for (const [tag, words] of Object.entries(languages)) {
    assert.deepEqual(keysOf(words).sort(), [...all].sort(), `the keys of ${tag}`);
    const categories = new Intl.PluralRules(tag).resolvedOptions().pluralCategories;
    for (const key of all) {
      const [mine, english] = [textOf(words, key), textOf(en, key)];
      const holes = (text) => [...new Set(formsOf(text).flatMap((form) => [...form.matchAll(/\{([^}]*)\}/g)].map(([, hole]) => hole)))].sort();
      assert.deepEqual(holes(mine), holes(english), `the values of ${key} in ${tag}`);
      assert.ok(formsOf(mine).every((form) => form.trim() && !/\{[^a-z]|\[\[|<|\}\}/.test(form)), `${key} in ${tag}`);
      assert.equal(typeof mine, typeof english, `${key} in ${tag}`);
      if (typeof mine === 'object') assert.deepEqual(Object.keys(mine).sort(), [...categories].sort(), `the plural forms of ${key} in ${tag}`);
      if (inPages.has(key)) assert.equal(typeof mine, 'string', `${key}: pages do not count`);
    }
  }
});

test('a page brings what its scripts ask for, and not more', () => {
  const inScripts = asked();
  for (const name of files('.html')) {
    const source = read(name);
    const [, script] = /<script type="module" src="\/static\/([^"]+)"/.exec(source) ?? [];
    const areas = /\[\[words ([^\]]*)\]\]/.exec(source)?.[1].split(' ') ?? [];
    if (!script) continue;
    const needed = new Set([...imports(join(pages, script))].filter((file) => !/\bawait learn\(/.test(readFileSync(file, 'utf8'))) // they bring theirs
      .flatMap((file) => [...inScripts.get(file) ?? []]).map((key) => key.slice(0, key.indexOf('.'))));
    if (name === 'error.html') assert.equal(needed.size, 0, name);
    else assert.deepEqual([...areas].sort(), [...needed].sort(), name);
  }
});

test('a number and its unit stay in one line', () => {
  for (const [tag, words] of Object.entries(languages)) {
    for (const key of keysOf(words)) {
      if (key.startsWith('report.')) continue; // plain text for a mail, which is searched
      for (const text of formsOf(textOf(words, key))) assert.doesNotMatch(text, /[}0-9] (?:%|(?:ms|s|k?B|MB|[kM]bit\/s)(?!\p{L}))/u, `${tag}: ${key}`);
    }
  }
});

test('a language is written as its readers write', async () => {
  const words = await import('../../static/words.js');
  words.speak('de', languages.de);
  assert.equal(words.t('chat.unread', {count: 1}), 'Chat, 1 ungelesene Nachricht');
  assert.equal(words.t('chat.unread', {count: 12345}), 'Chat, 12.345 ungelesene Nachrichten');
  assert.equal(words.sizeOf(2_540_000), '2,5\u00a0MB');
  assert.equal(words.t('call.left', {who: '{who} $& $1'}), '{who} $& $1 ist gegangen', 'a name is a name');
  assert.deepEqual(words.nodesOf('missed.at', {who: 'Ida', time: '14:03'}), ['Ida', ' hat um ', '14:03', ' angerufen']);
  assert.equal(words.whyOf({code: 'room-full', message: 'raw text of the server'}), languages.de.error['room-full']);
  assert.equal(words.whyOf(new TypeError('raw text of the browser')), languages.de.error.unknown);
  assert.equal(words.whyOf({code: 'toString'}), languages.de.error.unknown);
  assert.equal(words.capital('über'), 'Über');
});
