import { api, Problem, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { keys, useRefresh } from "../../queries.ts";
import type { Task } from "../../types.ts";
import { attempt } from "../../ui/toast.tsx";

export type TaskChange = {
  notes?: string;
  tags?: Record<string, string>;
  task_name?: string;
  experiment_group?: string | null;
};

/**
 * Gives a function that changes the task which its reader saw. Where someone else was first, it reads the
 * task again and throws: a draft stays until it is saved.
 */
export function useChange(task: Task) {
  const refresh = useRefresh();
  return async (json: TaskChange) => {
    try {
      await read(
        api.tasks[":id"].$patch(
          { param: { id: String(task.id) }, json },
          { headers: { "If-Match": `"${task.version}"` } },
        ),
      );
    } catch (error) {
      if (!(error instanceof Problem && error.status === 412)) throw error;
      await refresh(keys.task(task.id));
      throw new Error(
        error.by
          ? t("{name} changed this run meanwhile. Look at it again, then repeat your change.", {
              name: error.by,
            })
          : t(
              "Someone else changed this run meanwhile. Look at it again, then repeat your change.",
            ),
      );
    }
    await refresh(keys.task(task.id));
  };
}

/** Like useChange(), with the error shown; resolves to whether the change was saved. */
export function useEdit(task: Task) {
  const change = useChange(task);
  return (json: TaskChange) => attempt(() => change(json));
}
