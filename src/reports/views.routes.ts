import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit, briefly } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { savedView } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import { splitFields } from "../platform/filter/compile.ts";
import { fieldOf } from "../platform/filter/request.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, faultsOf, notValid, validate } from "../platform/http/validate.ts";
import { chooseTasks, taskChoice } from "../runs/select.ts";
import { viewParameters, viewQuery } from "../shared/view-query.ts";

/** Columns that the page draws itself, and a width behind a column. */
const ownCells = new Set(["status", "progress", "curve"]);
const width = /:\d+$/;

const { filter, q, status, user, order_by: order } = taskChoice;
const parameters = z
  .strictObject({
    ...{ filter, q, status, user, order },
    group: z.string().max(300),
    cols: z.string().max(4000),
    deleted: z.literal("true"),
  })
  .partial();

const fields = {
  name: z.string().trim().min(1).max(100).describe("Unique among the views of its owner."),
  query: z
    .string()
    .max(8000)
    .describe(
      `The query of the page's address, such as \`filter=lora_rank+%3D+64&order=-final_loss\`: ${viewParameters.join(", ")}.`,
    ),
  shared: z
    .boolean()
    .describe("true: everyone may open the view; false: only its owner and admins may."),
};

const answer = z
  .object({
    id: z.int(),
    ...fields,
    user_id: z.int(),
    user: z.string().describe("The name of its owner."),
    version: z.int(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "View" });

const columns = {
  id: savedView.id,
  name: savedView.name,
  query: savedView.query,
  shared: savedView.shared,
  userId: savedView.userId,
  user: sql<string>`(select name from user where user.id = saved_view.user_id)`,
  version: savedView.version,
  createdAt: savedView.createdAt,
  updatedAt: savedView.updatedAt,
};

/** A query as it is stored: what it asks for is looked at now, so that a view that is kept opens. Throws ApiError 422. */
function checkQuery(auth: Auth, text: string): string {
  // A parameter that is given twice counts once, so that the checked query is the stored one.
  const given = Object.fromEntries(new URLSearchParams(text));
  const parsed = parameters.safeParse(given);
  if (!parsed.success)
    throw notValid(
      faultsOf(parsed.error).map(({ path, message }) => ({ path: `query.${path}`, message })),
    );
  const { order: order_by, group = "", cols = "", deleted, ...choice } = parsed.data;
  chooseTasks(auth, { ...choice, order_by, deleted: deleted !== undefined });
  for (const name of [...splitFields(group), ...splitFields(cols)].map((n) => n.replace(width, "")))
    if (!ownCells.has(name)) fieldOf("query", name);
  return viewQuery(new URLSearchParams(given));
}

const nameTaken = (name: string) => refuse("name-taken", { case: "view", name });

/** The condition under which a caller may change a view; all may open shared ones. */
const ownView = (auth: Auth) => owns(auth, savedView.userId);

export const views = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Save a view",
      description: "Saves a query of the runs page under a name; `/runs?view=ID` opens it.",
      tag: "Views",
      answer: { schema: answer, description: "The view." },
      errors: {
        403: "`over-limit`: the user has reached the bound for views.",
        409: "You have another view of that name.",
      },
    }),
    allow("tasks:write"),
    validate("json", z.strictObject({ ...fields, shared: fields.shared.default(false) })),
    async (c) => {
      const { name, shared, ...body } = c.req.valid("json");
      const { auth, db, config } = c.var;
      const query = checkQuery(auth, body.query);
      const named = and(eq(savedView.userId, auth.userId), eq(savedView.name, name));
      const {
        made: [made],
        row: [row],
      } = await chain(db, {
        made: db.all<{ id: number }>(sql`
          insert into saved_view (user_id, name, query, shared)
          select ${auth.userId}, ${name}, ${query}, ${Number(shared)}
          where ${roomToMake(config, auth.userId, "views")}
          on conflict do nothing returning id`),
        noted: ifChanged("made", (changed) =>
          audit(
            db,
            auth,
            "view.create",
            sql`select id from saved_view where ${named} and ${changed}`,
            briefly({ name, query, shared }),
          ),
        ),
        row: db.select(columns).from(savedView).where(named),
      });
      if (made && row) return c.json(toWire(row), 200, { ETag: `"${row.version}"` });
      if (row) throw nameTaken(name);
      throw await noRoom(db, config, auth.userId, "views");
    },
  )
  .get(
    "/",
    describe({
      summary: "List views",
      description: "Lists your own views and those that others share.",
      tag: "Views",
      answer: {
        schema: pageAnswer(answer),
        description: "Newest first.",
      },
    }),
    allow("tasks:read"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor ? decodeCursor("views", cursor, z.tuple([z.int()]))[0] : undefined;
      const behind = before === undefined ? sql`true` : lt(savedView.id, before);
      // Each half by its own index, so that others' private views are not even read.
      const rows = await db
        .select(columns)
        .from(savedView)
        .where(
          sql`${savedView.id} in (
            select id from (select id from saved_view where shared and ${behind} order by id desc limit ${limit + 1})
            union select id from saved_view where user_id = ${auth.userId} and ${behind})`,
        )
        .orderBy(desc(savedView.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("views", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "Get a view",
      tag: "Views",
      answer: { schema: answer, description: "The view. `ETag` is its version." },
      errors: { 404: "You own no such view, and nobody shares one." },
    }),
    allow("tasks:read"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      const [row] = await db
        .select(columns)
        .from(savedView)
        .where(and(eq(savedView.id, id), sql`(shared or ${ownView(auth)})`));
      if (!row) throw notFound("view", { id: id });
      return c.json(toWire(row), 200, { ETag: `"${row.version}"` });
    },
  )
  .patch(
    "/:id",
    describe({
      summary: "Change a view",
      description:
        "Only its owner or an admin may. Fields that the body leaves out stay as they are.",
      tag: "Views",
      answer: { schema: answer, description: "The view." },
      errors: {
        404: "You own no such view.",
        409: "Its owner has another view of that name.",
        412: "The view has changed since it was read (If-Match holds its ETag).",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("json", z.strictObject(fields).partial()),
    async (c) => {
      const { id } = c.req.valid("param");
      const body = c.req.valid("json");
      const version = ifMatch(c.req.header("If-Match"));
      const { auth, db } = c.var;
      if (body.query !== undefined) body.query = checkQuery(auth, body.query);
      const mine = and(eq(savedView.id, id), ownView(auth));
      const namesake = sql`exists (select 1 from saved_view o
        where o.user_id = saved_view.user_id and o.name = ${body.name ?? null} and o.id <> ${id})`;
      const {
        changed: [changed],
        row: [row],
      } = await chain(db, {
        changed: db
          .update(savedView)
          .set({ ...body, version: sql`version + 1`, updatedAt: now })
          .where(
            and(
              mine,
              version === null ? undefined : eq(savedView.version, version),
              sql`not ${namesake}`,
            ),
          )
          .returning({ id: savedView.id }),
        noted: noteChange(db, auth, "changed", "view.update", id, briefly(body)),
        row: db.select(columns).from(savedView).where(mine),
      });
      if (!row) throw notFound("own-view", { id: id });
      if (changed) return c.json(toWire(row), 200, { ETag: `"${row.version}"` });
      if (version !== null && version !== row.version) throw changedMeanwhile(row.version);
      throw nameTaken(body.name ?? row.name);
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a view",
      description: "Only its owner or an admin may. Links to the view stop working.",
      tag: "Views",
      errors: { 404: "You own no such view." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      const {
        gone: [gone],
      } = await chain(db, {
        gone: db
          .delete(savedView)
          .where(and(eq(savedView.id, id), ownView(auth)))
          .returning({ id: savedView.id }),
        noted: noteChange(db, auth, "gone", "view.delete", id),
      });
      if (!gone) throw notFound("own-view", { id: id });
      return c.body(null, 204);
    },
  );
