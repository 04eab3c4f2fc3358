// Tests inside workerd: `const ledger = await freshLedger()` gives the real app over a database of
// its own, forked from a migrated one, and the R2 emulation. `ledger.request(...)` sends a request,
// `ledger.key({ role, scopes })` makes a user and a key, `ledger.box(key)` enrols a box with it;
// `ledger.db` looks into the database.
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { app } from "../src/app.ts";
import { readConfig } from "../src/env.ts";
import { commandLine } from "../src/platform/audit/audit.ts";
import { ensureUser, makeKey } from "../src/platform/auth/keys.ts";
import { openDb } from "../src/platform/db/client.ts";
import { type Role, usualScopes } from "../src/shared/scopes.ts";
import { checkAnswer, type Routed } from "./answers.ts";
import { unique } from "./unique.ts";

export { unique };

export const SECRET = "a secret for tests that is long enough, truly";

export type Sent = RequestInit & { key?: string; json?: unknown };

/** What an answer cost, out of its Server-Timing. */
export function costOf(response: Response) {
  const [, trips, read, written] =
    response.headers.get("Server-Timing")?.match(/trips=(\d+) read=(\d+) written=(\d+)/) ?? [];
  return { trips: Number(trips), read: Number(read), written: Number(written) };
}

/** The databases that this file's tests have made so far. */
const made: string[] = [];

/** Removes them: some hundreds at once would take a gigabyte of memory. */
export async function dropLedgers() {
  for (const name of made.splice(0)) {
    const url = `${inject("sqldAdminUrl")}/v1/namespaces/${name}`;
    const dropped = await fetch(url, { method: "DELETE" });
    if (!dropped.ok) throw new Error(`${name} stays: ${dropped.status} ${await dropped.text()}`);
    await dropped.body?.cancel();
  }
}

/**
 * A ledger of its own: nothing another test does is seen in it. `vars` override its settings,
 * `served` is another app than the service's.
 */
export async function freshLedger(
  vars: Record<string, string> = {},
  served: Pick<typeof app, "fetch"> & Routed = app,
) {
  const name = unique("t");
  const forked = await fetch(`${inject("sqldAdminUrl")}/v1/namespaces/template/fork/${name}`, {
    method: "POST",
  });
  if (!forked.ok)
    throw new Error(`no database for the test: ${forked.status} ${await forked.text()}`);
  await forked.body?.cancel();
  made.push(name);
  const bindings = {
    ...env,
    // The queue's consumer would be another Worker than the one under test; the stack has it whole.
    ALERTS: undefined,
    DATABASE_URL: `${inject("sqldUrl")}/dev/${name}/`,
    JWT_SECRET: SECRET,
    COST_REPORTING: "true",
    PUBLIC_URL: "http://ledger.test",
    RATE_LIMITS: "false",
    ...vars,
  };
  const config = readConfig(bindings);
  const db = openDb(config);

  /** Sends a request to the app and waits for what it does after answering. */
  async function request(path: string, { key, json, ...init }: Sent = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    if (json !== undefined) headers.set("Content-Type", "application/json");
    const ctx = createExecutionContext();
    const url = path.startsWith("http") ? path : `http://ledger.test${path}`;
    const sent = new Request(url, {
      ...init,
      method: init.method ?? (json === undefined && init.body === undefined ? "GET" : "POST"),
      headers,
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    const response = await served.fetch(sent, bindings, ctx);
    await waitOnExecutionContext(ctx);
    await checkAnswer(served, sent, response);
    return response;
  }

  /** Makes a user (by that name, if any) and a key; scopes default to all the role may have. */
  async function key({
    role = "member",
    scopes,
    user = unique("user-"),
    days = null,
  }: {
    role?: Role;
    scopes?: string[];
    user?: string;
    days?: number | null;
  } = {}) {
    const owner = await ensureUser(db, commandLine, user, role);
    const made = await makeKey(db, config, commandLine, {
      userId: owner.id,
      name: "test",
      scopes: scopes ?? usualScopes[role],
      days,
    });
    return {
      key: made.key,
      userId: owner.id,
      userName: owner.name,
      keyId: made.row.id,
      jti: made.row.jti,
    };
  }

  /** Sends a request and reads its JSON; fails the test when the status is another than expected. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever shape the answer should have.
  async function call(path: string, sent: Sent = {}, status = 200): Promise<any> {
    const response = await request(path, sent);
    const text = await response.text();
    if (response.status !== status)
      throw new Error(
        `${sent.method ?? ""} ${path}: ${response.status} instead of ${status}: ${text}`,
      );
    return text ? JSON.parse(text) : undefined;
  }

  /** Enrols a box with that key, as people do, and gives the key that the box gets for its token. */
  async function box(by: string, enrolment: Record<string, unknown> = {}) {
    const { token } = await call("/api/boxes/enrol", { key: by, json: enrolment });
    const made = await call("/api/boxes/exchange", { json: { token } });
    return { key: String(made.key), id: Number(made.box_id) };
  }

  return { request, call, key, box, db, config, bindings };
}

export type Ledger = Awaited<ReturnType<typeof freshLedger>>;
