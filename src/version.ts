/** The version, which the build puts in the place of this name; see scripts/bundle-worker.ts. */
declare const LEDGER_VERSION: string | undefined;

/** The version of the service, and of the client that it serves; "0.0.0" where nothing was built. */
export const version = typeof LEDGER_VERSION === "string" ? LEDGER_VERSION : "0.0.0";
