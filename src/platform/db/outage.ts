/**
 * How long the database was away, as this isolate saw it: plain data, so it may outlive a request.
 * Other isolates saw what they saw; callers have other signs of a long outage too.
 */
let awaySince: number | null = null;
let longest = 0;

/** Notes whether the database answered just now. */
export function noteReach(answered: boolean): void {
  const now = Date.now();
  if (awaySince !== null) longest = Math.max(longest, now - awaySince);
  if (answered) awaySince = null;
  else awaySince ??= now;
}

/** The longest outage in ms since this was last asked. */
export function takeOutage(): number {
  const taken = Math.max(longest, awaySince === null ? 0 : Date.now() - awaySince);
  longest = 0;
  awaySince = null;
  return taken;
}
