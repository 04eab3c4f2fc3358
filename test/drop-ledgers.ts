import { afterAll } from "vitest";
import { dropLedgers } from "./harness.ts";

afterAll(dropLedgers);
