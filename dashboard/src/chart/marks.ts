import type Plot from "uplot";
import { colour } from "../theme.ts";
import type { Line, Spot } from "./curves.ts";
import type { Exit, Range } from "./frame.ts";

/** Pixels between marks of one kind: those that are nearer are one. */
const APART = 12;

/** Draws within the frame alone. */
function within(self: Plot, draw: (context: CanvasRenderingContext2D) => void) {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw(ctx);
  ctx.restore();
}

/** Stretches of a curve without a gap, where some of its points cover more than one value. */
function stretchesOf(spots: Spot[]): (Spot & { low: number; high: number })[][] {
  if (!spots.some(({ count }) => count > 1)) return [];
  const stretches: (Spot & { low: number; high: number })[][] = [[]];
  for (const spot of spots) {
    const { low, high } = spot;
    if (low === null || high === null) stretches.push([]);
    else stretches.at(-1)?.push({ ...spot, low, high });
  }
  return stretches.filter(({ length }) => length > 1);
}

/** Draws the bands from the lowest to the highest value of what each point covers, below the lines. */
export function drawBands(self: Plot, lines: Line[], frame: Range) {
  within(self, (context) => {
    const y = (value: number) =>
      self.valToPos(Math.min(Math.max(value, frame[0]), frame[1]), "y", true);
    const banded = lines.filter(({ spots }) => spots);
    for (const { spots = [], colour: n } of banded) {
      context.fillStyle = colour(`line-${n}`);
      context.globalAlpha = 0.14 / Math.sqrt(banded.length);
      for (const stretch of stretchesOf(spots)) {
        context.beginPath();
        for (const { x, high } of stretch) context.lineTo(self.valToPos(x, "x", true), y(high));
        for (const { x, low } of stretch.reverse())
          context.lineTo(self.valToPos(x, "x", true), y(low));
        context.fill();
      }
    }
  });
}

/** Marks in red where curves hold NaN or infinities, along the x axis. */
export function drawNonfinite(self: Plot, lines: Line[]) {
  const { devicePixelRatio: ratio } = window;
  within(self, (context) => {
    context.fillStyle = colour("failed");
    const bottom = self.bbox.top + self.bbox.height;
    for (const { x, nonfinite } of lines.flatMap(({ spots = [] }) => spots))
      if (nonfinite > 0)
        context.fillRect(
          self.valToPos(x, "x", true) - 1.5 * ratio,
          bottom - 7 * ratio,
          3 * ratio,
          7 * ratio,
        );
  });
}

/** Draws an arrow at the edge where a curve leaves the frame. */
export function drawExits(self: Plot, exits: Exit[]) {
  const { devicePixelRatio: ratio } = window;
  const { top, height } = self.bbox;
  within(self, (context) => {
    const last = new Map<string, number>();
    for (const { x: at, above, colour: n } of [...exits].sort((a, b) => a.x - b.x)) {
      const edge = `${above} ${n}`;
      const x = self.valToPos(at, "x", true);
      if (x - (last.get(edge) ?? Number.NEGATIVE_INFINITY) < APART * ratio) continue;
      last.set(edge, x);
      const tip = above ? top + ratio : top + height - ratio;
      const foot = tip + (above ? 7 : -7) * ratio;
      context.fillStyle = colour(`line-${n}`);
      context.beginPath();
      context.moveTo(x, tip);
      context.lineTo(x - 4.5 * ratio, foot);
      context.lineTo(x + 4.5 * ratio, foot);
      context.fill();
    }
  });
}
