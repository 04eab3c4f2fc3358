import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { api, expectSuccess, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { keys, useRefresh } from "../../queries.ts";
import type { Task } from "../../types.ts";
import { Ask } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/form.tsx";
import { toast } from "../../ui/toast.tsx";
import { splitLabels } from "../board/text.ts";
import { useChange } from "./edit.ts";

type Asked = { task: Task; close: () => void };

/** Whether the queue gave a run to its box, or will: a retry then leads it there again. */
export const wasQueued = (task: Task) => task.priority !== null;

/** Gives a run another name. */
export function Rename({ task, close }: Asked) {
  const change = useChange(task);
  const [begun] = useState(task.task_name);
  const [name, setName] = useState(begun);
  return (
    <Ask
      title={t("Rename")}
      submit={t("Save")}
      ready={name.trim() !== ""}
      close={close}
      send={async () => {
        await change({ task_name: name.trim() });
        toast(t("Changed"));
        close();
      }}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={300} />
      {task.task_name !== begun && (
        <p class="muted">
          {t("Meanwhile it says:")} {task.task_name}
        </p>
      )}
    </Ask>
  );
}

/** Moves a run to another group, or out of its group. */
export function MoveToGroup({ task, close }: Asked) {
  const change = useChange(task);
  const [group, setGroup] = useState(task.experiment_group ?? "");
  return (
    <Ask
      title={t("Move to a group")}
      submit={t("Move")}
      close={close}
      send={async () => {
        await change({ experiment_group: group.trim() || null });
        toast(t("Changed"));
        close();
      }}
    >
      <TextField label={t("Group")} value={group} change={setGroup} maxLength={200} />
      <p class="muted">{t("An empty field takes the run out of its group.")}</p>
    </Ask>
  );
}

/** Puts a run into the queue that no queue had before, with what its box must have. */
export function QueueIt({ task, close }: Asked) {
  const refresh = useRefresh();
  const [labels, setLabels] = useState("");
  const [memory, setMemory] = useState("0");
  const [priority, setPriority] = useState("0");
  const [tries, setTries] = useState("3");
  return (
    <Ask
      title={t("Put the run into the queue")}
      submit={t("Queue it")}
      close={close}
      send={async () => {
        const json = {
          labels: splitLabels(labels),
          min_gpu_memory_gb: Number(memory),
          priority: Number(priority),
          max_attempts: Number(tries),
        };
        await read(api.tasks[":id"].requeue.$post({ param: { id: String(task.id) }, json }));
        await refresh(keys.task(task.id));
        toast(t("The run waits for a box"));
        close();
      }}
    >
      <p class="muted">
        {t("The next free box that has what the run asks for begins it, as its next attempt.")}
      </p>
      {task.config_snapshot === null && (
        <p class="note warn">
          {t("The run has no configuration file: a box begins it by its own command alone.")}
        </p>
      )}
      <TextField
        label={t("Required labels, separated by commas")}
        value={labels}
        change={setLabels}
      />
      <TextField
        label={t("Minimum GPU memory in GB")}
        type="number"
        min={0}
        max={10_000}
        required
        value={memory}
        change={setMemory}
      />
      <TextField
        label={t("Priority")}
        type="number"
        step={1}
        required
        value={priority}
        change={setPriority}
      />
      <TextField
        label={t("Tries")}
        type="number"
        min={1}
        max={100}
        required
        value={tries}
        change={setTries}
      />
    </Ask>
  );
}

/** Asks before a run is cancelled. */
export function Cancel({ task, close }: Asked) {
  const refresh = useRefresh();
  return (
    <Ask
      title={t("Cancel this run?")}
      submit={t("Cancel run")}
      close={close}
      send={async () => {
        await read(api.tasks[":id"].cancel.$post({ param: { id: String(task.id) } }));
        await refresh(keys.task(task.id));
        toast(t("The run was asked to stop"));
        close();
      }}
    >
      <p class="muted">
        {task.status === "running"
          ? t("The box stops the trainer at its next report. Recorded data stay.")
          : t("The run has not started and never will.")}
      </p>
    </Ask>
  );
}

/** Asks before a run is put into the trash. */
export function Delete({ task, close }: Asked) {
  const [, go] = useLocation();
  return (
    <Ask
      title={t("Delete this run?")}
      submit={t("Delete")}
      close={close}
      send={async () => {
        await expectSuccess(api.tasks[":id"].$delete({ param: { id: String(task.id) } }));
        toast(t("In the trash"));
        go("/runs");
      }}
    >
      <p class="muted">{t("The run moves to the trash, where it can be restored.")}</p>
    </Ask>
  );
}
