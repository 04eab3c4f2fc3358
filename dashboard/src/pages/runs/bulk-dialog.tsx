import { useEffect, useRef, useState } from "preact/hooks";
import { whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { Dialog } from "../../ui/dialog.tsx";
import { Meter } from "../../ui/figure.tsx";
import { TextField } from "../../ui/form.tsx";
import { Trouble } from "../../ui/loading.tsx";
import {
  type BulkAction,
  type Change,
  type Job,
  jobsOf,
  MOST_RUNS_AT_ONCE,
  noSum,
  plan,
  readTargets,
  replacedField,
  type Skipped,
  type Sum,
  type Target,
  undoOf,
  work,
} from "./bulk.ts";
import type { Asked } from "./queries.ts";

const texts: Record<
  BulkAction,
  { title: Text; button: Text; would: Text; did: Text; note?: Text }
> = {
  tag: {
    title: "Tag runs",
    button: "Tag {n} runs",
    would: "{n} of {all} runs get the tag.",
    did: "{n} of {all} runs have the tag.",
  },
  group: {
    title: "Move runs to a group",
    button: "Move {n} runs",
    would: "{n} of {all} runs move to the group.",
    did: "{n} of {all} runs are in the group.",
  },
  queue: {
    title: "Queue runs",
    button: "Queue {n} runs",
    would: "{n} of {all} runs join the queue.",
    did: "{n} of {all} runs are in the queue.",
    note: "A queued run waits for a box. Cancel takes it out of the queue again.",
  },
  cancel: {
    title: "Cancel runs",
    button: "Cancel {n} runs",
    would: "{n} of {all} runs are cancelled.",
    did: "{n} of {all} runs were cancelled.",
    note: "A running run stops with its next report. This cannot be undone; queue the runs to start them again.",
  },
  delete: {
    title: "Delete runs",
    button: "Delete {n} runs",
    would: "{n} of {all} runs move to the trash.",
    did: "{n} of {all} runs are in the trash.",
    note: "Runs in the trash can be restored until the trash is purged.",
  },
  restore: {
    title: "Restore runs",
    button: "Restore {n} runs",
    would: "{n} of {all} runs leave the trash.",
    did: "{n} of {all} runs are restored.",
  },
};

const reasons: Record<string, Text> = {
  "not-yours": "{n} belong to someone else",
  same: "{n} are so already",
  running: "{n} are running",
  ended: "{n} have ended",
  succeeded: "{n} have ended in success",
  full: "{n} have an owner without room in the database",
  "too-many-tags": "{n} have too many tags",
  meanwhile: "{n} were changed by someone else at that moment",
};

const Left = ({ skipped }: { skipped: Skipped }) =>
  skipped.length === 0 ? null : (
    <>
      <p class="muted">{t("These stay as they are:")}</p>
      <ul class="bulk-left">
        {skipped.map(({ reason, count }) => {
          const text = reasons[reason];
          return (
            <li key={reason}>{text ? t(text, { n: whole(count) }) : `${reason}: ${count}`}</li>
          );
        })}
      </ul>
    </>
  );

/** Asks what is to be done to some runs, shows what that would change, does it, and offers to undo it. */
export function BulkDialog(props: {
  action: BulkAction;
  asked: Asked;
  /** The chosen runs; null: all that `asked` chooses. */
  ids: number[] | null;
  /** Groups to choose from. */
  groups: string[];
  close: () => void;
  /** Called after runs have changed. */
  changed: () => void;
}) {
  const { action, asked, ids, close, changed } = props;
  const [change, setChange] = useState<Change | null>(
    action === "tag" || action === "group" ? null : { action },
  );
  const title = t(texts[action].title);
  return (
    <Dialog title={title} close={close}>
      {change ? (
        <Planned
          {...{ action, asked, ids, change, close, changed }}
          back={action === "tag" || action === "group" ? () => setChange(null) : close}
        />
      ) : (
        <Wanted action={action} groups={props.groups} choose={setChange} close={close} />
      )}
    </Dialog>
  );
}

/** The tag, or the group, that runs are to have. */
function Wanted(props: {
  action: BulkAction;
  groups: string[];
  choose: (change: Change) => void;
  close: () => void;
}) {
  const { action, choose } = props;
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const tagged = name.trim() !== "";
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        choose(
          action === "tag"
            ? { action: "tag", tags: { [name.trim()]: value.trim() } }
            : { action: "group", group: value.trim() || null },
        );
      }}
    >
      {action === "tag" ? (
        <>
          <TextField label={t("Tag")} value={name} change={setName} required maxLength={100} />
          <TextField label={t("Value")} value={value} change={setValue} maxLength={1000} />
        </>
      ) : (
        <label class="labelled">
          {t("Group")}
          <input
            class="field"
            list="bulk-groups"
            maxLength={300}
            value={value}
            placeholder={t("Without a group")}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
          <datalist id="bulk-groups">
            {props.groups.map((group) => (
              <option key={group} value={group} />
            ))}
          </datalist>
        </label>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={props.close}>
          {t("Back")}
        </button>
        <button type="submit" class="button primary" disabled={action === "tag" && !tagged}>
          {t("Next")}
        </button>
      </div>
    </form>
  );
}

