import type Plot from "uplot";
import { colour } from "../theme.ts";
import type { Line } from "./curves.ts";
import { dashes } from "./line-styles.ts";

/** Pixels around a picture's title and legend, and the height of a line of them. */
const MARGIN = 12;
const LINE = 18;
/** Pixels of a legend's piece of a line, long enough for its dashes. */
const SWATCH = 24;

/** A chart with its title and legend as a PNG, on the background of the theme. */
export function pngOf(plot: Plot, title: string, lines: Line[]): Promise<Blob> {
  const { canvas } = plot.ctx;
  const { devicePixelRatio: ratio } = window;
  const picture = document.createElement("canvas");
  const context = picture.getContext("2d");
  if (!context) throw new Error("the browser draws no pictures");
  const { fontFamily } = getComputedStyle(document.body);
  const legendFont = `${11 * ratio}px ${fontFamily}`;
  context.font = legendFont;
  const margin = MARGIN * ratio;
  const width = canvas.width + 2 * margin;
  // Where each name of the legend is, a new line of them where the last is full.
  let [x, line] = [margin, 1];
  const names = lines
    .filter(({ faint }) => !faint)
    .map(({ label, colour: n, dash = 0 }) => {
      const space = context.measureText(label).width + (SWATCH + 18) * ratio;
      if (x > margin && x + space > width) [x, line] = [margin, line + 1];
      const place = { label, n, dash, x, line };
      x += space;
      return place;
    });
  const top = margin + (line + 1) * LINE * ratio;
  [picture.width, picture.height] = [width, top + canvas.height + margin];
  context.fillStyle = colour("panel");
  context.fillRect(0, 0, picture.width, picture.height);
  context.textBaseline = "middle";
  context.fillStyle = colour("text");
  context.font = `600 ${13 * ratio}px ${fontFamily}`;
  context.fillText(title, margin, margin + (LINE / 2) * ratio);
  context.font = legendFont;
  context.lineWidth = 3 * ratio;
  for (const { label, n, dash, x: left, line: at } of names) {
    const middle = margin + (at + 0.5) * LINE * ratio;
    context.strokeStyle = colour(`line-${n}`);
    context.setLineDash([...(dashes[dash] ?? [])]);
    context.beginPath();
    context.moveTo(left, middle);
    context.lineTo(left + SWATCH * ratio, middle);
    context.stroke();
    context.fillStyle = colour("muted");
    context.fillText(label, left + (SWATCH + 5) * ratio, middle);
  }
  context.drawImage(canvas, margin, top);
  return new Promise((done, failed) =>
    picture.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture came out")))),
  );
}

/** Lets the browser save a file; characters that file systems refuse become `_`. */
export function saveFile(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_");
  link.click();
  // The browser has read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
