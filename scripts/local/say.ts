import { resolve } from "node:path";
import { Trouble } from "./processes.ts";

/** Whether the module at this URL is the program, rather than imported by it. */
export const isMain = (url: string) =>
  process.argv[1] !== undefined &&
  new URL(url).pathname === new URL(`file://${resolve(process.argv[1])}`).pathname;

/** Runs a program's main function: troubles are one plain line, anything else keeps its stack. */
export async function main(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    console.error(error instanceof Trouble ? error.message : error);
    process.exit(1);
  }
}

/** Says what is waited for, and then how it went and how long it took. */
export async function step<T>(
  name: string,
  work: () => Promise<T>,
  outcome: (result: T) => string = () => "ready",
): Promise<T> {
  const from = performance.now();
  process.stdout.write(`  ${name.padEnd(14)}`);
  try {
    const result = await work();
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    process.stdout.write(`${outcome(result)} (${seconds} s)\n`);
    return result;
  } catch (error) {
    process.stdout.write("failed\n");
    throw error;
  }
}
