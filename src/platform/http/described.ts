import type { ValidationTargets } from "hono";
import type * as z from "zod";

/**
 * Where a route's middlewares keep what OpenAPI says of them. scripts/openapi.ts makes the document
 * from it when the static files are built: the Worker carries neither its maker nor its cost.
 */
export const documented = Symbol.for("lora-ledger.documented");

/** The description of a route for people. */
export type Described = {
  summary: string;
  description?: string;
  tag: string;
  /** Schema and meaning of the 200 answer; none means 204. */
  answer?: {
    schema?: z.ZodType;
    description: string;
    /** Its content type, JSON when none is named; null where the answer has no body. */
    content?: string | null;
    /** Further content types, by what was asked for. */
    also?: string[];
    /** The JSON that is answered where a caller asks for it, beside another `content`. */
    json?: z.ZodType;
    example?: unknown;
  };
  /** A body that no validate() describes: its schema by content type, null where it is bytes. */
  body?: Record<string, { schema: z.ZodType | null; example?: unknown }>;
  /**
   * Statuses besides 200 or 204 that a caller should expect, with why: from 400 problems, unless a
   * schema says otherwise.
   */
  errors?: Partial<
    Record<
      206 | 302 | 304 | 400 | 403 | 404 | 409 | 410 | 411 | 412 | 413 | 415 | 416 | 422 | 503,
      string | { schema: z.ZodType; description: string }
    >
  >;
  /** Routes that take no key. */
  open?: boolean;
};

/** The value that a middleware carries under `documented`. */
export type Documented =
  | { description: Described }
  | { target: keyof ValidationTargets; schema: z.ZodType };
