// api.js - the server's API as this page uses it. The key, if the server wants
// one, stays in sessionStorage: it is gone with the tab.

const KEY = 'quern.key';

export class ApiError extends Error {
  // status 0: the server was not reached
  constructor(status, message, more = {}) {
    super(message);
    this.status = status;
    this.code = more.code ?? null;
    this.param = more.param ?? null;
    this.retryAfter = more.retryAfter ?? 0;
  }
}

export function setKey(key) {
  if (key)
    sessionStorage.setItem(KEY, key);
  else
    sessionStorage.removeItem(KEY);
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

// Beside the page, also when a proxy serves both under a longer path.
const at = path => new URL(path, document.baseURI);

async function failure(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch { /* not ours: a proxy's page */ }
  return new ApiError(response.status,
                      error.message ?? `HTTP ${response.status}`,
                      {code: error.code, param: error.param,
                       retryAfter: Number(response.headers.get('Retry-After'))});
}

async function ask(path, options = {}) {
  const headers = {...options.headers};
  const key = sessionStorage.getItem(KEY);
  if (key)
    headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(at(path), {...options, headers, cache: 'no-store'});
  } catch (e) {
    if (e.name === 'AbortError')
      throw e;
    throw new ApiError(0, String(e.message));
  }
  if (!response.ok)
    throw await failure(response);
  return response;
}

// {id, max_model_len} of the model that is served, or null while there is none.
export async function model() {
  const list = await (await ask('v1/models')).json();
  return list.data[0] ?? null;
}

export async function metrics(signal) {
  return (await ask('metrics', {signal})).text();
}

// The data of each event of a text/event-stream, as it comes.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '', data = [];
  try {
    for (;;) {
      const {value, done} = await reader.read();
      if (done)
        return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (let line of lines) {
        if (line.endsWith('\r'))
          line = line.slice(0, -1);
        if (line.startsWith('data:')) {
          data.push(line.slice(line[5] === ' ' ? 6 : 5));
        } else if (line === '' && data.length) {
          yield data.join('\n');
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The chunks of a streamed chat completion. Throws ApiError, also for an error
// that comes inside the stream, and AbortError when `signal` ends it.
export async function* chat(request, signal) {
  const response = await ask('v1/chat/completions', {
    method: 'POST', signal, body: JSON.stringify(request),
    headers: {'Content-Type': 'application/json'}});
  let ended = false;
  try {
    for await (const data of events(response.body)) {
      if (data === '[DONE]') {
        ended = true;
        return;
      }
      const chunk = JSON.parse(data);
      if (chunk.error)
        throw new ApiError(500, String(chunk.error.message), chunk.error);
      yield chunk;
    }
  } catch (e) {
    if (e instanceof ApiError || e.name === 'AbortError')
      throw e;
    throw new ApiError(0, String(e.message));
  }
  if (!ended)
    throw new ApiError(0, 'the answer was cut off');
}
