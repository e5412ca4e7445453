// A page that is loaded again comes without the token, which does not stay in the address: the tab remembers it.

const key = 'turnhub.token';
try {
  const url = new URL(location.href);
  const asked = url.searchParams.get('token'), kept = sessionStorage.getItem(key);
  if (kept && asked === null) {
    url.searchParams.set('token', kept);
    location.replace(url);
  } else if (kept === asked) {
    sessionStorage.removeItem(key);
  }
} catch {
  // storage is forbidden: then the token has stayed in the address
}
