import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COLOURS } from "../dashboard/src/chart/line-styles.ts";
import { root } from "../scripts/local/processes.ts";

const range = (count: number) => Array.from({ length: count }, (_, n) => n + 1);

describe("the lines of charts", () => {
  it("have colours that can be seen on both backgrounds", () => {
    const sheet = readFileSync(join(root, "dashboard/src/styles/tokens.css"), "utf8");
    const pairOf = (name: string) =>
      sheet.match(new RegExp(`--${name}: light-dark\\((#\\w+), (#\\w+)\\)`))?.slice(1) ?? [];
    const channel = (part: string) => {
      const value = Number.parseInt(part, 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    // WCAG's relative luminance and contrast.
    const luminance = (hex: string) => {
      const full = hex.length === 4 ? hex.replace(/\w/g, "$&$&") : hex;
      const [r = 0, g = 0, b = 0] = (full.match(/\w\w/g) ?? []).map(channel);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const panel = pairOf("panel");
    expect(panel).toHaveLength(2);
    for (const n of range(COLOURS))
      for (const [theme, hex] of pairOf(`line-${n}`).entries()) {
        const [low = 0, high = 0] = [luminance(hex), luminance(panel[theme] ?? "")].sort(
          (a, b) => a - b,
        );
        expect((high + 0.05) / (low + 0.05), `line-${n} ${hex}`).toBeGreaterThanOrEqual(3);
      }
    expect(range(COLOURS).flatMap((n) => pairOf(`line-${n}`))).toHaveLength(2 * COLOURS);
  });
});
