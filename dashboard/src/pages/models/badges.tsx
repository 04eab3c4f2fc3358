import { PRODUCTION } from "./states.ts";

/** Where each alias stands. */
export const AliasBadges = ({ aliases }: { aliases: Record<string, number> }) => (
  <>
    {Object.entries(aliases).map(([alias, version]) => (
      <span key={alias} class={`badge ${alias === PRODUCTION ? "success" : ""}`}>
        {alias} → {version}
      </span>
    ))}
  </>
);
