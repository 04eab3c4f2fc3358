import type { Config } from "../env.ts";
import { s3Settings } from "./bucket/s3.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** The most that one PUT carries: below the 100 MB that a free plan lets through a Worker. */
export const SINGLE_PUT_LIMIT = 90 * MiB;
const MIN_PART = 16 * MiB;
export const MOST_PARTS = 1000;
/** How many URLs one answer holds: signing costs CPU time. */
export const URLS_AT_ONCE = 32;

/** Part size in bytes for a file, or null where one PUT will do. */
export const partSizeFor = (size: number): number | null =>
  size <= SINGLE_PUT_LIMIT ? null : Math.max(MIN_PART, Math.ceil(size / MOST_PARTS / MiB) * MiB);

export const partCount = (size: number, partSize: number) => Math.ceil(size / partSize);

/** Bytes of part `number`, counted from 1; the last is what remains. */
export const partLength = (size: number, partSize: number, number: number) =>
  Math.min(partSize, size - (number - 1) * partSize);

/** The largest file in bytes: through the Worker each part has to fit into one request. */
export const sizeLimit = (config: Config) =>
  s3Settings(config) ? 1024 * GiB : MOST_PARTS * SINGLE_PUT_LIMIT;

/** The parts of the right length; others count as missing, since S3 takes parts of any length. */
export const goodParts = <P extends { number: number; size: number }>(
  parts: P[],
  size: number,
  partSize: number,
) => parts.filter((part) => part.size === partLength(size, partSize, part.number));
