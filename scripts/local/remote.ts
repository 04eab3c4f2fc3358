import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { root, Trouble } from "./processes.ts";

/** Where the deployed service's settings are kept on the machine that administers it. */
export const remoteFile = ".env.production";

/** A setting's problem, or undefined; each says how to put it right. */
const checks: Record<string, (value: string | undefined) => string | undefined> = {
  DATABASE_URL: (value) =>
    /^(libsql|https?):\/\/\S+$/.test(value ?? "")
      ? undefined
      : "the hosted database's address, libsql://…: `turso db show NAME --url`",
  DATABASE_AUTH_TOKEN: (value) =>
    value ? undefined : "the hosted database's token: `turso db tokens create NAME`",
  JWT_SECRET: (value) =>
    Buffer.byteLength(value ?? "") >= 32
      ? undefined
      : "the secret that signs keys, at least 32 bytes, the same as the Worker's: `openssl rand -hex 32`",
};

export type RemoteSetting = "DATABASE_URL" | "DATABASE_AUTH_TOKEN" | "JWT_SECRET";

/** All of .env.production; the environment's own variables win. */
export function remoteEnv(): Record<string, string | undefined> {
  const path = join(root, remoteFile);
  const stored = existsSync(path) ? parseEnv(readFileSync(path, "utf8")) : {};
  return { ...stored, ...process.env };
}

/** The named settings of the deployed service. Throws Trouble naming each that is missing or wrong. */
export function remoteSettings<Name extends RemoteSetting>(...names: Name[]): Record<Name, string> {
  const env = remoteEnv();
  const faults = names.flatMap((name) => {
    const fault = checks[name]?.(env[name]);
    return fault ? [`  ${name}: ${fault}`] : [];
  });
  if (faults.length)
    throw new Trouble(
      `Missing or not usable in ${remoteFile} (a line NAME=value each; git ignores the file):\n${faults.join("\n")}`,
    );
  return Object.fromEntries(names.map((name) => [name, env[name] ?? ""])) as Record<Name, string>;
}