type State =
  | { is: "planning" }
  | { is: "too many" }
  | { is: "planned"; sum: Sum; targets: Target[] }
  | { is: "working" | "stopped"; jobs: Job[]; done: number; sum: Sum; undoing: boolean }
  | { is: "done"; sum: Sum; undoing: boolean };

function Planned(props: {
  action: BulkAction;
  asked: Asked;
  ids: number[] | null;
  change: Change;
  back: () => void;
  close: () => void;
  changed: () => void;
}) {
  const { action, change, changed } = props;
  const [state, setState] = useState<State>({ is: "planning" });
  const [error, setError] = useState<unknown>(null);
  const targets = useRef<Target[]>([]);
  const stop = useRef(false);
  /** Runs that the first `done` jobs were about. */
  const reached = useRef(0);
  const text = texts[action];

  const prepare = async () => {
    setError(null);
    try {
      const found = await readTargets(props.asked, props.ids, replacedField(change));
      if (!found) return setState({ is: "too many" });
      targets.current = found;
      const ids = found.map(({ id }) => id);
      setState({ is: "planned", sum: await plan(change, ids), targets: found });
    } catch (thrown) {
      setError(thrown);
    }
  };
  useEffect(() => {
    void prepare();
    // A dialog that is closed changes nothing more.
    return () => {
      stop.current = true;
    };
  }, []);

  const go = async (jobs: Job[], undoing: boolean, done = 0, before = noSum) => {
    setError(null);
    stop.current = false;
    let last = { done, sum: before };
    setState({ is: "working", jobs, undoing, ...last });
    try {
      await work(
        jobs,
        (sum, n) => {
          last = { done: n, sum };
          if (!undoing)
            reached.current = jobs.slice(0, n).reduce((all, job) => all + job.ids.length, 0);
          if (!stop.current) setState({ is: "working", jobs, undoing, ...last });
        },
        { from: done, sum: before, stopped: () => stop.current },
      );
    } catch (thrown) {
      setError(thrown);
    }
    if (last.done > 0) changed();
    setState(
      last.done < jobs.length
        ? { is: "stopped", jobs, undoing, ...last }
        : { is: "done", undoing, sum: last.sum },
    );
  };
  const undo = undoOf(change, targets.current.slice(0, reached.current));

  return (
    <div class="stack" aria-live="polite">
      {state.is === "planning" && !error && <p class="muted">{t("Looking what would change…")}</p>}
      {state.is === "too many" && (
        <p>
          {t("More than {n} runs match: narrow the filter, or do it in parts.", {
            n: whole(MOST_RUNS_AT_ONCE),
          })}
        </p>
      )}
      {state.is === "planned" && (
        <>
          <p>
            <b>
              {t(text.would, { n: whole(state.sum.changed), all: whole(state.targets.length) })}
            </b>
          </p>
          <Left skipped={state.sum.skipped} />
          {text.note && state.sum.changed > 0 && <p class="muted">{t(text.note)}</p>}
        </>
      )}
      {(state.is === "working" || state.is === "stopped") && (
        <>
          <Meter
            share={state.done / Math.max(1, state.jobs.length)}
            kind={state.is === "working" ? "running" : "failed"}
            label={t("Progress")}
          />
          <p>
            {t(
              state.undoing
                ? "{n} runs are as before; {done} of {all} parts are done."
                : "{n} runs have changed; {done} of {all} parts are done.",
              {
                n: whole(state.sum.changed),
                done: whole(state.done),
                all: whole(state.jobs.length),
              },
            )}
          </p>
        </>
      )}
      {state.is === "done" && (
        <>
          <p>
            <b>
              {state.undoing
                ? t("{n} runs are as before.", { n: whole(state.sum.changed) })
                : t(text.did, { n: whole(state.sum.changed), all: whole(state.sum.matched) })}
            </b>
          </p>
          {!state.undoing && <Left skipped={state.sum.skipped} />}
        </>
      )}
      {error !== null && <Trouble error={error} />}
      <div class="actions">
        {state.is === "working" ? (
          <button
            type="button"
            class="button"
            onClick={() => {
              stop.current = true;
            }}
          >
            {t("Stop here")}
          </button>
        ) : (
          <>
            {undo && reached.current > 0 && !("undoing" in state && state.undoing) && (
              <button type="button" class="button" onClick={() => void go(undo, true)}>
                {t("Undo")}
              </button>
            )}
            <button
              type="button"
              class="button"
              onClick={state.is === "planned" || state.is === "planning" ? props.back : props.close}
            >
              {state.is === "planned" || state.is === "planning" ? t("Back") : t("Close")}
            </button>
            {state.is === "planned" && (
              <button
                type="button"
                class={`button ${action === "delete" || action === "cancel" ? "danger" : "primary"}`}
                disabled={state.sum.changed === 0}
                onClick={() => void go(jobsOf(change, state.targets), false)}
              >
                {t(text.button, { n: whole(state.sum.changed) })}
              </button>
            )}
            {state.is === "stopped" && (
              <button
                type="button"
                class="button primary"
                onClick={() => void go(state.jobs, state.undoing, state.done, state.sum)}
              >
                {t("Go on")}
              </button>
            )}
            {state.is === "planning" && error !== null && (
              <button type="button" class="button primary" onClick={() => void prepare()}>
                {t("Try again")}
              </button>
            )}
          </>
        )}
      </div>
    </div>
  );
}
