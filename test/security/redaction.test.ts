import { expect, it } from "vitest";
import { freshLedger, unique } from "../harness.ts";
import lists from "./secrets.json";

/** A text with a secret, or one that looks as if it had one; `secret` is the part that must vanish. */
type Entry = {
  channel: string;
  text?: string;
  argv?: string[];
  name?: string;
  format?: string;
  secret?: string;
};
type Ledger = Awaited<ReturnType<typeof freshLedger>>;

const textOf = ({ text = "" }: Entry) => text;

/** Sends an entry where its channel goes, and what the ledger gives back of it. */
async function roundTrip(ledger: Ledger, key: string, entry: Entry): Promise<string[]> {
  const ask = async (path: string, json?: unknown, method?: string) => {
    const init = { key, ...(json !== undefined && { json }), ...(method && { method }) };
    const answer = await ledger.request(path, init);
    const text = await answer.text();
    expect(answer.status, `${path}: ${text}`).toBeLessThan(300);
    return JSON.parse(text);
  };
  const register = async (body: object) => (await ask("/api/tasks", body)).task_id as number;
  const { text = "", argv, name = "", format } = entry;
  const begin = async (body: object = {}) => {
    const id = await register({ task_name: unique("run "), ...body });
    await ask(`/api/tasks/${id}/attempts`, {});
    return id;
  };

  if (argv) {
    const id = await register({ task_name: "by command", command: argv });
    const patched = await begin();
    await ask(`/api/tasks/${patched}`, { command: argv }, "PATCH");
    return Promise.all(
      [id, patched].map(async (task) => JSON.stringify((await ask(`/api/tasks/${task}`)).command)),
    );
  }
  switch (entry.channel) {
    case "config": {
      const id = await register({ config: { text, format } });
      const file = await ledger.request(`/api/tasks/${id}/config`, { key });
      return [new TextDecoder().decode(await file.arrayBuffer())];
    }
    case "log": {
      const id = await begin();
      await ask(`/api/tasks/${id}/heartbeat`, { seq: 1, logs: [], tail: text });
      const past = await register({
        task_name: "past",
        import: {
          source: unique("past-"),
          attempts: [
            { attempt: 1, status: "failed", started_at: "2031-01-01T00:00:00Z", tail: text },
          ],
        },
      });
      const tails = await Promise.all([id, past].map((task) => ask(`/api/tasks/${task}`)));
      return tails.map(({ attempts }) => attempts[0].tail);
    }
    case "error": {
      const id = await begin();
      await ask(`/api/tasks/${id}/finish`, { status: "failed", error_message: text });
      const past = await register({
        task_name: "past",
        import: { source: unique("past-"), status: "failed", error_message: text },
      });
      const found = await Promise.all([id, past].map((task) => ask(`/api/tasks/${task}`)));
      return found.map(({ error_message }) => error_message);
    }
    case "metadata": {
      // As node_info, as a snapshot, and under a name that no column has.
      const id = await register({
        task_name: "with facts",
        node_info: { [name]: text },
        config_snapshot: { [name]: text },
        more: { [name]: text },
      });
      const task = await ask(`/api/tasks/${id}`);
      return [task.node_info, task.config_snapshot, task.additional_args.more].map(
        (facts) => Object.values(facts)[0] as string,
      );
    }
    case "tag": {
      const id = await register({ task_name: "tagged", tags: { [name]: text } });
      const other = await register({ task_name: "tagged later" });
      await ask("/api/tasks/bulk", { action: "tag", ids: [other], tags: { [name]: text } });
      const found = await Promise.all([id, other].map((task) => ask(`/api/tasks/${task}`)));
      return found.map(({ tags }) => tags[name]);
    }
    case "notes": {
      const id = await register({ task_name: "noted", notes: text });
      const other = await register({ task_name: "noted later" });
      await ask(`/api/tasks/${other}`, { notes: text }, "PATCH");
      const found = await Promise.all([id, other].map((task) => ask(`/api/tasks/${task}`)));
      return found.map(({ notes }) => notes);
    }
    case "source_path": {
      const datasets = [{ name: "aki", source_path: text }];
      const id = await register({ task_name: "with data", datasets });
      const other = await begin();
      await ask(`/api/tasks/${other}/datasets`, { datasets }, "PUT");
      const found = await Promise.all(
        [id, other].map((task) => ask(`/api/tasks/${task}/datasets`)),
      );
      return found.map((answer) => answer.datasets[0].source_path);
    }
    case "filename":
    case "prompt": {
      const id = await begin();
      const { weight_id } = await ask(`/api/tasks/${id}/weights`, {
        filename: entry.channel === "filename" ? text : "sample.png",
        prompt: entry.channel === "prompt" ? text : undefined,
        size: 1,
        sha256: "ab".repeat(32),
        kind: "sample",
      });
      const found = await ask(`/api/weights/${weight_id}`);
      return [found[entry.channel]];
    }
    case "progress": {
      const id = await begin();
      await ask(`/api/tasks/${id}/heartbeat`, { seq: 1, progress: { message: text } });
      return [(await ask(`/api/tasks/${id}`)).progress.message];
    }
    case "agent": {
      const id = await register({ config: { text: "lr = 1\n" }, queue: {} });
      const claimed = await ask("/api/queue/claim", { agent: text, labels: [] });
      expect(claimed.task?.id).toBe(id);
      return [(await ask(`/api/tasks/${id}`)).agent];
    }
    default: {
      // A column of the task by the channel's name.
      const id = await register({ task_name: "by column", [entry.channel]: text });
      const other = await register({ task_name: "by column later" });
      await ask(`/api/tasks/${other}`, { [entry.channel]: text }, "PATCH");
      const found = await Promise.all([id, other].map((task) => ask(`/api/tasks/${task}`)));
      return found.map((task) => task[entry.channel]);
    }
  }
}

