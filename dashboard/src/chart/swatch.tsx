/** A piece of a line, as it is drawn in a chart. */
export const Swatch = ({ colour, dash = 0 }: { colour: number; dash?: number }) => (
  <i class={`swatch colour-${colour} dash-${dash}`} />
);
