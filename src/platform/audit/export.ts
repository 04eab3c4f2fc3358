import { asc, sql } from "drizzle-orm";
import type { Bindings, Config } from "../../env.ts";
import { chain } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import { auditEntry, auditExport } from "../db/schema.ts";
import { ago } from "../db/time.ts";
import { toWire } from "../db/wire.ts";
import { hex } from "../http/encode.ts";

/** Entries a file, and bytes of their details: a statement's answer has to stay small. */
const ENTRIES = 2000;
const BYTES = 2_000_000;

/** What the keys of audit files begin with; no weight's begins so. */
const PREFIX = "audit/";

async function gzipped(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Moves entries older than AUDIT_DAYS into the bucket, a file a call: gzipped lines of JSON, as the
 * audit's route gives them. They leave the database only once the bucket has checked the file's hash,
 * in the same batch that notes it, which triggers make sure of. A file waits until it is full or its
 * first entry a day overdue, so that there are few. The newest entry stays, so that ids go on.
 */
export async function exportAudit(db: Db, env: Bindings, config: Config): Promise<void> {
  const days = config.AUDIT_DAYS;
  if (days === 0) return;
  const [due] = await db.all<{ last: number | null; count: number; overdue: number }>(sql`
    select max(id) as last, count(*) as count, coalesce(min(at) < ${ago(days + 1, "days")}, 0) as overdue from (
      select id, at, sum(200 + coalesce(octet_length(detail), 0)) over (order by id) as bytes from (
        select id, at, detail from audit_entry order by id limit ${ENTRIES}))
    where at < ${ago(days, "days")} and id < (select max(id) from audit_entry) and bytes <= ${BYTES}`);
  if (!due?.last || (due.count < ENTRIES && !due.overdue)) return;
  const entries = await db
    .select()
    .from(auditEntry)
    .where(sql`id <= ${due.last}`)
    .orderBy(asc(auditEntry.id))
    .limit(ENTRIES);
  const first = entries[0];
  const last = entries.at(-1);
  if (!first || !last) return;
  const lines = entries.map((entry) => `${JSON.stringify(toWire(entry))}\n`).join("");
  const bytes = await gzipped(lines);
  const sha256 = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  const place = (id: number) => String(id).padStart(12, "0");
  const objectKey = `${PREFIX}${first.at.slice(0, 4)}/${place(first.id)}-${place(last.id)}`;
  // What a call before left there, without noting it, is replaced by the same.
  const stored = await env.BUCKET.put(objectKey, bytes, {
    sha256,
    httpMetadata: { contentType: "application/gzip" },
  });
  if (stored?.size !== bytes.length) throw new Error("the bucket did not take the audit's file");
  await chain(db, {
    file: db.insert(auditExport).values({
      firstId: first.id,
      lastId: last.id,
      firstAt: first.at,
      lastAt: last.at,
      entries: entries.length,
      objectKey,
      size: bytes.length,
      sha256,
    }),
    moved: db.run(sql`delete from audit_entry where id between ${first.id} and ${last.id}`),
  });
}
