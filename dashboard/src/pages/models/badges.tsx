import { PRODUCTION } from "./states.ts";

/** Aliases with the versions that they name. */
export const AliasBadges = ({ aliases }: { aliases: Record<string, number> }) => (
  <>
    {Object.entries(aliases).map(([alias, version]) => (
      <span key={alias} class={`badge ${alias === PRODUCTION ? "success" : ""}`}>
        {alias} → {version}
      </span>
    ))}
  </>
);
