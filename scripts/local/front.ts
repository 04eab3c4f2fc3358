/**
 * What of the local ledger listens at its port: it passes requests on to workerd's socket, as Cloudflare's
 * edge would. Miniflare's own routes, which ask for no key, are behind it; so is whatever a client says
 * of where it comes from.
 */
import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream";
import { type ProblemCode, problems, sentenceOf } from "../../src/shared/problems.ts";
import { fillIn } from "../../src/shared/sentence.ts";
import { askSocket } from "./socket.ts";

/** What the starter's scheduled() asks for with its token. */
export const SCHEDULED = "/cdn-cgi/local/scheduled";
/** Bytes of an address, as Cloudflare takes them, and of all headers. */
const LONGEST_URL = 16_384;
const MOST_HEADERS = 131_072;

const headersOf = (status: number) => ({
  "Content-Type": "application/problem+json",
  "X-Content-Type-Options": "nosniff",
  ...(status === 503 && { "Retry-After": "3" }),
});

/** A refusal as src/platform/http/problem.ts shapes those of the Worker. */
function refusal(code: ProblemCode, title: string, params: Record<string, string | number> = {}) {
  const { status } = problems[code];
  const [detail = ""] = sentenceOf(code, params) ?? [];
  return {
    status,
    title,
    headers: headersOf(status),
    body: JSON.stringify({
      ...{ type: `urn:lora-ledger:${code}`, title, status },
      ...{ detail: fillIn(detail, params), code, params },
    }),
  };
}

type Refusal = ReturnType<typeof refusal>;

const refusals = {
  badRequest: refusal("bad-request", "Bad request"),
  longUrl: refusal("url-too-long", "URI too long", { most: LONGEST_URL }),
  longHeaders: refusal("headers-too-long", "Headers too long", { most: MOST_HEADERS }),
  away: refusal("worker-away", "Unavailable"),
};

function refuse(response: ServerResponse, { status, headers, body }: Refusal) {
  response.writeHead(status, headers).end(body);
}

/** The same to a client that sent no whole request, on the bare connection. */
function refuseRaw(socket: Socket, why: Refusal) {
  if (!socket.writable) return;
  const { status, title, body } = why;
  const headers = {
    ...why.headers,
    "Content-Length": Buffer.byteLength(body),
    Connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${title}\r\n${lines.join("")}\r\n${body}`);
}

/** Headers that speak of one connection alone, or that only the platform sets. */
const dropped =
  /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|mf-.*|cf-.*|x-real-ip|true-client-ip)$/i;

/** Pairs of raw headers, without those that are not passed on. */
function* passedOn(raw: string[]): Generator<[string, string]> {
  for (let n = 0; n + 1 < raw.length; n += 2) {
    const [name = "", value = ""] = raw.slice(n, n + 2);
    if (!dropped.test(name)) yield [name, value];
  }
}

/** The address to pass on, read as workerd will read it; null where it is none. */
function targetOf(url: string | undefined): URL | null {
  try {
    // A request may name the whole address; of that only the path counts.
    return url?.startsWith("/") ? new URL(`http://ledger${url}`) : new URL(url ?? "");
  } catch {
    return null;
  }
}

const isToken = (given: string | undefined, token: string) => {
  const [a, b] = [Buffer.from(given ?? ""), Buffer.from(`Bearer ${token}`)];
  return a.length === b.length && timingSafeEqual(a, b);
};

/** Serves workerd's socket `entry`. `token` lets its holder run the scheduled job. */
export function createFront({ entry, token }: { entry: string; token: string }): Server {
  const server = createServer(
    // Uploads take as long as they take.
    { maxHeaderSize: MOST_HEADERS, requestTimeout: 0 },
    (request: IncomingMessage, response) => {
      if ((request.url?.length ?? 0) > LONGEST_URL) return refuse(response, refusals.longUrl);
      const target = targetOf(request.url);
      if (!target) return refuse(response, refusals.badRequest);
      const { pathname, search } = target;
      const scheduled = pathname === SCHEDULED && isToken(request.headers.authorization, token);
      if (/^\/(?:cdn-cgi|__cf_local)(?:\/|$)/i.test(pathname) && !scheduled)
        return refuse(
          response,
          refusal("no-route", "Not found", { method: request.method ?? "", path: pathname }),
        );
      const headers = [...passedOn(request.rawHeaders)];
      headers.push([
        "CF-Connecting-IP",
        request.socket.remoteAddress?.replace(/^::ffff:/, "") ?? "",
      ]);
      // Of unknown length; Node has taken the chunks apart.
      if (request.headers["transfer-encoding"]) headers.push(["Transfer-Encoding", "chunked"]);
      // Else workerd closes behind its answer, and Node, which ends even an empty body with a write, loses it.
      headers.push(["Connection", "keep-alive"]);
      const asked = askSocket(
        entry,
        { method: request.method, path: pathname + search, headers: headers.flat() },
        (answer) => {
          response.writeHead(
            answer.statusCode ?? 502,
            answer.statusMessage,
            [...passedOn(answer.rawHeaders)].flat(),
          );
          pipeline(answer, response, (error) => {
            // A Worker that breaks an answer off breaks it off for the client too.
            if (error) response.destroy();
            // Many clients send a body to its end before they read why it was refused.
            request.unpipe(asked).resume();
          });
        },
      );
      asked.on("error", () => {
        if (!response.headersSent) refuse(response, refusals.away);
        request.unpipe(asked).resume();
      });
      response.on("close", () => !response.writableFinished && asked.destroy());
      request.pipe(asked);
    },
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) =>
    refuseRaw(
      socket,
      error.code === "HPE_HEADER_OVERFLOW" ? refusals.longHeaders : refusals.badRequest,
    ),
  );
  return server;
}
