// In each page, as it is (assets/site.go): what a page is made of and did not come, as where a proxy or a server that begins anew says 503, is asked for again. Where it never comes
// the page says so.
{
  const pauses = [500, 1500, 4000], patience = 30_000, texts = document.currentScript?.dataset ?? {};
  /** The page's script says so itself: a window hears nothing of what has loaded. */
  const runs = () => 'runs' in document.documentElement.dataset;

  /** @param {'title' | 'text' | 'again'} id */
  const element = (id) => document.getElementById(`notice-${id}`) ?? document.getElementById(id);

  const say = () => {
    const notice = document.getElementById('notice'), again = /** @type {HTMLButtonElement | null} */ (element('again'));
    if (runs() || !again) return;
    if (notice) {
      for (const main of document.querySelectorAll('main')) main.hidden = main !== notice;
      document.body.dataset.view = 'notice';
    }
    for (const id of /** @type {const} */ (['title', 'text', 'again'])) /** @type {HTMLElement} */ (element(id)).textContent = texts[id] ?? '';
    again.disabled = false;
    again.onclick = () => { if (!runs()) location.reload(); };
  };

  addEventListener('error', ({target}) => {
    const script = target instanceof HTMLScriptElement && target.type === 'module';
    if (!script && !(target instanceof HTMLLinkElement && target.rel === 'stylesheet')) return;
    const tries = Number(target.dataset.tries ?? 0), name = script ? 'src' : 'href';
    if (tries >= pauses.length) {
      if (script) say();
      return;
    }
    setTimeout(() => {
      // Under another name: browsers remember a module that did not come. And as another element: each asks once.
      const url = new URL(target.getAttribute(name) ?? '', document.baseURI), fresh = document.createElement(target.localName);
      for (const attribute of target.attributes) fresh.setAttribute(attribute.name, attribute.value);
      url.searchParams.set('again', String(tries + 1));
      fresh.setAttribute(name, url.href);
      fresh.dataset.tries = String(tries + 1);
      target.replaceWith(fresh);
    }, pauses[tries]);
  }, true);
  setTimeout(say, patience);
}
