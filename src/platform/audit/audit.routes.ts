import { and, desc, eq, getTableColumns, lt, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../auth/middleware.ts";
import { auditEntry, auditExport, auditSubjects, user } from "../db/schema.ts";
import { toWire } from "../db/wire.ts";
import type { App } from "../http/context.ts";
import { sha256Hex } from "../http/hash.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../http/page.ts";
import { idParam } from "../http/params.ts";
import { notFound } from "../http/problem.ts";
import { describe, validate } from "../http/validate.ts";

/** Entries that filters without an index look at in one call. */
const MOST_SCANNED = 50_000;

const answer = z
  .object({
    id: z.int(),
    at: z.string(),
    user_id: z.int().nullable().describe("Null: the scheduled job or the command line."),
    user: z.string().nullable(),
    key_id: z.int().nullable(),
    address: z.string().nullable().describe("The address that the request came from."),
    action: z.string(),
    subject: z.enum(auditSubjects),
    subject_id: z.int().nullable(),
    detail: z.json().describe("The change, without secrets."),
  })
  .meta({ id: "AuditEntry" });

const time = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], {
    error: "must be a date or time such as 2026-05-01 or 2026-05-01T10:00:00Z",
  })
  .transform((text) => new Date(text).toISOString());

const filters = z.strictObject({
  ...pageQuery,
  subject: z.enum(auditSubjects).optional().describe("The kind of row."),
  subject_id: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .describe("The id of the row; requires `subject`."),
  user: z.string().max(100).optional().describe("The user who made the change: a name, or `me`."),
  key: z.coerce.number().int().min(1).optional().describe("The id of the key."),
  action: z
    .string()
    .regex(/^[a-z]+\.[a-z_-]+$/, "must be an action such as task.delete")
    .optional(),
  since: time.optional().describe("Entries from this time on."),
  until: time.optional().describe("Entries before this time."),
});

/**
 * The first entry at or after a time, or one beyond the last. Entries are in the order of time, so
 * halving finds it in some 20 steps, where an index on the time would cost a row a write.
 */
const firstSince = (at: string): SQL => {
  const middle = sql`(low + high) / 2`;
  const earlier = sql`coalesce((select at from audit_entry where id >= ${middle} order by id limit 1) < ${at}, 0)`;
  return sql`(
    with recursive span(low, high) as (
      select 0, coalesce(max(id), 0) + 1 from audit_entry
      union all
      select iif(${earlier}, ${middle}, low), iif(${earlier}, high, ${middle}) from span where high - low > 1)
    select high from span where high - low <= 1)`;
};

const rare = sql`subject <> 'task' and subject <> 'weight'`;
const isRare = (subject: string | undefined) =>
  subject !== undefined && subject !== "task" && subject !== "weight";

const exportAnswer = z
  .object({
    id: z.int(),
    first_id: z.int(),
    last_id: z.int(),
    first_at: z.string(),
    last_at: z.string(),
    entries: z.int(),
    size: z.int().describe("The size of the file in bytes."),
    sha256: z.string(),
    created_at: z.string(),
  })
  .meta({ id: "AuditExport" });

