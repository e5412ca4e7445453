// Shows who calls while the page is closed (signaling/protocol.md, "Called while the page is closed").
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('push', (event) => {
  const {type, call, name, user, reason} = event.data.json();
  const who = name || user || 'Somebody';
  const text = type === 'ring' ? `${who} is calling` : reason === 'missed' ? `${who} called` : 'Answered on another device';
  // Something must be shown for each push: browsers take push away from pages that show nothing. One call, one notification.
  event.waitUntil(self.registration.showNotification(text, {tag: `call-${call}`, requireInteraction: type === 'ring', silent: type !== 'ring', data: {type, call}}));
});
self.addEventListener('notificationclick', (event) => {
  const {type, call} = event.notification.data;
  event.notification.close();
  event.waitUntil(self.clients.openWindow(type === 'ring' ? `index.html?answer=${call}` : 'index.html'));
});
