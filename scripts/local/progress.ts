const WIDTH = 24;
const plain = new Intl.NumberFormat("en-US");

/** How long something takes, in the words of a clock: 42 s, 3 min 5 s. */
const duration = (seconds: number) =>
  seconds < 90
    ? `${Math.ceil(seconds)} s`
    : `${Math.floor(seconds / 60)} min ${Math.ceil(seconds % 60)} s`;

/**
 * A bar on standard error that says how far something is and how long it will take; where no person
 * looks, one line at the end. `total` and what `done` counts are in `unit`.
 */
export function progress(what: string, total: number, unit: string) {
  const { stderr } = process;
  const begun = performance.now();
  const drawEvery = 100;
  let count = 0;
  let drawn = 0;
  const line = (rest: string) => `${what.padEnd(10)} ${rest}`;
  function draw() {
    const part = total > 0 ? Math.min(1, count / total) : 1;
    const seconds = (performance.now() - begun) / 1000;
    const left = part > 0 && seconds > 1 ? `, ${duration((seconds / part) * (1 - part))} left` : "";
    const bar = "█".repeat(Math.round(part * WIDTH)).padEnd(WIDTH, "░");
    const text = `${bar} ${Math.floor(part * 100)} %  ${plain.format(count)} of ${plain.format(total)} ${unit}${left}`;
    stderr.write(`\r${line(text)}\x1b[K`);
  }
  return {
    add(more: number) {
      count += more;
      if (!stderr.isTTY || performance.now() - drawn < drawEvery) return;
      drawn = performance.now();
      draw();
    },
    end() {
      const text = `${plain.format(count)} ${unit} (${duration((performance.now() - begun) / 1000)})`;
      stderr.write(`${stderr.isTTY ? "\r" : ""}${line(text)}${stderr.isTTY ? "\x1b[K" : ""}\n`);
    },
    /** Leaves the bar as it stands, for an error to follow. */
    stop() {
      if (stderr.isTTY && drawn) stderr.write("\n");
    },
  };
}

export type Progress = ReturnType<typeof progress>;