/** Files of entries that have left the database after AUDIT_DAYS. */
export const auditExports = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "Files of older audit entries",
      description:
        "Entries older than AUDIT_DAYS move into files of the bucket: gzipped lines of JSON, one entry each.",
      tag: "Audit",
      answer: { schema: pageAnswer(exportAnswer), description: "Newest first." },
      errors: { 403: "Only admins may read the audit." },
    }),
    allow("admin"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const before = cursor
        ? decodeCursor("audit-exports", cursor, z.tuple([z.int()]))[0]
        : undefined;
      const rows = await c.var.db
        .select()
        .from(auditExport)
        .where(before === undefined ? undefined : lt(auditExport.id, before))
        .orderBy(desc(auditExport.id))
        .limit(limit + 1);
      const files = rows.map(({ objectKey: _, ...row }) => toWire(row));
      return c.json(page(files, limit, (last) => encodeCursor("audit-exports", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "A file of older audit entries",
      tag: "Audit",
      answer: {
        description: "Gzipped lines of JSON, one entry each, oldest first.",
        content: "application/gzip",
      },
      errors: { 403: "Only admins may read the audit.", 404: "No such file." },
    }),
    allow("admin"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const [row] = await c.var.db.select().from(auditExport).where(eq(auditExport.id, id));
      const object = row && (await c.env.BUCKET.get(row.objectKey));
      if (!object) throw notFound("audit-file", { id: id });
      return c.body(object.body, 200, {
        "Content-Type": "application/gzip",
        "Content-Length": String(object.size),
        "Content-Disposition": `attachment; filename="audit-${row.firstId}-${row.lastId}.jsonl.gz"`,
        "Cache-Control": "private, no-store",
      });
    },
  );

export const auditLog = new Hono<App>().get(
  "/",
  describe({
    summary: "The audit log",
    description:
      "Newest first. The log has every change by a person or a box, except heartbeats and the bytes of uploads. Nobody can change entries; entries older than AUDIT_DAYS move into files: `GET /api/audit/exports`.",
    tag: "Audit",
    answer: {
      schema: z.object({
        items: z.array(answer),
        next_cursor: z.string().nullable(),
        scanned: z
          .int()
          .optional()
          .describe(
            "The number of entries examined, if a filter ended the page before it was full.",
          ),
      }),
      description: "A page.",
    },
    errors: { 403: "Only admins may read the audit.", 422: "A filter is not valid." },
  }),
  allow("admin"),
  validate(
    "query",
    filters.refine((q) => q.subject_id === undefined || q.subject !== undefined, {
      path: ["subject_id"],
      message: "needs `subject` beside it",
    }),
  ),
  async (c) => {
    const { limit, cursor, ...asked } = c.req.valid("query");
    const { subject, subject_id, user: name, key, action, since, until } = asked;
    const { db, auth } = c.var;
    const list = `audit ${(await sha256Hex(JSON.stringify(asked))).slice(0, 16)}`;
    const before = cursor ? decodeCursor(list, cursor, z.tuple([z.int()]))[0] : undefined;
    const who =
      name === undefined
        ? key && sql`(select user_id from api_key where id = ${key})`
        : name === "me"
          ? auth.userId
          : sql`(select id from user where name = ${name})`;
    const topic = subject ?? action?.split(".")[0];
    const indexed = subject_id
      ? and(eq(auditEntry.subject, subject ?? "task"), eq(auditEntry.subjectId, subject_id))
      : who !== undefined
        ? sql`${auditEntry.userId} = ${who}`
        : isRare(topic)
          ? and(sql`${auditEntry.subject} = ${topic}`, rare)
          : undefined;
    const candidates = db
      .select({ id: auditEntry.id })
      .from(auditEntry)
      .where(
        and(
          indexed,
          before === undefined ? undefined : sql`${auditEntry.id} < ${before}`,
          since === undefined ? undefined : sql`${auditEntry.id} >= ${firstSince(since)}`,
          until === undefined ? undefined : sql`${auditEntry.id} < ${firstSince(until)}`,
        ),
      )
      .orderBy(desc(auditEntry.id))
      .limit(MOST_SCANNED);
    const window = candidates.as("candidate");
    // CROSS JOIN draws candidates one at a time, newest first, until the page is full.
    const rows = await db
      .select({ ...getTableColumns(auditEntry), user: user.name })
      .from(window)
      .crossJoin(auditEntry)
      .leftJoin(user, eq(user.id, auditEntry.userId))
      .where(
        and(
          eq(auditEntry.id, window.id),
          who === undefined ? undefined : sql`${auditEntry.userId} = ${who}`,
          key === undefined ? undefined : eq(auditEntry.keyId, key),
          action === undefined ? undefined : eq(auditEntry.action, action),
          subject === undefined ? undefined : eq(auditEntry.subject, subject),
        ),
      )
      .limit(limit + 1);
    const found = page(rows.map(toWire), limit, (last) => encodeCursor(list, [last.id]));
    const bounded = key ?? action ?? (indexed ? undefined : subject);
    if (rows.length > limit || bounded === undefined) return c.json(found);
    const [looked] = await db.all<{ scanned: number; last: number | null }>(
      sql`select count(*) as scanned, min(id) as last from (${candidates})`,
    );
    const { scanned = 0, last = null } = looked ?? {};
    return c.json({
      items: found.items,
      next_cursor: scanned < MOST_SCANNED ? null : encodeCursor(list, [last]),
      scanned,
    });
  },
);
