/**
 * `npm run defaults [-- TRAINER… --newest --all --source NAME=FOLDER]`: compares the defaults that the service marks with
 * those in the trainers' own packages (scripts/defaults/rows.ts), and exits 1 where one differs without a reason.
 */
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import type { JsonValue } from "../src/shared/json.ts";
import type { Column } from "../src/trainers/dialect.ts";
import { recognise } from "../src/trainers/recognise.ts";
import { packages, type Row, rows, type Values } from "./defaults/rows.ts";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const usage =
  "Usage: npm run defaults [-- TRAINER… --newest --all --source NAME=FOLDER]" +
  "\n  TRAINER   rows whose name begins so; without one, all" +
  "\n  --newest  the newest packages instead of those that the dialects were written after" +
  "\n  --all     also what agrees" +
  "\n  --source  a folder with a package's source, for what is in no package: diffusers=../diffusers";

const answer = z.object({
  versions: z.record(z.string(), z.string()),
  values: z.record(z.string(), z.record(z.string(), z.json())),
  faults: z.record(z.string(), z.array(z.string())),
});
export type Read = z.infer<typeof answer>;

/** One column of a row: what the trainer has, what the service marks, and how they compare. */
export type Line = {
  row: string;
  column: Column | "";
  theirs: JsonValue | undefined;
  ours: JsonValue | undefined;
  /** `not read`: of a trainer that the service does not know, or of a package that was not named. */
  verdict: "same" | "differs" | "meant" | "needless reason" | "not read";
  about?: string;
};

/** Reads the defaults of rows from the trainers' packages. Throws Trouble. */
export async function readPackages(
  wanted: Row[],
  { sources = {}, newest = false, folder = join(root, ".local/trainers") } = {},
): Promise<Read> {
  const python = process.env.PYTHON ?? "python3";
  const run = spawn(python, [join(root, "scripts/trainer-defaults.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  run.stdin.end(
    JSON.stringify({
      folder,
      packages: newest
        ? Object.fromEntries(Object.keys(packages).map((name) => [name, ""]))
        : packages,
      sources,
      places: Object.fromEntries(wanted.map((row) => [row.name, row.places])),
    }),
  );
  let text = "";
  for await (const chunk of run.stdout.setEncoding("utf8")) text += chunk;
  const code = run.exitCode ?? (await new Promise((done) => run.once("exit", done)));
  if (code !== 0) throw new Trouble(`scripts/trainer-defaults.py ended with exit code ${code}`);
  return answer.parse(JSON.parse(text));
}

const isNone = (value: JsonValue | undefined) => value === null || value === undefined;

/** Compares one row. Where nothing can be compared the answer is one line that says why. */
export function compare(row: Row, values: Values, faults: string[]): Line[] {
  const line = (verdict: Line["verdict"], about: string): Line[] => [
    { row: row.name, column: "", theirs: undefined, ours: undefined, verdict, about },
  ];
  if (faults.length) return line("differs", faults.join("; "));
  const gone = Object.values(row.columns).filter(
    (from) => typeof from === "string" && !(from in values),
  );
  if (gone.length) return line("differs", `the trainer has no ${gone.join(", ")} any more`);
  const { trainer, kind, fields, defaults } = recognise({ text: "", ...row.ask });
  if (trainer !== row.trainer || kind !== "run")
    return line(
      "not read",
      `the service takes this for ${trainer} (${kind}), not for ${row.trainer}`,
    );
  return (Object.keys(row.columns) as Column[]).map((column): Line => {
    const from = row.columns[column];
    const theirs = typeof from === "function" ? from(values) : values[from ?? ""];
    const ours = defaults.includes(column) ? fields[column] : undefined;
    const isSame = isNone(theirs) ? isNone(ours) : theirs === ours;
    const meant = row.meant?.[column];
    const verdict = meant ? (isSame ? "needless reason" : "meant") : isSame ? "same" : "differs";
    return { row: row.name, column, theirs, ours, verdict, ...(meant && { about: meant }) };
  });
}

const show = (value: JsonValue | undefined) =>
  isNone(value) ? "–" : typeof value === "string" ? value : JSON.stringify(value);

/** The lines as a table. */
export function tableOf(lines: Line[]): string {
  const cells = lines.map((line) => [
    ...[line.row, line.column, show(line.theirs), show(line.ours)],
    line.about ? `${line.verdict}: ${line.about}` : line.verdict,
  ]);
  const all = [["row", "column", "trainer", "service", ""], ...cells];
  const widths = [0, 1, 2, 3].map((n) => Math.max(...all.map((row) => row[n]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, n) => cell.padEnd(widths[n] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

if (isMain(import.meta.url))
  await main(async () => {
    let options: ReturnType<typeof parse>;
    try {
      options = parse();
    } catch (error) {
      throw new Trouble(`${(error as Error).message}\n${usage}`);
    }
    const { positionals: names, values: flags } = options;
    const wanted = rows.filter(
      ({ name }) =>
        !names.length || names.some((one) => name.toLowerCase().startsWith(one.toLowerCase())),
    );
    if (!wanted.length)
      throw new Trouble(`There is no row of that name: ${rows.map(({ name }) => name).join(", ")}`);
    const sources = Object.fromEntries(
      (flags.source ?? []).map((text) => {
        const [name = "", folder] = text.split(/=(.*)/s);
        if (!folder) throw new Trouble(`--source ${text} is not of the form NAME=FOLDER`);
        return [name, resolve(process.env.INIT_CWD ?? ".", folder)];
      }),
    );
    const missing = (row: Row) =>
      row.places.find(({ package: name }) => !(name in packages) && !(name in sources))?.package;
    const readable = wanted.filter((row) => !missing(row));
    for (const row of wanted.filter(missing))
      console.log(
        `${row.name} is not compared: no package holds it; name a folder by --source ${missing(row)}=FOLDER.`,
      );
    const read = await readPackages(readable, { sources, newest: flags.newest });
    const lines = readable.flatMap((row) =>
      compare(row, read.values[row.name] ?? {}, read.faults[row.name] ?? []),
    );
    const shown = lines.filter(({ verdict }) => flags.all || verdict !== "same");
    if (shown.length) console.log(`${tableOf(shown)}\n`);
    const count = (verdict: Line["verdict"]) =>
      lines.filter((line) => line.verdict === verdict).length;
    const wrong = count("differs") + count("needless reason");
    const versions = Object.entries(read.versions).map(([name, version]) => `${name} ${version}`);
    console.log(
      `${count("same")} defaults agree, ${count("meant")} differ for a reason, ${wrong} differ; ` +
        `${count("not read")} rows were not read. ${versions.join(", ")}`,
    );
    if (wrong) process.exit(1);
  });

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      newest: { type: "boolean" },
      all: { type: "boolean" },
      source: { type: "string", multiple: true },
    },
  });
}
