// Makes the PNG icons of the page from its favicon.svg: `make icons`. They are committed, since nobody else needs Chromium to build.
import {execFileSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';

const folder = new URL('../web/static/', import.meta.url);
const svg = readFileSync(new URL('favicon.svg', folder), 'utf8');
/** The drawing without its ground. */
const mark = svg.replace(/<rect[^>]*>/, '');
const ground = svg.match(/fill="(#[0-9a-f]{6})"/)[1];
const inner = (drawing, scale) => drawing.replace(/<svg[^>]*>/, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" fill="${ground}"/><g transform="translate(16 16) scale(${scale}) translate(-16 -16)">`).replace('</svg>', '</g></svg>');
const icons = {
  'icon-192.png': [192, svg], 'icon-512.png': [512, svg],
  // The system cuts its own shape out of these: all that matters lies within 80 % (W3C manifest, safe zone).
  'maskable-512.png': [512, inner(mark, 0.8)], 'apple-touch-icon.png': [180, inner(mark, 0.9)],
  // For a status bar, which takes its opacity alone.
  'badge.png': [96, mark.replaceAll(/#[0-9a-f]{3,6}/g, '#fff')],
};

const page = `<!doctype html><body><script>
  const icons = ${JSON.stringify(icons)};
  Promise.all(Object.entries(icons).map(async ([name, [size, svg]]) => {
    const image = new Image(size, size);
    image.src = 'data:image/svg+xml,' + encodeURIComponent(svg.replace('<svg', '<svg width="' + size + '" height="' + size + '"'));
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), {width: size, height: size});
    canvas.getContext('2d').drawImage(image, 0, 0, size, size);
    return [name, canvas.toDataURL('image/png').split(',')[1]];
  })).then((made) => { document.body.textContent = '@' + '@' + JSON.stringify(made) + '@' + '@'; });
</script>`;
const dom = execFileSync(process.env.CHROMIUM ?? 'chromium', ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=5000', '--dump-dom', `data:text/html;base64,${Buffer.from(page).toString('base64')}`],
  {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 24});
for (const [name, png] of JSON.parse(dom.split('@@').at(-2))) {
  writeFileSync(new URL(name, folder), Buffer.from(png, 'base64'));
  console.log(name, Buffer.from(png, 'base64').length);
}
