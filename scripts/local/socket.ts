import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";

/** Asks one request of what listens at a Unix socket, on a connection of its own. */
export const askSocket = (
  socketPath: string,
  options: RequestOptions,
  answered: (answer: IncomingMessage) => void,
): ClientRequest => request({ ...options, socketPath, agent: false }, answered);
