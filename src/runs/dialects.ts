import { sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { Declaration } from "../trainers/declarations/form.ts";
import { isFaulty, MOST_DIALECT, readDialect } from "../trainers/dialect-file.ts";
import type { ReadConfig } from "./config.ts";

/** Most stored dialects that a registration asks, and most characters of them. */
const MOST_ASKED = 20;
const MOST_TEXT = 5 * MOST_DIALECT;

/** The texts of the caller's own dialects and of those that others share, one's own first. */
async function storedDialects(db: Db, auth: Auth): Promise<string[]> {
  // Each half by its own index, so that others' private dialects are not even read.
  const rows = await db.all<{ text: string }>(sql`
    select text from (
      select * from (select text, 0 as place, id from dialect where user_id = ${auth.userId} order by id desc limit ${MOST_ASKED})
      union all
      select * from (select text, 1, id from dialect where shared and user_id <> ${auth.userId} order by id desc limit ${MOST_ASKED}))
    order by place, id desc limit ${MOST_ASKED}`);
  let room = MOST_TEXT;
  return rows.flatMap(({ text }) => {
    room -= text.length;
    return room >= 0 ? [text] : [];
  });
}

/** What a registration has read, and how it is read once more by dialects. */
type Readable = {
  file: ReadConfig | null;
  fields: { dialect?: string | null };
  readBy: ((own: Declaration[]) => Promise<ReadConfig>) | null;
};

/**
 * The registration with its files read by a stored dialect, where no trainer that this ledger knows wrote them
 * and one of the dialects takes them; else the registration as it is. The dialect's text stays with the run. Costs
 * one round trip, of files of unknown trainers alone, where there are dialects. A dialect counts from 30 seconds
 * after it was stored at the latest, when each isolate has checked the key anew.
 */
export async function readByStored<T extends Readable>(db: Db, auth: Auth, input: T): Promise<T> {
  if (!input.readBy || !auth.hasDialects) return input;
  const known = new Map<Declaration, string>();
  for (const text of await storedDialects(db, auth)) {
    const read = readDialect(text);
    // What an older release stored may say more than this one knows.
    if (!isFaulty(read)) known.set(read, text);
  }
  if (known.size === 0) return input;
  const file = await input.readBy([...known.keys()]);
  const used = [...known].find(([{ name }]) => name === file.recognition.trainer);
  return used ? { ...input, file, fields: { ...input.fields, dialect: used[1] } } : input;
}
