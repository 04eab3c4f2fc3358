import { afterAll } from "vitest";
import { shareConnections } from "./connections.ts";
import { dropLedgers } from "./harness.ts";

shareConnections();
afterAll(dropLedgers);
