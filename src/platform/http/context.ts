import type { Bindings, Config } from "../../env.ts";
import type { Db } from "../db/client.ts";
import type { Cost } from "../db/cost.ts";
import type { Auth } from "./caller.ts";

/** What every handler finds in its context. `auth` is there on all routes below /api. */
export type App = {
  Bindings: Bindings;
  Variables: {
    config: Config;
    db: Db;
    cost: Cost;
    auth: Auth;
    /** The run that a tracker's client writes to, where the ledger's own client records it too. */
    joins?: number;
    /** Where the platform says the request came from. */
    address: string | null;
    /** Runs work after the answer has gone out. */
    later: (work: Promise<unknown>) => void;
  };
};
