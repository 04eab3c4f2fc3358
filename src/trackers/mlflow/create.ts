/*
 * Runs that MLflow's client begins: a new task, or the run that the ledger's own client records already.
 */
import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import { reportable } from "../../platform/auth/access.ts";
import { chain } from "../../platform/db/batch.ts";
import { experiment, trainingTask } from "../../platform/db/schema.ts";
import type { App } from "../../platform/http/context.ts";
import { cutText } from "../../platform/http/text.ts";
import { readRegistration, registerTask } from "../../runs/register.ts";
import { report } from "../../runs/report.ts";
import { editRuns } from "../../runs/states.ts";
import { runFields } from "../../shared/run-fields.ts";
import { invalid } from "./body.ts";
import { MlflowError, runIdOf, taskOfRun } from "./form.ts";
import { type MlflowRecord, makeRecord } from "./record.ts";
import { readHeld, sortTags, writeChange } from "./write.ts";

const words = {
  kinds: [
    ...[
      "able",
      "amber",
      "bold",
      "brisk",
      "calm",
      "clear",
      "deft",
      "eager",
      "early",
      "even",
      "fair",
    ],
    ...["fleet", "fond", "gentle", "glad", "grand", "keen", "kind", "lively", "mellow", "merry"],
    ...["nimble", "open", "plain", "quick", "quiet", "rapid", "sharp", "steady", "swift", "warm"],
  ],
  things: [
    ...["aspen", "beacon", "birch", "brook", "cedar", "cliff", "comet", "coral", "crane", "delta"],
    ...["ember", "falcon", "fern", "finch", "forest", "glade", "harbor", "heron", "island", "lark"],
    ...["maple", "meadow", "otter", "pine", "prairie", "reef", "river", "robin", "summit", "wren"],
  ],
};
const oneOf = (list: string[]) => list[Math.floor(Math.random() * list.length)] ?? "";

/** A name for a run that was given none. */
const makeName = () =>
  `${oneOf(words.kinds)}-${oneOf(words.things)}-${Math.floor(Math.random() * 1000)}`;

/** The group of an experiment; null is that of runs without one. */
const groupOf = ({ id, name }: { id: number; name: string }) => (id === 0 ? null : name);

/** An experiment that runs may be begun in. Throws MlflowError. */
async function activeExperiment(c: Context<App>, id: string) {
  const number = /^\d{1,15}$/.test(id) ? Number(id) : -1;
  const [row] = await c.var.db.select().from(experiment).where(eq(experiment.id, number));
  if (!row) throw noExperiment(id);
  if (row.deletedAt !== null)
    throw invalid(`The experiment ${id} must be in the 'active' state. Current state is deleted.`);
  return row;
}

export const noExperiment = (id: string) =>
  new MlflowError("RESOURCE_DOES_NOT_EXIST", `No Experiment with id=${id} exists`);

export type NewRun = {
  experimentId: string;
  user: string | undefined;
  name: string | undefined;
  startTime: number | undefined;
  tags: Record<string, string>;
};

const startReport = (taskId: number) => ({
  taskId,
  attempt: undefined,
  seq: null,
  segment: { metrics: [], rows: [] },
});

/** Begins a run, which is RUNNING from then on: the number of its task. Throws MlflowError and ApiError. */
export async function beginRun(c: Context<App>, asked: NewRun): Promise<number> {
  const group = await activeExperiment(c, asked.experimentId || "0");
  const record: MlflowRecord = {
    ...(asked.user && { user: cutText(asked.user, 0, 200) }),
    ...(asked.startTime !== undefined && { start_time: asked.startTime }),
  };
  const joined = await adopt(c, asked, groupOf(group), record);
  if (joined !== null) return joined;
  const { db, auth } = c.var;
  const name = asked.name || asked.tags["mlflow.runName"] || makeName();
  const sorted = sortTags({}, asked.tags);
  const parentId = asked.tags["mlflow.parentRunId"];
  const parent = parentId === undefined ? null : taskOfRun(parentId);
  const fields = {
    task_name: cutText(name.trim() || makeName(), 0, runFields.task_name.longest),
    experiment_group: groupOf(group),
    notes: asked.tags["mlflow.note.content"] ?? null,
    git_commit: sorted.columns.gitCommit ?? null,
    ...(Object.keys(sorted.inRun).length > 0 && { tags: sorted.inRun }),
    parent_task_id: parent,
    config_snapshot: {},
  };
  const text = JSON.stringify(fields);
  const { task } = await registerTask(c.var, await readRegistration(fields, text), undefined);
  const kept = Object.entries(sorted.inRecord).filter(([, value]) => value !== null);
  await chain(db, {
    made: makeRecord(
      db,
      task.id,
      {
        alone: true,
        record: {
          settings: 1,
          ...record,
          ...(kept.length > 0 && { tags: Object.fromEntries(kept) as Record<string, string> }),
        },
      },
      and(eq(trainingTask.id, task.id), reportable(auth)),
    ),
  });
  await report(c, startReport(task.id));
  return task.id;
}

/**
 * Takes over the run that the key was handed down for: its trainer logs here too. A run within that run, as
 * its tag names the parent, is one of its own. Null where there is none to take over.
 */
async function adopt(
  c: Context<App>,
  asked: NewRun,
  group: string | null,
  record: MlflowRecord,
): Promise<number | null> {
  const { db, joins } = c.var;
  if (joins === undefined || asked.tags["mlflow.parentRunId"] !== undefined) return null;
  const run = await readHeld(c, runIdOf(joins));
  const where = and(eq(trainingTask.id, joins), reportable(c.var.auth));
  // The run's own settings stay; where it has none, they are what MLflow's client logs.
  await chain(db, {
    settings: db.run(sql`
      insert into task_config (task_id, format, sha256, snapshot, original)
      select id, 'json', '', '{}', x'' from training_task where ${where} on conflict do nothing`),
    made: makeRecord(
      db,
      joins,
      { alone: false, record: { ...record, ...(run.snapshot === null && { settings: 1 }) } },
      where,
    ),
    grouped:
      group !== null &&
      editRuns(db, and(where, sql`experiment_group is null`), { experimentGroup: group }),
  });
  const { "mlflow.runName": _, ...tags } = asked.tags;
  if (Object.keys(tags).length > 0)
    await writeChange(c, await readHeld(c, runIdOf(joins)), { tags });
  if (run.status !== "success") await report(c, startReport(joins));
  return joins;
}