it("replaces 95 of 100 secrets, and touches 1 % of what looks like one at most", async () => {
  const ledger = await freshLedger();
  const { key } = await ledger.key({ role: "admin" });
  const missed: string[] = [];
  const touched: string[] = [];
  for (const entry of lists.secrets as Entry[]) {
    const kept = (await roundTrip(ledger, key, entry)).join("\n");
    const secret = entry.secret ?? "";
    if (kept.includes(secret) || kept.includes(JSON.stringify(secret).slice(1, -1)))
      missed.push(`${entry.channel}: ${entry.argv ?? entry.text} → ${kept}`);
  }
  for (const entry of lists.lookalikes as Entry[]) {
    const before = entry.argv ? JSON.stringify(entry.argv) : textOf(entry);
    const kept = await roundTrip(ledger, key, entry);
    const changed = kept.find((text) => text !== before);
    if (changed !== undefined) touched.push(`${entry.channel}: ${before} → ${changed}`);
  }
  const [secrets, others] = [lists.secrets.length, lists.lookalikes.length];
  console.info(
    `service: redacted ${secrets - missed.length} of ${secrets}; touched ${touched.length} of ${others}`,
  );
  expect([secrets, others]).toEqual([100, 200]);
  expect(missed.length, missed.join("\n")).toBeLessThanOrEqual(secrets * 0.05);
  expect(touched.length, touched.join("\n")).toBeLessThanOrEqual(others * 0.01);
}, 300_000);

const token = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789";
const safe = "hub [redacted]";
const said = `hub ${token}`;

it("redacts every other text that a client may send, and says where", async () => {
  const ledger = await freshLedger();
  const { key } = await ledger.key({ role: "admin" });
  const send = async (path: string, json: unknown, method = "POST") => {
    const answer = await ledger.request(path, { key, json, method });
    expect(answer.status, `${path}: ${await answer.clone().text()}`).toBeLessThan(300);
    return answer;
  };
  const cases: [path: string, body: object, where: string, method?: string][] = [
    ["/api/views", { name: said, query: "status=failed" }, "name"],
    ["/api/keys", { name: said }, "name"],
    ["/api/users", { name: said }, "name"],
    ["/api/boxes/enrol", { name: said }, "name"],
    ["/api/models", { name: unique("m"), description: said }, "description"],
  ];
  for (const [path, body, where, method] of cases) {
    const answer = await send(path, body, method);
    expect(answer.headers.get("X-Redacted"), path).toBe(where);
    expect(await answer.text(), path).not.toContain(token);
  }
  const made = await send("/api/tasks", {
    ...{ task_name: said, experiment_group: said, log_dir: said, gpu_info: said, git_commit: said },
    ...{ tags: { [said]: "x" }, unknown: { deep: [said] }, queue: { labels: [token] } },
    config: { text: "lr = 1\n", path: `/x/${token}.toml` },
  });
  const { task, warnings } = await made.json<{ task: object; warnings: { path: string }[] }>();
  expect(JSON.stringify(task)).not.toContain(token);
  expect(task).toMatchObject({ task_name: safe, experiment_group: safe, log_dir: safe });
  const places = warnings.map(({ path }) => path);
  expect(places).toEqual(
    expect.arrayContaining(["task_name", "additional_args.unknown.deep[0]", "config.path"]),
  );
  const dump = await ledger.db.all(
    "select task_name, tags, labels, additional_args from training_task" as never,
  );
  expect(JSON.stringify(dump)).not.toContain(token);
});

it("takes no secret as the name of a model, where everybody would see it", async () => {
  const ledger = await freshLedger();
  const { key } = await ledger.key();
  const answer = await ledger.request("/api/models", { key, json: { name: token } });
  expect(answer.status).toBe(422);
  expect(await answer.text()).toContain("looks like a secret");
});

it("leaves the secrets that the service needs as they are", async () => {
  const ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true" });
  const { key } = await ledger.key({ role: "admin" });
  const signed = await ledger.request("/session", { json: { key } });
  expect(signed.status, await signed.clone().text()).toBeLessThan(300);
  const url = `https://hooks.example.com/services/x?token=${token}`;
  const hook = await ledger.request("/api/webhooks", { key, json: { name: "chat", url } });
  expect(hook.headers.get("X-Redacted")).toBeNull();
  const [row] = await ledger.db.all<{ url: string }>("select url from webhook" as never);
  expect(row?.url).toBe(url);
  const enrolled = await ledger.request("/api/boxes/enrol", { key, json: {} });
  const { token: once } = await enrolled.json<{ token: string }>();
  const box = await ledger.request("/api/boxes/exchange", { json: { token: once } });
  expect(box.status).toBeLessThan(300);
});

it("keeps tags of captions that are called as secrets are", async () => {
  const ledger = await freshLedger();
  const { key } = await ledger.key();
  const counts = { password: 12345, "secret key": 4, token: 100_000 };
  const datasets = [{ name: "aki", tag_distribution: counts }];
  const answer = await ledger.request("/api/tasks", { key, json: { task_name: "a", datasets } });
  const { task_id } = await answer.json<{ task_id: number }>();
  const found = await ledger.request(`/api/tasks/${task_id}/datasets`, { key });
  const { datasets: kept } = await found.json<{ datasets: { tag_distribution: object }[] }>();
  expect(kept[0]?.tag_distribution).toEqual(counts);
});
