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

/** What happened to a run at a place of its axis. */
export type Mark = {
  kind: "attempt" | "checkpoint" | "sample";
  x: number;
  /** What it is, in words. */
  text: string;
  /** Of an attempt, its number. */
  number?: number;
};

/** Draws a line where an attempt begins, and small marks at the bottom for checkpoints and samples. */
export function drawMarks(self: Plot, marks: Mark[]) {
  const { devicePixelRatio: ratio } = window;
  const { top, height } = self.bbox;
  const bottom = top + height;
  within(self, (context) => {
    context.font = `${10 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.lineWidth = ratio;
    for (const { kind, x: at, number } of marks) {
      const x = Math.round(self.valToPos(at, "x", true));
      context.beginPath();
      if (kind === "attempt") {
        context.strokeStyle = colour("muted");
        context.fillStyle = colour("muted");
        context.setLineDash([4 * ratio, 3 * ratio]);
        context.moveTo(x, top);
        context.lineTo(x, bottom);
        context.stroke();
        context.setLineDash([]);
        context.fillText(`#${number}`, x + 3 * ratio, top + 10 * ratio);
      } else if (kind === "checkpoint") {
        context.fillStyle = colour("accent");
        context.moveTo(x, bottom - 8 * ratio);
        context.lineTo(x - 4 * ratio, bottom);
        context.lineTo(x + 4 * ratio, bottom);
        context.fill();
      } else {
        context.fillStyle = colour("line-6");
        context.arc(x, bottom - 3 * ratio, 2.5 * ratio, 0, 2 * Math.PI);
        context.fill();
      }
    }
  });
}

/** Pixels around the pointer within which a mark is under it. */
const NEAR = 6;

/** The marks under a place in pixels, an attempt before files. */
export const marksNear = (marks: Mark[], left: number, pixelOf: (x: number) => number): Mark[] =>
  marks
    .filter(({ x }) => Math.abs(pixelOf(x) - left) <= NEAR)
    .sort((a, b) => Number(b.kind === "attempt") - Number(a.kind === "attempt"));
