/** Colours of lines in the style sheet, `--line-1` and on, of which neighbours differ most. */
export const COLOURS = 12;
/** Dashes of lines in pixels of the canvas, line and gap in turn; the first is unbroken. */
export const dashes: readonly (readonly number[])[] = [[], [10, 4], [2, 3], [10, 3, 2, 3], [5, 6]];
/** Runs that are drawn over one another. */
export const MOST_RUNS = 50;

/** How a run's line is drawn: the number of its colour, from 1, and that of its dashes, from 0. */
export type LineStyle = { colour: number; dash: number };

/**
 * The styles of some runs, at most as many as there are. A run has its colour by its id, wherever it is shown;
 * of runs of one colour those with higher ids are dashed. Where more share a colour than there are dashes,
 * the highest ids take the next colour with room.
 */
export function lineStyles(ids: readonly number[]): Map<number, LineStyle> {
  const used = new Array<number>(COLOURS).fill(0);
  const styles = new Map<number, LineStyle>();
  for (const id of [...new Set(ids)].sort((a, b) => a - b).slice(0, COLOURS * dashes.length)) {
    let colour = (id - 1) % COLOURS;
    while ((used[colour] ?? 0) >= dashes.length) colour = (colour + 1) % COLOURS;
    const dash = used[colour] ?? 0;
    used[colour] = dash + 1;
    styles.set(id, { colour: colour + 1, dash });
  }
  return styles;
}
