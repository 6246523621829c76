/* engage.js: events, on-site messages, inbox and web push for a page. One file, no dependencies. Apache-2.0.
   <script src="https://engage.example.com/sdk/engage.js" data-key="WRITE_KEY" defer></script>
   See docs/web-sdk.md. */
(() => {
  'use strict';
  if (window.engage && window.engage.init) return;

  const script = document.currentScript;
  const STRINGS = {
    close: 'Close', inbox: 'Inbox', unread: 'unread', empty: 'No messages', remove: 'Delete', allRead: 'Mark all as read',
    pinned: 'Pinned', open: 'Open',
  };
  const WAIT = 25; // seconds the server keeps a question for messages
  const KEPT = 1000; // events kept while offline
  const set = {url: '', key: '', strings: STRINGS, channels: 'in_app,web_popup,web_exit_intent,app_inbox'};
  const listeners = {};
  const emit = (name, ...given) => (listeners[name] || []).map((act) => act(...given));
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const uuid = () => (crypto.randomUUID ? crypto.randomUUID()
    : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join(''));

  // What is kept: small things in localStorage, events and the inbox in IndexedDB; in memory where neither is allowed.

  const memory = {};
  function load(name, area = 'localStorage') {
    try { return JSON.parse(window[area].getItem('engage.' + name)) || {}; } catch { return memory[area + name] || {}; }
  }
  function save(name, value, area = 'localStorage') {
    memory[area + name] = value;
    try { window[area].setItem('engage.' + name, JSON.stringify(value)); } catch { /* kept in memory */ }
  }

  let opening;
  const spare = {queue: new Map(), inbox: new Map(), kv: new Map()};
  const database = () => (opening ||= new Promise((done) => {
    try {
      const asked = indexedDB.open('engage', 1);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore('queue', {autoIncrement: true});
        asked.result.createObjectStore('inbox');
        asked.result.createObjectStore('kv');
      };
      asked.onsuccess = () => done(asked.result);
      asked.onerror = asked.onblocked = () => done(null);
    } catch { done(null); }
  }));
  async function within(name, mode, act) {
    const opened = await database();
    return new Promise((done, fail) => {
      const work = opened.transaction(name, mode);
      const asked = act(work.objectStore(name));
      work.oncomplete = () => done(asked && asked.result);
      work.onerror = work.onabort = () => fail(work.error);
    });
  }
  let serial = 0;
  async function put(name, value, key) {
    if (!(await database())) { spare[name].set(key || ++serial, value); return; }
    await within(name, 'readwrite', (store) => store.put(value, key));
  }
  async function all(name) {
    if (!(await database())) return [...spare[name]];
    const found = [];
    await within(name, 'readonly', (store) => {
      store.openCursor().onsuccess = (event) => {
        const at = event.target.result;
        if (at) { found.push([at.key, at.value]); at.continue(); }
      };
    });
    return found;
  }
  async function drop(name, keys) {
    if (!(await database())) { keys.forEach((key) => spare[name].delete(key)); return; }
    await within(name, 'readwrite', (store) => { keys.forEach((key) => store.delete(key)); });
  }

  // Who: a visitor with an id of the server's, or a user with a token of the site's.

  let who = load('who'); // {visitor, visitorToken, user, token, known}
  let turn = 0; // changes with the person, so that answers for the one before are not taken
  const person = () => who.user || who.visitor;
  const token = () => (who.user ? who.token : who.visitorToken);
  function keep() {
    save('who', who);
    put('kv', {url: set.url, token: token()}, 'session').catch(() => {}); // for the service worker
  }

  const basic = () => 'Basic ' + btoa(set.key + ':');
  function call(path, {body, bearer, signal, keepalive} = {}) {
    const headers = {authorization: bearer ? 'Bearer ' + bearer : basic()};
    if (body) headers['content-type'] = 'application/json';
    return fetch(set.url + path, {
      method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers, signal, keepalive, credentials: 'omit',
    });
  }

  let meeting;
  async function meet() {
    if (who.visitor && who.visitorToken) return;
    try {
      const answer = await call('/v1/visitors', {body: {}});
      if (answer.ok) {
        const given = await answer.json();
        who.visitor = given.anonymousId;
        who.visitorToken = given.token;
      }
    } catch { /* offline: an id of our own, without messages */ }
    who.visitor ||= uuid();
    keep();
  }

  async function renew() {
    if (!who.user || !set.getToken) return false;
    const before = turn;
    const fresh = await Promise.resolve(set.getToken(who.user)).catch(() => null);
    if (!fresh || before !== turn || fresh === who.token) return false;
    who.token = fresh;
    keep();
    return true;
  }

  // Events: kept until the server has them.

  async function enqueue(row) {
    await put('queue', row);
    const rows = await all('queue');
    if (rows.length > KEPT) await drop('queue', rows.slice(0, rows.length - KEPT).map(([key]) => key));
    flush();
  }
  async function event(type, fields) {
    await meeting;
    await enqueue({kind: 'event', data: {
      type, messageId: uuid(), timestamp: new Date().toISOString(), anonymousId: who.visitor, userId: who.user,
      context: {page: {url: location.href, title: document.title, referrer: document.referrer}, locale: navigator.language},
      ...fields,
    }});
  }
  async function report(message, what, more) {
    if (message.preview) return;
    await enqueue({kind: 'report', user: person(), token: token(), data: {
      id: uuid(), message_id: message.message_id, event: what, at: new Date().toISOString(), ...more,
    }});
  }

  let flushing = false, again = false, failures = 0, retry;
  async function flush() {
    if (!set.url || navigator.onLine === false) return;
    if (flushing) { again = true; return; }
    flushing = true;
    clearTimeout(retry);
    try {
      do {
        again = false;
        for (let rows = await all('queue'); rows.length; rows = await all('queue')) {
          const first = rows[0][1];
          const part = rows.filter(([, row]) => row.kind === first.kind && row.user === first.user).slice(0, 50);
          const data = part.map(([, row]) => row.data);
          const sentAt = new Date().toISOString();
          const bearer = first.user === person() ? token() : first.token;
          const answer = first.kind === 'event'
            ? await call('/v1/batch', {body: {batch: data, sentAt}, keepalive: true})
            : await call('/v1/messages/events', {body: {events: data, sentAt}, bearer, keepalive: true});
          if (answer.status === 401 && first.kind === 'report' && first.user === person() && await renew()) continue;
          if (answer.status === 429 || answer.status >= 500) throw new Error(String(answer.status));
          await drop('queue', part.map(([key]) => key)); // taken, or refused for good
          failures = 0;
        }
      } while (again);
    } catch {
      retry = setTimeout(flush, Math.min(300, 2 ** failures++) * 1000);
    } finally { flushing = false; }
  }

  // Messages: fetched as they come, shown when their rules hold.

  let waiting = new Map(), inbox = new Map(), cursor = null;
  let asking = null, wake = () => {}, running = false;
  async function listen() {
    if (running) return;
    running = true;
    for (let fails = 0; ;) {
      if (document.hidden || navigator.onLine === false || !token()) {
        await new Promise((done) => { wake = done; });
        continue;
      }
      const mine = turn;
      try {
        if (who.user && who.known) await introduce();
        asking = new AbortController();
        const after = cursor === null ? '' : `&after=${cursor}&wait=${WAIT}`;
        const answer = await call(`/v1/messages?channels=${set.channels}${after}`, {bearer: token(), signal: asking.signal});
        if (answer.status === 401 && mine === turn && !(await renew())) {
          if (who.user) who.token = ''; else who.visitorToken = '';
          emit('token', who.user);
        }
        if (!answer.ok) throw new Error(String(answer.status));
        const found = await answer.json();
        if (mine === turn) await take(found);
        fails = 0;
      } catch (error) {
        if (error.name === 'AbortError') continue;
        await Promise.race([sleep(Math.min(60, 2 ** fails++) * 1000), new Promise((done) => { wake = done; })]);
      }
    }
  }
  async function introduce() {
    const answer = await call('/v1/visitors/known', {body: {visitor: who.known}, bearer: who.token});
    if (answer.ok || (answer.status < 500 && answer.status !== 429 && answer.status !== 401)) {
      delete who.known;
      keep();
    }
  }
  async function take(found) {
    const whole = cursor === null;
    cursor = found.cursor;
    if (whole) {
      waiting.clear();
      const gone = [...inbox.keys()].filter((id) => !found.messages.some((one) => one.message_id === id));
      gone.forEach((id) => inbox.delete(id));
      await drop('inbox', gone);
    }
    for (const one of found.messages) {
      if (one.channel === 'app_inbox') {
        const there = inbox.get(one.message_id);
        if (there && there.read_at) one.read_at ||= there.read_at; // read here, and not told yet
        inbox.set(one.message_id, one);
        await put('inbox', {...one, user: person()}, one.message_id);
      } else {
        waiting.set(one.message_id, one);
        for (const [name, properties, at] of happened) arm(one, name, properties, at);
      }
    }
    if (found.messages.length || whole) emit('inbox');
    check();
  }

  const happened = []; // events of this page, for messages that come after them
  const fired = new Map(), closed = new Set(); // closed on this page: not again before the next, or its next event
  let opened = Date.now(), scrolled = 0, current = null, timer, guard = false;
  function arm(message, name, properties, at) {
    const {event: wanted, where = {}} = message.trigger;
    if (wanted !== name) return;
    const same = ([key, value]) => [].concat(value).includes((properties || {})[key]);
    if (Object.entries(where).every(same)) fired.set(message.message_id, at);
  }
  function matches(pattern) {
    const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp('^' + parts.join('.*') + '$').test(pattern.includes('://') ? location.href : location.pathname);
  }
  const today = () => new Date().toDateString();
  function may(message, now) {
    const {total, per_session: session, per_day: day, every} = message.frequency;
    const seen = load('seen')[message.message_id] || {n: 0};
    const last = Math.max(seen.at || 0, Date.parse(message.viewed_at) || 0);
    return !(message.expires_at && Date.parse(message.expires_at) <= now)
      && !(total && Math.max(message.views, seen.n) >= total)
      && !(session && (load('seen', 'sessionStorage')[message.message_id] || 0) >= session)
      && !(day && seen.day === today() && seen.d >= day)
      && !(every && now - last < every * 1000);
  }
  function noteShown(message) {
    const id = message.message_id, now = Date.now();
    const seen = load('seen'), here = load('seen', 'sessionStorage');
    const was = seen[id] || {n: message.views};
    seen[id] = {n: was.n + 1, at: now, day: today(), d: was.day === today() ? was.d + 1 : 1};
    for (const [key, value] of Object.entries(seen)) if (now - value.at > 4e9) delete seen[key]; // 46 days
    here[id] = (here[id] || 0) + 1;
    save('seen', seen);
    save('seen', here, 'sessionStorage');
  }

  function check(exit = false) {
    if (current || !document.body) return;
    clearTimeout(timer);
    const now = Date.now();
    let next = Infinity;
    const ready = [...waiting.values()].filter((message) => {
      const rule = message.trigger, id = message.message_id;
      if (!may(message, now) || (closed.has(id) && !rule.event) || (rule.page && !rule.page.some(matches))) return false;
      if (rule.event && !fired.has(id)) return false;
      if (rule.scroll && scrolled < rule.scroll) return false;
      const due = (rule.event ? fired.get(id) : opened) + (rule.delay || 0) * 1000;
      if (due > now) { next = Math.min(next, due); return false; }
      return Boolean(rule.exit_intent) === exit;
    });
    if (next < Infinity) timer = setTimeout(check, next - now + 10);
    ready.sort((a, b) => b.priority - a.priority || b.seq - a.seq);
    if (ready.length) show(ready[0]);
    return ready.length > 0;
  }

  function moved() { // a page that changes its address without loading
    opened = Date.now();
    scrolled = 0;
    guard = false;
    closed.clear();
    setTimeout(check, 0);
  }
  function scrolls() {
    const page = document.documentElement, room = page.scrollHeight - innerHeight;
    scrolled = Math.max(scrolled, room > 0 ? Math.round(scrollY / room * 100) : 100);
    check();
  }
  function watch() {
    let queued = false;
    addEventListener('scroll', () => {
      if (queued) return;
      queued = true;
      requestAnimationFrame(() => { queued = false; scrolls(); });
    }, {passive: true});
    document.addEventListener('mouseout', (leaving) => {
      if (!leaving.relatedTarget && leaving.clientY <= 0) check(true);
    });
    // On touch there is no pointer that leaves: the first press of "back" shows the message, the second goes back.
    addEventListener('click', () => {
      const wanted = [...waiting.values()].some((one) => one.trigger.exit_intent && may(one, Date.now()));
      if (guard || !wanted || !matchMedia('(pointer: coarse)').matches) return;
      guard = true;
      pushState.call(history, {...history.state, engage: 'back'}, '');
    });
    addEventListener('popstate', () => {
      if (guard) { guard = false; if (!check(true)) history.back(); } else moved();
    });
    const {pushState, replaceState} = history;
    const follow = (act) => function (...given) {
      const before = location.pathname;
      act.apply(this, given);
      if (location.pathname !== before) moved();
    };
    history.pushState = follow(pushState);
    history.replaceState = follow(replaceState);
    addEventListener('online', () => { failures = 0; flush(); wake(); });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) { flush(); if (asking) asking.abort(); } else wake();
    });
  }

  // Showing. HTML was sanitised by the server; here it is copied element by element all the same.

  const TAGS = new Set(('a abbr b blockquote br code del div em h1 h2 h3 h4 hr i img li ol p pre s small span strong sub sup '
    + 'table tbody td th thead tr u ul').split(' '));
  const ATTRIBUTES = {a: ['href', 'title'], img: ['src', 'alt', 'width', 'height'], td: ['colspan'], th: ['colspan']};
  const GONE = new Set('script style template iframe object embed noscript title textarea select svg math'.split(' '));
  const safe = (url) => !/[\x00-\x20\x7f-\x9f]/.test(url)
    && !/^(javascript|data|vbscript|blob|file|filesystem|about|view-source):/i.test(url);
  let policy; // what a page that requires trusted types allows by the name "engage"
  function trusted(how, text) {
    if (window.trustedTypes && !policy) {
      try { policy = trustedTypes.createPolicy('engage', {createHTML: (it) => it, createScriptURL: (it) => it}); } catch { policy = null; }
    }
    return policy ? policy[how](text) : text;
  }
  function fragment(html) {
    const parsed = new DOMParser().parseFromString(trusted('createHTML', html), 'text/html'); // runs and loads nothing
    const copied = document.createDocumentFragment();
    copy(parsed.body, copied);
    return copied;
  }
  function copy(from, to) {
    for (const node of from.childNodes) {
      if (node.nodeType === 3) { to.append(node.data); continue; }
      if (node.nodeType !== 1 || GONE.has(node.localName)) continue;
      if (!TAGS.has(node.localName)) { copy(node, to); continue; }
      const made = document.createElement(node.localName);
      for (const name of ATTRIBUTES[node.localName] || []) {
        const value = node.getAttribute(name);
        if (value !== null && (!['href', 'src'].includes(name) || safe(value))) made.setAttribute(name, value);
      }
      if (node.localName === 'a') made.rel = 'noopener';
      copy(node, made);
      to.append(made);
    }
  }
  function make(tag, given = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  const BASE = `
:host{all:initial;--e-back:#fff;--e-text:#17202a;--e-accent:#0b5fa5;--e-on:#fff;--e-line:#d5dbe1;--e-dim:#4a5560;--e-link:#0b5fa5}
@supports (color:light-dark(#fff,#000)){:host{color-scheme:inherit;--e-back:light-dark(#fff,#1d242c);--e-text:light-dark(#17202a,#eef2f5);
--e-line:light-dark(#d5dbe1,#3d4854);--e-dim:light-dark(#4a5560,#b3bec9);--e-link:light-dark(#0b5fa5,#8fc7ff)}}
*{box-sizing:border-box;font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
button{font:inherit;cursor:pointer}
img{max-width:100%;height:auto;border-radius:8px}
a{color:inherit}
button:focus-visible,a:focus-visible{outline:3px solid #2684ff;outline-offset:2px}
.m{outline:0}
h2{margin:0 0 8px;font-size:1.25em;line-height:1.3;text-wrap:balance}
.body>:first-child{margin-top:0}.body>:last-child{margin-bottom:0}
.acts{display:flex;flex-wrap:wrap;gap:8px;margin-top:20px}
.acts button{border:1px solid currentColor;background:none;color:inherit;border-radius:8px;padding:8px 18px;min-height:44px}
.acts button:first-child{background:var(--e-accent);border-color:transparent;color:var(--e-on);font-weight:600}
.x{border:0;background:none;color:inherit;font-size:22px;line-height:1;width:44px;height:44px;border-radius:8px}
`;
  const LAYOUTS = `
.m{position:fixed;z-index:2147483647;font-size:16px;line-height:1.5;color:var(--e-text);background:var(--e-back);
border:0;padding:24px;border-radius:14px;box-shadow:0 10px 40px #0005;overflow:auto;overflow-wrap:anywhere}
.m .x{position:absolute;top:4px;right:4px}
.m.closes h2,.m.closes.bare .body{padding-right:32px}
.m .pic{display:block;margin:0 auto 14px;max-height:40vh}
.m a.lead{display:block;text-decoration:none}
dialog::backdrop{background:transparent}
dialog.dim::backdrop{background:#0009}
.modal{inset:0;margin:auto;width:fit-content;max-width:min(440px,calc(100vw - 32px));height:fit-content;
max-height:calc(100vh - 32px);min-width:min(280px,calc(100vw - 32px))}
.modal.top{margin-top:16px}.modal.bottom{margin-bottom:16px}
.full_screen{inset:0;width:100vw;height:100vh;max-width:none;max-height:none;border-radius:0;margin:0;
padding:56px max(24px,calc(50vw - 300px)) 24px;font-size:18px}
.full_screen,.half_screen{display:flex;flex-direction:column;justify-content:safe center}
.full_screen .main{flex:none}.full_screen h2{font-size:1.6em}
.half_screen{left:0;right:0;bottom:0;top:auto;margin:0 auto;width:100vw;max-width:640px;min-height:min(50vh,320px);
max-height:85vh;padding:32px;border-radius:18px 18px 0 0}
.half_screen.top{top:0;bottom:auto;border-radius:0 0 18px 18px}
.banner{left:0;right:0;top:0;border-radius:0;padding:12px 56px 12px 20px;display:flex;flex-wrap:wrap;align-items:center;
gap:6px 20px;max-height:50vh}
.banner.bottom{top:auto;bottom:0}
.banner h2,.banner .acts,.banner .pic{margin:0}.banner .main{flex:1 1 240px}.banner .pic{max-height:56px;width:auto}
.corner{width:min(360px,calc(100vw - 32px));bottom:16px;right:16px;padding:20px;max-height:calc(100vh - 32px)}
.corner.bottom_left,.corner.top_left{right:auto;left:16px}
.corner.top_left,.corner.top_right{bottom:auto;top:16px}
@media (max-width:480px){.modal .acts button,.half_screen .acts button,.full_screen .acts button{flex:1 1 100%}.modal{width:100%}}
@media (prefers-reduced-motion:no-preference){.m{animation:in .18s ease-out}@keyframes in{from{opacity:0;transform:translateY(8px)}}}
`;
  const sheets = {};
  function styled(root, name, text) {
    if (!sheets[name]) (sheets[name] = new CSSStyleSheet()).replaceSync(text);
    root.adoptedStyleSheets = [sheets[name]];
  }
  function colours(host, {background, text, accent}) {
    const named = {'--e-back': background, '--e-text': text, '--e-accent': accent};
    for (const [name, value] of Object.entries(named)) if (value) host.style.setProperty(name, value);
    // Else dark where the page says it is (its color-scheme); a message with colours of its own keeps them.
    host.style.setProperty('color-scheme', background || text ? 'light' : 'inherit', 'important');
    const dark = /^#([0-9a-f]{3,8})$/i.exec(accent || '');
    if (dark) { // black or white on the first button, whichever is easier to read
      const hex = dark[1].length < 6 ? [...dark[1]].map((c) => c + c).join('') : dark[1];
      const [r, g, b] = [0, 2, 4].map((i) => (parseInt(hex.slice(i, i + 2), 16) / 255) ** 2.2);
      host.style.setProperty('--e-on', 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? '#000' : '#fff');
    }
  }

  async function go(url) {
    flush();
    if (!emit('navigate', url).includes(false)) location.assign(url);
  }
  /** Title, picture, text and buttons of a message; `acted(what, more, url)` is told of clicks. */
  function content(message, acted) {
    const link = message.deep_link && safe(message.deep_link) ? message.deep_link : null;
    const follow = (happening) => {
      happening.preventDefault();
      acted('clicked', {url: link}, link);
    };
    const lead = (child) => (link && child ? make('a', {href: link, class: 'lead', onclick: follow}, child) : child);
    const picture = message.image && safe(message.image) ? make('img', {class: 'pic', src: message.image, alt: ''}) : null;
    const title = message.title ? make('h2', {id: 'title', dir: 'auto'}, message.title) : null;
    const body = make('div', {class: 'body', dir: 'auto'}, fragment(message.body));
    body.addEventListener('click', (happening) => {
      const inner = happening.target.closest('a[href]');
      if (!inner) { if (link) follow(happening); return; }
      happening.preventDefault();
      acted('clicked', {url: inner.getAttribute('href')}, inner.href);
    });
    const actions = message.actions.map((one) => make('button', {
      type: 'button',
      onclick: () => acted(one.url ? 'clicked' : 'dismissed', {action: one.id, url: one.url || undefined}, one.url),
    }, one.label));
    if (link && !title && !picture && !actions.length) {
      actions.push(make('button', {type: 'button', onclick: follow}, set.strings.open));
    }
    return [lead(picture), make('div', {class: 'main'}, lead(title), body), actions.length ? make('div', {class: 'acts'}, ...actions) : null];
  }

  function show(message) {
    const style = message.style;
    const modal = ['modal', 'full_screen', 'half_screen'].includes(style.layout);
    const host = make('div', {'data-engage': message.channel});
    const root = host.attachShadow({mode: 'open'});
    styled(root, 'message', BASE + LAYOUTS);
    host.style.setProperty('all', 'initial', 'important'); // whatever the page's styles say of its div elements
    colours(host, style);
    let over = false;
    const end = (what, more, url) => {
      if (over) return;
      over = true;
      host.remove();
      current = null;
      fired.delete(message.message_id);
      closed.add(message.message_id);
      if (what === 'clicked' || message.frequency.total === null || !may(message, Date.now())) waiting.delete(message.message_id);
      emit(what, message, more);
      const told = report(message, what, more);
      if (url && safe(url) && !message.preview) told.then(() => go(url)); else setTimeout(check, 300);
    };
    const close = style.close_button
      ? make('button', {class: 'x', type: 'button', 'aria-label': set.strings.close, onclick: () => end('dismissed')}, '×') : null;
    const named = message.title ? {'aria-labelledby': 'title'} : {'aria-label': message.body.replace(/<[^>]*>/g, ' ').trim().slice(0, 80)};
    const box = make(modal ? 'dialog' : 'section', {
      class: ['m', style.layout, style.position, style.backdrop && 'dim', close && 'closes', !message.title && 'bare'].filter(Boolean).join(' '),
      role: modal ? null : 'dialog', tabindex: '-1', ...named,
    }, ...content(message, end), close);
    const leave = (pressed) => {
      if (pressed.key === 'Escape') { pressed.preventDefault(); pressed.stopPropagation(); end('dismissed'); }
      if (pressed.key !== 'Tab' || !modal) return;
      const stops = [...box.querySelectorAll('a[href],button')];
      const edge = pressed.shiftKey ? stops[0] : stops[stops.length - 1];
      if (!stops.length || root.activeElement === edge || root.activeElement === box && pressed.shiftKey) {
        pressed.preventDefault();
        (stops.length ? (pressed.shiftKey ? stops[stops.length - 1] : stops[0]) : box).focus();
      }
    };
    box.addEventListener('keydown', leave);
    box.addEventListener('cancel', (cancelled) => { cancelled.preventDefault(); end('dismissed'); });
    const announced = make('div', modal ? {} : {'aria-live': 'polite'});
    root.append(announced);
    document.body.append(host);
    announced.append(box);
    if (modal) { box.showModal(); box.focus(); }
    current = {message, end};
    if (!message.preview) noteShown(message);
    emit('viewed', message);
    report(message, 'viewed');
  }

  // The inbox: <engage-inbox></engage-inbox>, or <engage-inbox inline>; kept on the device, so that it opens offline.

  const alive = () => [...inbox.values()]
    .filter((one) => !one.expires_at || Date.parse(one.expires_at) > Date.now())
    .sort((a, b) => b.pinned - a.pinned || b.priority - a.priority || b.seq - a.seq);
  async function remember() {
    for (const [id, one] of await all('inbox')) {
      if (one.user === person()) { if (!inbox.has(id)) inbox.set(id, one); } else await drop('inbox', [id]);
    }
    emit('inbox');
  }
  const box = {
    list: () => alive().map((one) => ({...one})),
    get unread() { return alive().filter((one) => !one.read_at).length; },
    async read(id, what = 'read') {
      const one = inbox.get(id);
      if (!one || (one.read_at && what === 'read')) return;
      const first = !one.read_at;
      one.read_at ||= new Date().toISOString();
      await put('inbox', {...one, user: person()}, id);
      emit('inbox');
      if (first || what !== 'viewed') await report(one, what);
    },
    async remove(id) {
      const one = inbox.get(id);
      if (!one) return;
      inbox.delete(id);
      await drop('inbox', [id]);
      emit('inbox');
      await report(one, 'dismissed');
    },
  };
  const INBOX = `
:host{display:inline-block;position:relative;font-size:16px;line-height:1.5;color:var(--e-text)}
:host([hidden]){display:none}
:host([inline]){display:block}
.bell{position:relative;border:0;background:none;width:44px;height:44px;border-radius:8px;color:inherit}
.n{position:absolute;top:2px;right:0;min-width:20px;border-radius:10px;padding:0 5px;background:#b3261e;color:#fff;font-size:12px;
line-height:20px;font-weight:600}
.panel{position:absolute;right:0;top:100%;z-index:2147483646;width:min(380px,calc(100vw - 24px));max-height:min(560px,80vh);overflow:auto;
text-align:start;background:var(--e-back);border-radius:14px;box-shadow:0 10px 40px #0004}
.panel.start{right:auto;left:0}
:host([inline]) .panel{position:static;width:auto;max-height:none;box-shadow:none;border:1px solid var(--e-line)}
.head{display:flex;align-items:center;justify-content:space-between;padding:12px 16px;border-bottom:1px solid var(--e-line)}
.head h2{margin:0}.quiet{border:0;background:none;color:var(--e-link);padding:8px;min-height:44px;border-radius:8px;margin-inline:-8px}
ul{list-style:none;margin:0;padding:0}li{border-bottom:1px solid var(--e-line);padding:4px 16px 10px}li:last-child{border:0}
.row{display:flex;align-items:center;width:100%;border:0;background:none;color:inherit;text-align:start;padding:8px 0;min-height:44px;gap:8px}
.row b{flex:1;font-weight:400;overflow-wrap:anywhere}.new .row b{font-weight:700}
.dot{flex:none;width:9px;height:9px;border-radius:50%;background:var(--e-link)}
time,.pin{font-size:12px;color:var(--e-dim)}.none{padding:28px 16px;text-align:center;color:var(--e-dim)}
.main h2,.lead h2{display:none}.pic{display:block;margin-bottom:10px}
`;
  class Inbox extends HTMLElement {
    connectedCallback() {
      if (!this.shadowRoot) {
        styled(this.attachShadow({mode: 'open'}), 'inbox', BASE + INBOX);
        this.opened = null;
        this.addEventListener('keydown', (pressed) => {
          if (pressed.key === 'Escape' && this.shown) { this.toggle(false); this.shadowRoot.querySelector('.bell')?.focus(); }
        });
        this.draw = this.draw.bind(this);
      }
      this.off = engage.on('inbox', this.draw);
      this.draw();
    }
    disconnectedCallback() { this.off(); }
    toggle(shown = !this.shown) { this.shown = shown; this.draw(); }
    draw() {
      const root = this.shadowRoot, words = set.strings, held = root.activeElement?.dataset.at;
      const count = box.unread, inline = this.hasAttribute('inline');
      const bell = make('button', {
        class: 'bell', type: 'button', 'data-at': 'bell', 'aria-expanded': String(Boolean(this.shown)),
        'aria-label': words.inbox + (count ? `, ${count} ${words.unread}` : ''), onclick: () => this.toggle(),
      }, icon(), count ? make('span', {class: 'n', 'aria-hidden': 'true'}, count > 99 ? '99+' : String(count)) : null);
      const panel = inline || this.shown ? this.panel() : '';
      root.replaceChildren(inline ? '' : bell, panel);
      if (panel && !inline && panel.getBoundingClientRect().left < 0) panel.classList.add('start');
      const stop = held && (root.querySelector(`[data-at="${CSS.escape(held)}"]`) || root.querySelector('button'));
      if (stop) stop.focus();
    }
    panel() {
      const words = set.strings, list = alive();
      const all_ = box.unread ? make('button', {
        class: 'quiet', type: 'button', 'data-at': 'all',
        onclick: () => alive().filter((one) => !one.read_at).forEach((one) => box.read(one.message_id)),
      }, words.allRead) : null;
      return make('div', {class: 'panel', role: 'region', 'aria-label': words.inbox},
        make('div', {class: 'head'}, make('h2', {}, words.inbox), all_),
        list.length ? make('ul', {}, ...list.map((one) => this.item(one))) : make('div', {class: 'none'}, words.empty));
    }
    item(one) {
      const id = one.message_id, words = set.strings, open = this.opened === id;
      const plain = one.title || fragment(one.body).textContent.trim().slice(0, 80);
      const act = (what, more, url) => {
        report(one, what, more).then(() => { if (url && safe(url)) go(url); });
        emit(what, one, more);
      };
      const row = make('button', {
        class: 'row', type: 'button', 'data-at': 'row-' + id, 'aria-expanded': String(open),
        onclick: () => {
          this.opened = open ? null : id;
          if (!open) { emit('viewed', one); box.read(id, 'viewed'); }
          this.draw();
        },
      }, one.read_at ? null : make('span', {class: 'dot', role: 'img', 'aria-label': words.unread}), make('b', {dir: 'auto'}, plain),
      one.pinned ? make('span', {class: 'pin'}, words.pinned) : null,
      make('time', {datetime: one.sent_at}, new Intl.DateTimeFormat(undefined, {dateStyle: 'medium'}).format(new Date(one.sent_at))));
      const more = open ? make('div', {}, ...content(one, act), make('button', {
        class: 'quiet', type: 'button', 'data-at': 'del-' + id, onclick: () => box.remove(id),
      }, words.remove)) : null;
      const made = make('li', {class: one.read_at ? '' : 'new'}, row, more);
      colours(made, {accent: one.style.accent});
      return made;
    }
  }
  function icon() {
    const space = 'http://www.w3.org/2000/svg', svg = document.createElementNS(space, 'svg');
    const path = document.createElementNS(space, 'path');
    for (const [name, value] of [['viewBox', '0 0 24 24'], ['width', 24], ['height', 24], ['aria-hidden', 'true']]) svg.setAttribute(name, value);
    path.setAttribute('fill', 'currentColor');
    path.setAttribute('d', 'M12 22a2.5 2.5 0 0 0 2.4-2H9.6A2.5 2.5 0 0 0 12 22zm7-6V11a7 7 0 0 0-5.5-6.8V3a1.5 1.5 0 0 0-3 0v1.2A7 7 0 0 0 5 11v5l-2 2v1h18v-1z');
    svg.append(path);
    return svg;
  }

  // Web push.

  const push = {
    /** Ask for permission and register this browser; call it from a click. Resolves to true when it is done. */
    async subscribe({worker = '/engage-sw.js', scope} = {}) {
      await meeting;
      if (!token() || !('serviceWorker' in navigator) || await Notification.requestPermission() !== 'granted') return false;
      const registration = await navigator.serviceWorker.register(trusted('createScriptURL', worker), scope ? {scope} : undefined);
      await navigator.serviceWorker.ready;
      const answer = await call('/v1/devices/web-push-key');
      if (!answer.ok) return false;
      const {key} = await answer.json();
      const raw = Uint8Array.from(atob(key.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
      const made = await registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: raw});
      return (await device(made.toJSON(), true)).ok;
    },
    async unsubscribe() {
      const registration = await navigator.serviceWorker.getRegistration();
      const made = registration && await registration.pushManager.getSubscription();
      if (!made) return false;
      await made.unsubscribe();
      return (await device(made.toJSON(), false)).ok;
    },
  };
  const device = (subscription, active) => call('/v1/devices', {
    body: {channel: 'web_push', token: subscription, active}, bearer: token(),
  });

  // The face.

  function changed() {
    turn += 1;
    cursor = null;
    waiting = new Map();
    inbox = new Map();
    fired.clear();
    if (current) { const {message} = current; message.preview = true; current.end('closed'); }
    closed.clear();
    keep();
    emit('inbox');
    remember();
    if (asking) asking.abort();
    wake();
  }
  const engage = window.engage = {
    version: 1,
    push,
    inbox: box,
    /** Begin; again to change something. `url` and `key` of the server; `user` and `token` where somebody is logged in;
        `getToken(user)` renews it; `strings` are the words shown. */
    async init({url, key, user, token: given, getToken, strings} = {}) {
      const first = !set.url;
      set.url = (url || set.url || (script && new URL(script.src).origin)).replace(/\/$/, '');
      set.key = key || set.key;
      set.getToken = getToken || set.getToken;
      set.strings = {...set.strings, ...strings};
      if (first) watch();
      meeting = meet();
      await meeting;
      if (user && (who.user !== user || (given && given !== who.token))) await engage.identify(user, undefined, {token: given});
      else { keep(); await remember(); }
      flush();
      listen();
      scrolls();
    },
    /** The visitor is this user; `token` from the site's backend opens their messages. */
    async identify(user, traits, {token: given} = {}) {
      await meeting;
      const another = who.user !== user;
      if (another && !who.user && who.visitorToken) who.known = who.visitorToken;
      who.user = user;
      who.token = given || (another ? '' : who.token);
      if (!who.token) await renew();
      changed();
      await event('identify', {traits: traits || {}});
      listen();
    },
    /** Nobody is logged in any more: messages of the user go from this device. */
    async reset() {
      who = {};
      changed();
      await (meeting = meet());
      changed();
    },
    async track(name, properties = {}) {
      const at = Date.now();
      happened.push([name, properties, at]);
      if (happened.length > 50) happened.shift();
      waiting.forEach((one) => arm(one, name, properties, at));
      check();
      await event('track', {event: name, properties});
    },
    async page(name, properties = {}) {
      const here = {url: location.href, path: location.pathname, title: document.title, referrer: document.referrer};
      await event('page', {name, properties: {...here, ...properties}});
    },
    /** Listen to viewed, clicked, dismissed, inbox, token (it is over) or navigate (return false to do it yourself). */
    on(name, act) {
      (listeners[name] ||= []).push(act);
      return () => { listeners[name] = listeners[name].filter((one) => one !== act); };
    },
    /** Show a message as it would look; nothing is recorded. */
    preview(message) {
      const one = {...message, preview: true, views: 0, seq: 1};
      if (one.channel !== 'app_inbox') { show(one); return; }
      inbox.set(one.message_id, one);
      emit('inbox');
    },
    flush,
  };
  customElements.define('engage-inbox', Inbox);
  const {key, user, token: given, url} = script ? script.dataset : {};
  if (key) engage.init({url, key, user, token: given});
})();
