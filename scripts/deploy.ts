/**
 * `npm run deploy [-- --dry-run]`: looks for what is missing, migrates the hosted database, then
 * deploys the Worker with its secrets. Settings are read from .env.production. --dry-run changes
 * nothing anywhere: it bundles the Worker and shows its size.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { parse } from "smol-toml";
import { z } from "zod";
import { root, Trouble } from "./local/processes.ts";
import { remoteEnv, remoteFile, remoteSettings } from "./local/remote.ts";
import { main } from "./local/say.ts";
import { migrate } from "./migrate.ts";

const wranglerCli = join(root, "node_modules/wrangler/wrangler-dist/cli.js");
const env = {
  ...process.env,
  PATH: [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter),
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
};

/** What wrangler answers to a question that changes nothing. */
function ask(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [wranglerCli, ...args], {
    cwd: root,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { ok: status === 0, said: `${stdout}${stderr}`.trim() };
}

/** Runs wrangler in front of the person, since a first deploy may ask something. */
async function wrangler(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [wranglerCli, ...args], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  const code = await new Promise((done) => child.on("exit", done));
  if (code !== 0) throw new Trouble(`wrangler ${args[0]} failed; what it says stands above.`);
}

const required = ["DATABASE_URL", "DATABASE_AUTH_TOKEN", "JWT_SECRET"] as const;
/** R2's own S3 credentials: uploads then go straight to R2, past the Worker. */
const direct = ["R2_ACCOUNT_ID", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"] as const;
const optional = ["JWT_SECRET_PREVIOUS", "PUBLIC_URL", "R2_ENDPOINT"] as const;

/** The Worker's secrets. Throws Trouble naming what is missing and how to set it. */
function secrets(): Record<string, string> {
  const settings = remoteSettings(...required);
  const stored = remoteEnv();
  const missing = direct.filter((name) => !stored[name]);
  if (missing.length && missing.length < direct.length)
    throw new Trouble(
      `${missing.join(" and ")} missing in ${remoteFile}: R2's S3 credentials work only together. They come from the Cloudflare dashboard, R2, "Manage API tokens". Without all three, uploads pass through the Worker.`,
    );
  const more = [...direct, ...optional].flatMap((name) => {
    const value = stored[name];
    return value ? [[name, value]] : [];
  });
  return { ...settings, ...Object.fromEntries(more) };
}

const wranglerToml = z.object({
  r2_buckets: z.array(z.object({ bucket_name: z.string() })),
  queues: z.object({ consumers: z.array(z.object({ queue: z.string() })) }).optional(),
});

/** Throws Trouble naming what the Cloudflare account lacks. */
function checkAccount() {
  if (!process.env.CLOUDFLARE_API_TOKEN && /not authenticated/i.test(ask("whoami").said))
    throw new Trouble(
      "wrangler is not logged in: `npx wrangler login`, or set CLOUDFLARE_API_TOKEN.",
    );
  const { r2_buckets, queues } = wranglerToml.parse(
    parse(readFileSync(join(root, "wrangler.toml"), "utf8")),
  );
  for (const { bucket_name } of r2_buckets) {
    const { ok, said } = ask("r2", "bucket", "info", bucket_name);
    if (!ok)
      throw new Trouble(
        `The R2 bucket ${bucket_name} cannot be found. Make it: \`npx wrangler r2 bucket create ${bucket_name}\`. wrangler says:\n${said}`,
      );
  }
  for (const { queue } of queues?.consumers ?? []) {
    const { ok, said } = ask("queues", "info", queue);
    if (!ok)
      throw new Trouble(
        `The queue ${queue} cannot be found. Make it: \`npx wrangler queues create ${queue}\`, or take the [[queues…]] blocks out of wrangler.toml: the scheduled job then delivers alerts alone. wrangler says:\n${said}`,
      );
  }
}

await main(async () => {
  const { values } = parseArgs({ options: { "dry-run": { type: "boolean" } } });
  if (values["dry-run"]) {
    const folder = mkdtempSync(join(tmpdir(), "deploy-"));
    try {
      await wrangler("deploy", "--dry-run", "--outdir", folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return;
  }
  const settings = secrets();
  checkAccount();
  const applied = await migrate(settings.DATABASE_URL ?? "", settings.DATABASE_AUTH_TOKEN);
  console.log(applied.length ? `Database: applied ${applied.join(", ")}` : "Database: up to date");
  const folder = mkdtempSync(join(tmpdir(), "deploy-"));
  try {
    // Secrets go up with the Worker, so that there is no moment with one and without the other.
    const file = join(folder, "secrets.json");
    writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
    await wrangler("deploy", "--secrets-file", file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(
    "\nDeployed. A first admin's key: npm run key -- NAME --role admin --remote\nSecrets that were set before and are no longer in .env.production stay: `npx wrangler secret delete NAME`.",
  );
});
