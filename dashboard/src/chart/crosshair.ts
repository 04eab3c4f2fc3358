import type { XAxis } from "./curves.ts";

/** Shows the crosshair of a chart at a place of its axis; null hides it. */
type Follow = (x: number | null) => void;

const followers = new Set<{ axis: XAxis; follow: Follow }>();

/** Lets a chart follow the crosshair of the others of its axis; the function it gives moves that of the others. */
export function shareCrosshair(axis: XAxis, follow: Follow) {
  const own = { axis, follow };
  followers.add(own);
  return {
    move: (x: number | null) => {
      for (const other of followers) if (other !== own && other.axis === axis) other.follow(x);
    },
    leave: () => void followers.delete(own),
  };
}
