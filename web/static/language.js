import {$} from './dom.js';

/** The choice of the page's language. The server reads it where it makes the page; see web/language.go. */
const name = 'turnhub-language';

/** Lets the visitor choose; the page is made anew then. */
export function offerLanguages() {
  const select = /** @type {HTMLSelectElement} */ ($('#language'));
  select.addEventListener('change', () => {
    document.cookie = `${name}=${select.value}; path=/; max-age=31536000; samesite=lax${location.protocol === 'https:' ? '; secure' : ''}`;
    const url = new URL(location.href);
    // Where cookies are forbidden, as in a frame of another site, the address says it.
    if (document.cookie.split('; ').includes(`${name}=${select.value}`)) url.searchParams.delete('language');
    else url.searchParams.set('language', select.value);
    if (url.href === location.href) location.reload();
    else location.replace(url);
  });
}
