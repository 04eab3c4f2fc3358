import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { storageTotal } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, pageQuery } from "../platform/http/page.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { storeOf } from "./bucket/open.ts";

const count = z.int();
const takes = { files: count, bytes: count, trash_files: count, trash_bytes: count };

const by = { user: sql`u.name`, group: sql`s.experiment_group`, kind: sql`s.kind` };
type By = keyof typeof by;
const isBy = (word: string): word is By => Object.hasOwn(by, word);

/** Objects of the bucket a call: one listing, and one statement for the rows beside it. */
const OBJECTS_AT_ONCE = 500;
/** Rows without an object that are looked up once more: each takes a subrequest, of which there are 50. */
const MOST_LOOKED_UP = 20;

const faultAnswer = z.object({
  object_key: z.string(),
  fault: z
    .enum(["no_object", "no_row", "size_differs"])
    .describe("A row without its object, an object without a row, or one of another size."),
  size: z
    .int()
    .describe("The size of the object; if the object is missing, the size that the row states."),
  weights: z.array(z.int()).describe("The weights that use the object."),
});

type Row = { object_key: string; size: number; state: string; weights: string };

export const storage = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "Storage use",
      description:
        "By user, experiment group and kind, as weights count: a file that two runs share counts for both, while `stored` counts it once. `trash` counts the files that can be restored.",
      tag: "Storage",
      answer: {
        schema: z.object({
          stored: z
            .object({ objects: count, bytes: count })
            .describe("The contents of the bucket."),
          total: z.object(takes),
          items: z
            .array(
              z.object({
                user: z.string().optional(),
                group: z.string().nullable().optional(),
                kind: z.string().optional(),
                ...takes,
              }),
            )
            .describe("The largest first, at most 200."),
        }),
        description: "Storage use.",
      },
    }),
    allow("weights:read"),
    validate(
      "query",
      z.strictObject({
        by: z
          .string()
          .max(100)
          .default("user")
          .transform((text) => text.split(",").map((word) => word.trim()))
          .refine((words) => words.every(isBy), "takes user, group and kind, with commas between")
          .transform((words) => [...new Set(words.filter(isBy))]),
      }),
    ),
    async (c) => {
      const fields = c.req.valid("query").by;
      const { db } = c.var;
      const sums = sql`coalesce(sum(s.files), 0) as files, coalesce(sum(s.bytes), 0) as bytes,
        coalesce(sum(s.trash_files), 0) as trash_files, coalesce(sum(s.trash_bytes), 0) as trash_bytes`;
      const named = sql.join(
        fields.map((field) => sql`${by[field]} as ${sql.identifier(field)}`),
        sql`, `,
      );
      const grouped = sql.join(
        fields.map((field) => by[field]),
        sql`, `,
      );
      type Takes = { files: number; bytes: number; trash_files: number; trash_bytes: number };
      const none: Takes = { files: 0, bytes: 0, trash_files: 0, trash_bytes: 0 };
      const {
        stored: [stored],
        total: [total],
        items,
      } = await chain(db, {
        stored: db
          .select({ objects: storageTotal.objects, bytes: storageTotal.bytes })
          .from(storageTotal),
        total: db.all<Takes>(sql`select ${sums} from storage_use s`),
        items: db.all<Takes & { user?: string; group?: string; kind?: string }>(sql`
          select ${named}, ${sums} from storage_use s join user u on u.id = s.user_id
          group by ${grouped} having sum(s.files + s.trash_files) > 0 order by sum(s.bytes + s.trash_bytes) desc limit 200`),
      });
      return c.json({
        stored: stored ?? { objects: 0, bytes: 0 },
        total: total ?? none,
        items: items.map((item) =>
          item.group === undefined ? item : { ...item, group: item.group || null },
        ),
      });
    },
  )
  .get(
    "/check",
    describe({
      summary: "Compare the bucket with the database",
      description: `A page of the bucket (${OBJECTS_AT_ONCE} objects at most) beside the rows of the same keys: rows without objects, objects without rows, and sizes that differ. Follow next_cursor to the end; \`npm run verify-storage\` does.`,
      tag: "Storage",
      answer: {
        schema: z.object({
          objects: z.int().describe("The number of objects compared."),
          rows: z.int().describe("The number of complete rows compared."),
          items: z.array(faultAnswer),
          next_cursor: z.string().nullable(),
        }),
        description: "The faults; none if bucket and database agree.",
      },
      errors: { 403: "Only admins." },
    }),
    allow("admin"),
    validate("query", z.strictObject({ cursor: pageQuery.cursor })),
    async (c) => {
      const { cursor } = c.req.valid("query");
      const { db } = c.var;
      const after = cursor ? decodeCursor("storage", cursor, z.tuple([z.string()]))[0] : "";
      const store = storeOf(c);
      const { objects, more } = await store.list(after, OBJECTS_AT_ONCE);
      const until = more ? objects.at(-1)?.objectKey : undefined;
      // The rows after the objects: one that is complete by now had its object before.
      const rows = await db.all<Row>(sql`
        select o.object_key, o.size, o.state,
          (select json_group_array(w.id) from weight w where w.object_id = o.id and w.state = 'complete') as weights
        from stored_object o where o.object_key > ${after} and ${until === undefined ? sql`true` : sql`o.object_key <= ${until}`}
        order by o.object_key limit ${OBJECTS_AT_ONCE * 4 + 1}`);
      // More rows than objects by far: the page ends where the rows do.
      const cut = rows.length > OBJECTS_AT_ONCE * 4 ? rows[OBJECTS_AT_ONCE * 4 - 1] : undefined;
      const end = cut?.object_key ?? until;
      const isCompared = (key: string) => end === undefined || key <= end;
      const known = new Map(
        rows.filter((r) => isCompared(r.object_key)).map((r) => [r.object_key, r]),
      );
      const there = new Map(
        objects.filter((o) => isCompared(o.objectKey)).map((o) => [o.objectKey, o.size]),
      );
      const complete = [...known.values()].filter((row) => row.state === "complete");
      const faults: z.infer<typeof faultAnswer>[] = [];
      const fault = (row: Row, what: "no_object" | "size_differs", size: number) =>
        faults.push({
          object_key: row.object_key,
          fault: what,
          size,
          weights: JSON.parse(row.weights),
        });
      const missing = complete.filter((row) => !there.has(row.object_key));
      // What completed between the two looks is there by now.
      const seen = await Promise.all(
        missing.slice(0, MOST_LOOKED_UP).map((row) => store.head(row.object_key)),
      );
      for (const [at, row] of missing.entries()) if (!seen[at]) fault(row, "no_object", row.size);
      for (const row of complete) {
        const size = there.get(row.object_key);
        if (size !== undefined && size !== row.size) fault(row, "size_differs", size);
      }
      for (const [objectKey, size] of there) {
        const state = known.get(objectKey)?.state;
        // An upload under way has its row, as has an object that collectUploads is about to delete.
        if (state === undefined || state === "removed")
          faults.push({ object_key: objectKey, fault: "no_row", size, weights: [] });
      }
      return c.json({
        objects: there.size,
        rows: complete.length,
        items: faults,
        next_cursor: end === undefined ? null : encodeCursor("storage", [end]),
      });
    },
  );
