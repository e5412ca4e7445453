// Names of rooms and people in any script: the page's rule is the server's, and nobody is taken for somebody else.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import * as names from '../../static/names.js';
import {nearestRoom, plainName, roomOf} from '../../static/rooms.js';
import * as words from '../../static/words.js';

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));

test('a room is called the same here as on the server', () => {
  const rows = read('../../../internal/access/testdata/rooms.json');
  for (const [typed, name] of rows) assert.equal(roomOf(typed), name ?? '', JSON.stringify(typed));
});

test('the nearest name that a room can have', () => {
  for (const [asked, near] of [
    ['My room', 'My-room'], ['Frühstück um 8', 'Frühstück-um-8'], ['кімната № 5', 'кімната-No-5'], ['c\u0430ll me', 'me'], ['\uff41bc', 'abc'], ['\u0301x', 'x'],
    ['!?', ''], ['a/b#c', 'a-b-c'], ['я'.repeat(70), 'я'.repeat(64)], ['\u{1F600}', ''],
  ]) {
    assert.equal(nearestRoom(asked), near, asked);
    if (near) assert.equal(nearestRoom(near), near, 'it is itself then');
  }
});

test('who looks like another one has a number', () => {
  words.speak('en', read('../../static/words/en.json'));
  for (const [a, b] of [['Anna', '\u0410nna'], ['Paypal', 'Payp\u0430l'], ['Ida', 'lda'], ['Ida', 'ida'], ['Ida', 'I\u200bda'], ['Zoé', 'Zoe'], ['Bob', 'B0b'], ['Ида', 'Ида']]) {
    assert.equal(names.lookOf(a), names.lookOf(b), `${a} ${b}`);
  }
  for (const [a, b] of [['Anna', 'Hanna'], ['Ida', 'Ina'], ['Олена', 'Олег'], ['علي', 'عليا'], ['王', '主']]) assert.notEqual(names.lookOf(a), names.lookOf(b), `${a} ${b}`);
  const [first, second, third, guest] = [{name: 'Anna'}, {name: '\u0410nna'}, {name: 'Vasya'}, {name: ''}];
  for (const peer of [first, second, third, guest]) names.enter(peer);
  assert.deepEqual([first, second, third, guest].map(names.nameOf), ['Anna', '\u0410nna (2)', 'Vasya', 'Guest']);
  names.callSelf('vasya');
  assert.equal(names.nameOf(third), 'Vasya (2)', 'like this visitor');
  third.name = 'Petya';
  names.leave(first);
  assert.deepEqual([second, third].map(names.nameOf), ['\u0410nna', 'Petya'], 'whom there is nobody to be taken for');
});

test('a name keeps its own direction and turns nothing else round', () => {
  words.speak('en', read('../../static/words/en.json'));
  assert.equal(words.t('call.left', {who: 'Vasya'}), 'Vasya has left', 'nothing runs from right to left');
  assert.equal(words.t('call.left', {who: 'משה'}), '\u2068משה\u2069 has left');
  words.speak('ar', read('../../static/words/ar.json'));
  assert.equal(words.t('call.left', {who: 'Vasya'}), 'غادر \u2068Vasya\u2069');
  assert.equal(words.t('call.left', {who: 'x\u2069\u202ey\u2068z'}), 'غادر \u2068xy\u2068z\u2069\u2069', 'marks of its own are kept in pairs');
  assert.equal(words.t('chat.unread', {count: 2}), 'الدردشة، رسالتان غير مقروءتين');
  words.speak('pl', read('../../static/words/pl.json'));
  assert.equal(words.t('chat.unread', {count: 22}), 'Czat, 22 nieprzeczytane wiadomości');
});

test('a name that was copied from anywhere is one that the server takes', () => {
  for (const [given, name] of [
    ['Anna\tSmith', 'Anna Smith'], [' Anna\r\n Smith\u2028', 'Anna Smith'], ['\u0000\u0085', ''], ['Zo\u00eb', 'Zo\u00eb'], ['a\ud83d', 'a'], ['', ''],
    ['\u{1f600}'.repeat(80), '\u{1f600}'.repeat(64)], [`${'x'.repeat(63)} y`, 'x'.repeat(63)],
  ]) assert.equal(plainName(given), name, JSON.stringify(given));
});

test('what turns writing round does so within the value alone', () => {
  words.speak('en', read('../../static/words/en.json'));
  const said = (name) => words.t('host.knocks', {who: name});
  assert.equal(said('Anna'), 'Anna would like to come in.');
  for (const name of ['\u202eabc', 'a\u2066b', '\u2069a', '\u200fa', '\u061ca']) {
    const text = said(name), at = text.indexOf('\u2069 would');
    assert.ok(text.startsWith('\u2068') && at > 0, JSON.stringify(text));
    const within = text.slice(1, at);
    assert.doesNotMatch(within, /[\u202a-\u202e]/);
    let open = 0;
    for (const mark of within.match(/[\u2066-\u2069]/g) ?? []) assert.ok((open += mark === '\u2069' ? -1 : 1) >= 0, JSON.stringify(text));
    assert.equal(open, 0, JSON.stringify(text));
  }
});
