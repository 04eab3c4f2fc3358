// Lets tests inside workerd keep their connections to sqld. Each call of libSQL's client opens one, for which sqld
// reads the whole schema anew: 3 of the 4 ms of CPU that a call takes. A call's stream, which is what Hrana has for a
// connection, serves the next call to the same database. Tests of the whole stack open one for each call.

/** What @libsql/client sends where a call is all that a stream does. */
const OPENED = '{"requests":[';
const CLOSED = ',{"type":"close"}]}';
/** What sqld answers while the stream is open. */
const ANSWERED = /^\{"baton":("[\w+/=-]+"),"base_url":null,"results":\[/;
/** sqld ends a stream that is idle for 10 s. */
const IDLE_MS = 5_000;

type Stream = { baton: string; since: number };
const idle = new Map<string, Stream[]>();
const send = globalThis.fetch;

const post = (request: Request, body: string) =>
  send(request.url, { method: "POST", headers: request.headers, body, signal: request.signal });

/** A stream that is open still; the oldest have ended by themselves. */
function take(url: string): Stream | undefined {
  const stream = idle.get(url)?.pop();
  return stream && Date.now() - stream.since < IDLE_MS ? stream : undefined;
}

/** The client has texts of SQL stored under numbers, from 0 in each stream; a stream that goes on must forget them. */
const STORED = /\{"type":"store_sql","sql_id":(\d+),/g;
const FORGOTTEN = ',{"type":"ok","response":{"type":"close_sql"}}';

const closing = (baton: string) => `{"baton":${baton},"requests":[{"type":"close"}]}`;

/** Sends a whole call on a stream that is open or, without one, on a new one, and keeps it unless something failed. */
async function call(request: Request, requests: string): Promise<Response> {
  const stream = take(request.url);
  const baton = stream ? `"baton":${stream.baton},` : "";
  const stored = [...requests.matchAll(STORED)].map(
    ([, id]) => `,{"type":"close_sql","sql_id":${id}}`,
  );
  const response = await post(request, `{${baton}"requests":[${requests}${stored.join("")}]}`);
  const text = await response.text();
  // Within the data of an answer these quotes would be escaped.
  if (stream && text.includes('"code":"STREAM_EXPIRED"')) return call(request, requests);
  const [head, open] = text.match(ANSWERED) ?? [];
  const tail = `${FORGOTTEN.repeat(stored.length)}]}`;
  let answer = text;
  if (head && open) {
    if (!text.endsWith(tail)) throw new Error(`sqld kept what was stored: ${text.slice(-500)}`);
    // A batch that failed may have left a transaction open.
    if (text.includes('"code":"')) await (await post(request, closing(open))).body?.cancel();
    else
      idle.set(request.url, [...(idle.get(request.url) ?? []), { baton: open, since: Date.now() }]);
    answer = `{"baton":null,"base_url":null,"results":[${text.slice(head.length, -tail.length)},{"type":"ok","response":{"type":"close"}}]}`;
  }
  const headers = new Headers(response.headers);
  headers.set("Content-Length", String(new TextEncoder().encode(answer).length));
  return new Response(answer, { status: response.status, headers });
}

/** From now on all calls to sqld share its connections. */
export function shareConnections(): void {
  globalThis.fetch = async (...args) => {
    const [input, init] = args;
    if (!(input instanceof Request) || !input.url.endsWith("/v2/pipeline")) return send(...args);
    const request = new Request(input, init);
    const body = await request.text();
    return body.startsWith(OPENED) && body.endsWith(CLOSED)
      ? call(request, body.slice(OPENED.length, -CLOSED.length))
      : post(request, body);
  };
}

/** Closes what is open to a database. */
export async function closeConnections(databaseUrl: string): Promise<void> {
  const url = `${databaseUrl}v2/pipeline`;
  for (let stream = take(url); stream; stream = take(url))
    await (await send(url, { method: "POST", body: closing(stream.baton) })).body?.cancel();
  idle.delete(url);
}
