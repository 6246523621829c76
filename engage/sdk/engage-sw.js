/* The service worker of engage.js: shows web pushes, reports what became of them. Put it on your own origin, with one
   line of your own: importScripts('https://engage.example.com/sdk/engage-sw.js'). Apache-2.0 */
'use strict';
(() => {
  const database = () => new Promise((done, fail) => {
    const asked = indexedDB.open('engage', 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore('queue', {autoIncrement: true});
      asked.result.createObjectStore('inbox');
      asked.result.createObjectStore('kv');
    };
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
  async function session() {
    const opened = await database();
    return new Promise((done, fail) => {
      const asked = opened.transaction('kv').objectStore('kv').get('session');
      asked.onsuccess = () => { opened.close(); done(asked.result || {}); };
      asked.onerror = () => { opened.close(); fail(asked.error); };
    });
  }
  async function keep(row) { // the page sends it when it is next open
    const opened = await database();
    await new Promise((done, fail) => {
      const work = opened.transaction('queue', 'readwrite');
      work.objectStore('queue').put(row);
      work.oncomplete = done;
      work.onerror = () => fail(work.error);
    });
    opened.close();
  }
  async function call(path, body) {
    const {url, token} = await session();
    if (!url || !token) return null;
    return fetch(url + path, {
      method: 'POST', body: JSON.stringify(body), credentials: 'omit',
      headers: {authorization: 'Bearer ' + token, 'content-type': 'application/json'},
    });
  }
  async function report(data, event, more) {
    const one = {
      id: crypto.randomUUID(), message_id: data.message_id, run_id: data.run_id, event, at: new Date().toISOString(), ...more,
    };
    try {
      const answer = await call('/v1/messages/events', {events: [one], sentAt: new Date().toISOString()});
      if (answer && (answer.status === 429 || answer.status >= 500)) throw new Error(String(answer.status));
    } catch {
      const {token} = await session();
      await keep({kind: 'report', user: '', token, data: one});
    }
  }
  const safe = (url) => typeof url === 'string' && /^(https?:|[/?#])/i.test(url) ? url : null;

  self.addEventListener('push', (event) => {
    let data;
    try { data = event.data.json(); } catch { return; }
    if (!data || !data.message_id) return; // not ours
    event.waitUntil(self.registration.showNotification(data.title || '', {
      body: data.body, icon: safe(data.icon) || undefined, image: safe(data.image) || undefined, tag: data.message_id, data,
      actions: (data.actions || []).map(({action, title}) => ({action, title})),
    }).then(() => report(data, 'viewed')));
  });
  self.addEventListener('notificationclick', (event) => {
    const data = event.notification.data;
    if (!data || !data.message_id) return;
    event.notification.close();
    const chosen = (data.actions || []).find((one) => one.action === event.action);
    const url = safe(chosen && chosen.url) || safe(data.deep_link) || '/';
    const opened = self.clients.openWindow(new URL(url, self.location.origin).href).catch(() => {});
    const told = report(data, 'clicked', {action: event.action || undefined, url});
    event.waitUntil(Promise.all([opened, told]));
  });
  self.addEventListener('notificationclose', (event) => {
    const data = event.notification.data;
    if (data && data.message_id) event.waitUntil(report(data, 'dismissed'));
  });
  self.addEventListener('pushsubscriptionchange', (event) => {
    const old = event.oldSubscription;
    event.waitUntil((async () => {
      const fresh = event.newSubscription || await self.registration.pushManager.subscribe(old.options);
      await call('/v1/devices', {channel: 'web_push', token: fresh.toJSON()});
      if (old) await call('/v1/devices', {channel: 'web_push', token: old.toJSON(), active: false});
    })());
  });
})();
