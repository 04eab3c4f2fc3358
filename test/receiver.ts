// A receiver of messages, as a chat service or a service of one's own would be: a real server.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Got = {
  url: URL;
  headers: IncomingMessage["headers"];
  body: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever a message holds.
  json: any;
  at: number;
};
export type Answer = (response: ServerResponse, got: Got) => void;

/** Takes what it is sent and answers it, on this machine. */
export async function startReceiver(answer: Answer = (response) => response.end("ok"), port = 0) {
  const got: Got[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const one: Got = {
      url: new URL(request.url ?? "/", "http://receiver"),
      headers: request.headers,
      body,
      json: JSON.parse(body || "null"),
      at: Date.now(),
    };
    got.push(one);
    answer(response, one);
  });
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  const address = server.address() as AddressInfo;
  const close = () =>
    new Promise((done) => {
      server.closeAllConnections();
      server.close(done);
    });
  return { got, url: `http://127.0.0.1:${address.port}`, port: address.port, close };
}

export const answering =
  (status: number, body = "", headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(status, headers).end(body);
