/** What `npm run bench` measures: each route as programs use it, with the contract's budget. */
import { type Rows as Making, routeTable } from "../../test/route-table.ts";

/** Round trips, rows read and rows written, as the database counts them. */
export type Rows = { trips: number; read: number; written: number };

/** What the measured ledger holds, for paths and bodies. */
export type Held = {
  /** A running task of the measuring key, and the one with a million points. */
  running: number;
  long: number;
  /** A task that ended. */
  ended: number;
  user: string;
  /** A number never given before. */
  next(): number;
  /** Registers a task and gives its id, unmeasured. */
  task(): Promise<number>;
  /** Makes rows of the measuring key's, or of somebody else's, as the table of rights does. */
  rows(whose: "own" | "others"): Making;
};

export type Asked = RequestInit & { path: string; json?: unknown };

export type Measured = {
  name: string;
  method?: string;
  /** The route as the app declares it, so that no route is forgotten. */
  route: string;
  path?: (held: Held) => string | Promise<string>;
  body?: (held: Held) => unknown;
  /** The whole request, in place of `path` and `body`. */
  ask?: (held: Held) => Promise<Asked>;
  /** At most, at each size. */
  budget?: Rows;
  /** Calls measured; default 40. */
  times?: number;
};

const rows = (trips: number, read: number, written: number): Rows => ({ trips, read, written });
const query = (path: string, values: Record<string, string | number>) =>
  `${path}?${new URLSearchParams(Object.entries(values).map(([k, v]) => [k, String(v)]))}`;

const toml =
  'network_module = "networks.lora"\nnetwork_dim = 8\npretrained_model_name_or_path = "m"\n';

const steps = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({
    step: from + i,
    epoch: 1,
    time: "2026-05-01T10:00:00Z",
    metrics: { loss: 1 / (from + i), "loss/average": 0.5, lr: 1e-4, "gpu.0.util": 97 },
  }));

export const routes: Measured[] = [
  {
    name: "register",
    method: "POST",
    route: "/api/tasks",
    body: () => ({ task_name: "measured", tags: { a: "b" }, config: { text: toml } }),
    budget: rows(1, 10, 20),
  },
  {
    name: "heartbeat, 60 steps",
    method: "POST",
    route: "/api/tasks/:id/heartbeat",
    path: (held) => `/api/tasks/${held.running}/heartbeat`,
    body: (held) => {
      const seq = held.next();
      return { attempt: 1, seq, progress: { step: seq * 60 }, logs: steps(seq * 60, 60) };
    },
    budget: rows(1, 10, 5),
  },
  {
    name: "finish",
    method: "POST",
    route: "/api/tasks/:id/finish",
    path: async (held) => `/api/tasks/${await held.task()}/finish`,
    body: () => ({ attempt: 1, status: "success" }),
    budget: rows(2, 200, 60),
  },
  { name: "list 50, newest first", route: "/api/tasks", budget: rows(1, 160, 0) },
  {
    name: "list 50, by status",
    route: "/api/tasks",
    path: () => "/api/tasks?status=success",
    budget: rows(1, 160, 0),
  },
  {
    name: "list 50, by user",
    route: "/api/tasks",
    path: (held) => query("/api/tasks", { user: held.user }),
    budget: rows(1, 160, 0),
  },
  {
    name: "list 50, lora_rank = 64 and final_loss < 0.3",
    route: "/api/tasks",
    path: () => query("/api/tasks", { filter: "lora_rank = 64 and final_loss < 0.3" }),
  },
  {
    name: "list 50, a filter that nothing matches",
    route: "/api/tasks",
    path: () => query("/api/tasks", { filter: "lora_rank = 7" }),
    budget: rows(2, 200_010, 0),
    times: 10,
  },
  {
    name: "list 50, words",
    route: "/api/tasks",
    path: () => query("/api/tasks", { q: "group 7" }),
    // Where fewer than a page are found, it asks once more whether that is all.
    budget: rows(2, 400, 0),
  },
  {
    name: "list 50, by final_loss",
    route: "/api/tasks",
    path: () => query("/api/tasks", { order_by: "final_loss" }),
    budget: rows(1, 260, 0),
  },
  {
    name: "list 50, by lora_rank (no index)",
    route: "/api/tasks",
    path: () => query("/api/tasks", { order_by: "lora_rank" }),
    times: 3,
  },
  {
    name: "convergence and loss by batch size",
    route: "/api/stats/tasks",
    path: () =>
      query("/api/stats/tasks", {
        group_by: "batch_size",
        select: "count,avg(convergence_step),avg(final_loss)",
      }),
    times: 10,
  },
  {
    name: "count by status",
    route: "/api/stats/tasks",
    path: () => query("/api/stats/tasks", { group_by: "status" }),
    times: 10,
  },
  { name: "the best 20", route: "/api/leaderboard", budget: rows(1, 160, 0) },
  {
    name: "influence on final_loss",
    route: "/api/stats/influence",
    budget: rows(1, 10_000, 0),
    times: 10,
  },
  {
    name: "compare 3",
    route: "/api/tasks/compare",
    path: ({ ended }) => query("/api/tasks/compare", { ids: [ended, ended - 1, ended - 2].join() }),
    times: 10,
  },
  {
    name: "one task",
    route: "/api/tasks/:id",
    path: (held) => `/api/tasks/${held.ended}`,
    budget: rows(1, 10, 0),
  },
  {
    name: "its curve",
    route: "/api/tasks/:id/logs",
    path: (held) => `/api/tasks/${held.ended}/logs`,
    budget: rows(1, 2100, 0),
  },
  {
    name: "1,000 points of 1,000,000",
    route: "/api/tasks/:id/logs",
    path: (held) => `/api/tasks/${held.long}/logs`,
    budget: rows(1, 2100, 0),
  },
];

/** The routes that have no line of their own above, asked as the table of rights asks them. */
export const otherRoutes: Measured[] = Object.entries(routeTable)
  .filter(([name]) => !routes.some((r) => name === `${r.method ?? "GET"} ${r.route}`))
  .map(([name, rights]) => {
    const [method, route = ""] = name.split(" ");
    return {
      name,
      route,
      times: 12,
      // What the whole ledger does not grow, whatever the contract says nothing of.
      budget: rows(6, 3_000, 600),
      ask: async (held) => {
        const whose = rights.reach === "others" ? "others" : "own";
        const { shows: _, ...sent } = await rights.ask(held.rows(whose));
        return { ...sent, method };
      },
    };
  });
