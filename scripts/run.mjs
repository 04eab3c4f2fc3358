// Runs scripts/NAME.ts: `node scripts/run.mjs NAME …`. Plain JavaScript, so that a Node which is
// too old for the rest can still say so.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [name, ...args] = process.argv.slice(2);
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  console.error(
    `This needs Node 22.12 or newer, and this is Node ${process.versions.node}. ` +
      (process.platform === "linux"
        ? "Run `npm ci` without --omit=optional, which brings a newer one along, or install one."
        : "Install a newer one, from https://nodejs.org for example."),
  );
  process.exit(1);
}
const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
if (!/^[a-z-]+$/.test(name ?? "") || !existsSync(script)) {
  console.error(`There is no scripts/${name}.ts. Usage: node scripts/run.mjs NAME [argument …]`);
  process.exit(2);
}

if (process.features.typescript) {
  // That Node strips types is known here, and news to nobody else.
  const emit = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const experimental = [rest[0], rest[0]?.type].includes("ExperimentalWarning");
    if (!experimental) emit.call(process, warning, ...rest);
  };
  process.argv.splice(1, 2, script);
  await import(new URL(`${name}.ts`, import.meta.url).href);
} else {
  const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning"];
  const child = spawn(process.execPath, [...flags, script, ...args], {
    stdio: "inherit",
    env: {
      ...process.env,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ""} ${flags.join(" ")}`.trim(),
      LEDGER_RELAUNCHED: "1",
    },
  });
  // It is the child that decides when both end.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => {
    if (signal) process.removeAllListeners(signal);
    if (signal) process.kill(process.pid, signal);
    else process.exit(code ?? 1);
  });
}
