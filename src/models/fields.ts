import { type SQL, sql } from "drizzle-orm";
import { type Column, type Fields, jsonPath } from "../platform/filter/compile.ts";
import { FilterError } from "../shared/filter-grammar.ts";

/** The version that represents a model: the one in production, else the newest. */
const knownVersion = sql`coalesce(
  (select a.version_id from model_alias a where a.model_id = model.id and a.alias = 'production'),
  (select v.id from model_version v where v.model_id = model.id order by v.number desc limit 1))`;

const ofModel = (name: string): SQL => sql`model.${sql.identifier(name)}`;
const ofVersion = (name: string): SQL =>
  sql`(select v.${sql.identifier(name)} from model_version v where v.id = ${knownVersion})`;
const ofFile = (name: string): SQL =>
  sql`(select o.${sql.identifier(name)} from model_version v join stored_object o on o.id = v.object_id where v.id = ${knownVersion})`;

/** A figure of the known version's run; if it was never approved, only for callers who may read runs. */
const ofRun = (readsRuns: boolean, what: SQL, join: SQL): SQL =>
  sql`(select ${what} from model_version v join ${join} where v.id = ${knownVersion}
    ${readsRuns ? sql`` : sql`and v.approved_at is not null`})`;

const columns: Record<string, Column> = {
  name: { sql: ofModel("name"), type: "text" },
  description: { sql: ofModel("description"), type: "text" },
  task_type: { sql: ofModel("task_type"), type: "text" },
  license: { sql: ofModel("license"), type: "text" },
  created_at: { sql: ofModel("created_at"), type: "time" },
  updated_at: { sql: ofModel("updated_at"), type: "time" },
  user: { sql: sql`(select name from user where user.id = model.user_id)`, type: "text" },
  versions: {
    sql: sql`(select count(*) from model_version v where v.model_id = model.id)`,
    type: "number",
  },
  state: { sql: ofVersion("state"), type: "text" },
  size: { sql: ofVersion("size"), type: "number" },
  task_id: { sql: ofVersion("task_id"), type: "number" },
  rank: { sql: ofFile("rank"), type: "number" },
  alpha: { sql: ofFile("alpha"), type: "number" },
  algorithm: { sql: ofFile("algorithm"), type: "text" },
  base_arch: { sql: ofFile("base_arch"), type: "text" },
  verified: { sql: ofFile("verified"), type: "text" },
};

/**
 * What a filter over models can name; figures of runs that were never approved need `readsRuns`.
 * Throws FilterError for anything else.
 */
export const modelFields =
  (readsRuns: boolean): Fields =>
  ({ path, position }) => {
    const [first, ...rest] = path;
    const column = Object.hasOwn(columns, String(first)) ? columns[String(first)] : undefined;
    if (column && rest.length === 0) return column;
    if (first === "final_loss" && rest.length === 0) {
      const run = sql`training_task t on t.id = v.task_id`;
      return { sql: ofRun(readsRuns, sql`t.final_loss`, run), type: "number" };
    }
    if (first === "tags" && rest.length > 0)
      return { sql: sql`(${ofModel("tags")} ->> ${jsonPath(rest, position)})`, type: "any" };
    if (first === "aliases" && rest.length > 0)
      return {
        sql: sql`(select v.number from model_alias a join model_version v on v.id = a.version_id where a.model_id = model.id and a.alias = ${rest.join(".")})`,
        type: "number",
      };
    if (first === "metrics" && rest.length > 0) {
      const summary = sql`metric_summary s on s.task_id = v.task_id and s.metric = ${rest.join(".")}`;
      return { sql: ofRun(readsRuns, sql`s.last`, summary), type: "number" };
    }
    throw new FilterError(
      "filter-model-field",
      { field: path.join("."), fields: Object.keys(columns).join(", ") },
      position,
    );
  };
