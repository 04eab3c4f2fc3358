// Alerts on the whole stack: real receivers, local Cloudflare Queues with their retries and dead
// letters, and the scheduled job alone where there is no queue.
import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../scripts/local/database.ts";
import { runScheduled } from "../scripts/local/worker.ts";
import { recordEvent } from "../src/platform/events.ts";
import { type Answer, answering, type Got, startReceiver as listen } from "./receiver.ts";
import { eventually, type Stack, startStack } from "./stack.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function startReceiver(answer?: Answer, port?: number) {
  const receiver = await listen(answer, port);
  closing.push(receiver.close);
  return receiver;
}

let names = 0;
const unique = (prefix: string) => `${prefix} ${process.pid} ${++names}`;

/** What a test does with a stack. */
function actions(stack: Stack) {
  const send = async (method: string, path: string, json?: unknown) => {
    const response = await fetch(`${stack.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
      body: json === undefined ? undefined : JSON.stringify(json),
    });
    return { status: response.status, text: await response.text() };
  };
  return {
    async webhook(fields: object) {
      const made = await stack.api("/api/webhooks", { name: "w", ...fields });
      closing.push(() => send("DELETE", `/api/webhooks/${made.id}`));
      return made;
    },
    async fail(fields: object = {}, end: object = {}): Promise<number> {
      const { task_id } = await stack.api("/api/tasks", { task_name: "a run", ...fields });
      await stack.api(`/api/tasks/${task_id}/finish`, {
        status: "failed",
        error_message: "CUDA out of memory",
        failure_reason: "oom",
        ...end,
      });
      return task_id;
    },
    deliveries: async (webhook: number) =>
      (await stack.api(`/api/deliveries?webhook=${webhook}`)).items,
    send,
    async inDatabase<T>(work: (db: ReturnType<typeof openDatabase>) => Promise<T>): Promise<T> {
      const db = openDatabase({ url: stack.databaseUrl() });
      try {
        return await work(db);
      } finally {
        db.$client.close();
      }
    },
  };
}

const hmac = (key: string | Buffer, text: string) =>
  createHmac("sha256", key).update(text).digest("base64");

const settings = {
  ALLOW_INSIDE_WEBHOOKS: "true",
  ALERT_RETRY_SEC: "1",
  PUBLIC_URL: "https://ledger.example/",
};

describe("through the queue", () => {
  let stack: Stack;
  let act: ReturnType<typeof actions>;
  beforeAll(async () => {
    const queue = "lora-ledger-alerts";
    const consumer = { queue, max_batch_size: 5, max_batch_timeout: 0, max_retries: 3 };
    stack = await startStack(settings, {
      queues: {
        producers: [{ binding: "ALERTS", queue }],
        consumers: [
          { ...consumer, dead_letter_queue: `${queue}-dead` },
          { queue: `${queue}-dead`, max_batch_size: 100, max_batch_timeout: 0 },
        ],
      },
    });
    act = actions(stack);
  }, 120_000);
  afterAll(() => stack.stop());

  it("tells each service in its own format, signed its own way, users' text being text", async () => {
    const ok = JSON.stringify({ errcode: 0, code: 0, errmsg: "ok" });
    const receiver = await startReceiver(answering(200, ok));
    const experiment_group = unique("g");
    const groups = [experiment_group];
    const own = await act.webhook({ url: `${receiver.url}/generic`, groups });
    const secret = "SECsecret";
    for (const target of ["slack", "discord", "wecom"])
      await act.webhook({ url: `${receiver.url}/${target}?key=1`, target, groups });
    for (const target of ["feishu", "dingtalk"])
      await act.webhook({
        url: `${receiver.url}/${target}?access_token=1`,
        target,
        secret,
        groups,
      });
    const task_name =
      'x <!channel> @everyone **b** `c` <at user_id="all"></at> <@all> [l](http://l) & \u202e';
    const id = await act.fail({ task_name, experiment_group });
    await eventually("six messages", () => receiver.got.length >= 6);
    await sleep(500);
    expect(receiver.got).toHaveLength(6);
    const of = (target: string) => {
      const found = receiver.got.find(({ url }) => url.pathname === `/${target}`);
      if (!found) throw new Error(`nothing came to ${target}`);
      return found;
    };
    expect(new Set(receiver.got.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    const title = `Run failed: ${task_name.slice(0, -2)} (#${id})`;

    const generic = of("generic");
    const {
      "webhook-id": uid,
      "webhook-timestamp": timestamp,
      "webhook-signature": signature,
    } = generic.headers;
    const key = Buffer.from(own.secret.slice("whsec_".length), "base64");
    expect(signature).toBe(`v1,${hmac(key, `${uid}.${timestamp}.${generic.body}`)}`);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    expect(generic.json).toMatchObject({
      type: "failed",
      data: {
        event_id: uid,
        subject: "task",
        subject_id: id,
        attempt: 1,
        name: task_name,
        experiment_group,
        user: "admin",
        detail: { failure_reason: "oom", error_message: "CUDA out of memory" },
      },
    });

    const link = `https://ledger.example/runs/${id}`;
    expect(generic.json.data.link).toBe(link);
    const [block, more] = of("slack").json.blocks;
    expect(more.text).toEqual({ type: "mrkdwn", text: `<${link}|Open the run>` });
    expect(of("slack").json.text).not.toMatch(/<[!@]/);
    expect(block.text.type).toBe("plain_text");
    expect(block.text.text).not.toMatch(/[<>]/);
    expect(
      block.text.text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
    ).toContain(title);

    const discord = of("discord").json;
    expect(discord.allowed_mentions).toEqual({ parse: [] });
    expect(discord.content).toBeUndefined();
    expect(discord.embeds[0].url).toBe(link);
    expect(discord.embeds[0].title).toContain("\\*\\*b\\*\\* \\`c\\`");
    expect(discord.embeds[0].title).toContain("\\[l\\]\\(http\\://l\\)");
    expect(discord.embeds[0].description).toContain("Reason\\: oom");

    const feishu = of("feishu").json;
    expect(feishu.sign).toBe(hmac(`${feishu.timestamp}\n${secret}`, ""));
    expect(feishu.msg_type).toBe("post");
    expect(feishu.content.post.zh_cn.title).toBe(`LoRA Ledger: ${title}`);
    expect(feishu.content.post.zh_cn.content).toContainEqual([
      { tag: "text", text: "Error: CUDA out of memory" },
    ]);

    const dingtalk = of("dingtalk");
    const at = dingtalk.url.searchParams.get("timestamp");
    expect(dingtalk.url.searchParams.get("sign")).toBe(hmac(secret, `${at}\n${secret}`));
    expect(dingtalk.url.searchParams.get("access_token")).toBe("1");
    expect(Math.abs(Number(at) - Date.now())).toBeLessThan(60_000);
    expect(dingtalk.json).toMatchObject({ msgtype: "text", at: { isAtAll: false } });
    expect(dingtalk.json.text.content).toContain(title);

    const wecom = of("wecom").json;
    expect(wecom.msgtype).toBe("text");
    expect(wecom.text.content).not.toContain("<@");
    expect(wecom.text).not.toHaveProperty("mentioned_list");
  });

  it("tells one fact once, however often and by however many it is reported", async () => {
    const receiver = await startReceiver();
    const experiment_group = unique("g");
    await act.webhook({ url: receiver.url, groups: [experiment_group] });
    const { task_id } = await stack.api("/api/tasks", { task_name: "once", experiment_group });
    const end = () => stack.api(`/api/tasks/${task_id}/finish`, { status: "failed" });
    await Promise.all(Array.from({ length: 10 }, end));
    await end();
    await runScheduled(stack.url);
    await eventually("the message", () => receiver.got.length > 0);
    await sleep(1500);
    expect(receiver.got).toHaveLength(1);
  });

  it("goes on until a receiver answers, and says in words what was wrong", async () => {
    let broken = true;
    const receiver = await startReceiver((response) =>
      broken ? answering(500, "no")(response, receiver.got[0] as Got) : response.end("ok"),
    );
    const hook = await act.webhook({ url: receiver.url, kinds: ["failed"], groups: [unique("g")] });
    await act.fail({ experiment_group: hook.groups[0] });
    const waiting = await eventually("a failed try", async () =>
      (await act.deliveries(hook.id)).find((one: { error: string | null }) => one.error),
    );
    expect(waiting).toMatchObject({ status: 500, error: "was answered 500", kind: "failed" });
    broken = false;
    const [done] = await eventually("the delivery", async () => {
      const found = await act.deliveries(hook.id);
      return found[0].state === "delivered" && found;
    });
    expect(done).toMatchObject({ state: "delivered", status: 200, error: null });
    expect(done.attempts).toBe(receiver.got.length);
    const ids = new Set(receiver.got.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(1);
    const gaps = receiver.got.slice(1).map(({ at }, n) => at - (receiver.got[n]?.at ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThan(900);
  });

  it("a receiver that is gone gets each message once it is back", async () => {
    const first = await startReceiver();
    const { port, url } = first;
    await first.close();
    const experiment_group = unique("g");
    const hook = await act.webhook({ url, groups: [experiment_group] });
    const tasks = [await act.fail({ experiment_group }), await act.fail({ experiment_group })];
    await eventually("failed tries", async () => {
      const found = await act.deliveries(hook.id);
      return (
        found.length === 2 &&
        found.every((one: { error: string }) => one.error === "cannot be reached")
      );
    });
    const back = await startReceiver(undefined, port);
    await eventually("both messages", () => back.got.length >= 2);
    await eventually("the log", async () =>
      (await act.deliveries(hook.id)).every((one: { state: string }) => one.state === "delivered"),
    );
    expect(back.got.map(({ json }) => json.data.subject_id).sort()).toEqual(tasks.sort());
  });

  it("gives up after the queue's last retry; the dead letter is seen and can be sent again", async () => {
    let broken = true;
    const receiver = await startReceiver((response) => {
      response.writeHead(broken ? 404 : 200).end();
    });
    const experiment_group = unique("g");
    const hook = await act.webhook({ url: receiver.url, groups: [experiment_group] });
    await act.fail({ experiment_group });
    const [dead] = await eventually("the dead letter", async () => {
      const found = await stack.api(`/api/deliveries?webhook=${hook.id}&state=dead`);
      return found.items.length && found.items;
    });
    expect(dead).toMatchObject({ attempts: 4, status: 404, error: "was answered 404" });
    expect(receiver.got).toHaveLength(4);
    broken = false;
    const again = await act.send("POST", `/api/deliveries/${dead.id}/redeliver`);
    expect(again.status).toBe(200);
    await eventually(
      "the delivery",
      async () => (await act.deliveries(hook.id))[0].state === "delivered",
    );
    const ids = new Set(receiver.got.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(1);
    const events = await stack.api(`/api/deliveries?event=${dead.event_id}`);
    expect(events.items).toHaveLength(1);
  });

  it("does not wait for a receiver that hangs, nor read 10 MB, nor follow a redirect", async () => {
    let written = 0;
    const hidden = await startReceiver();
    const receiver = await startReceiver((response, { url }) => {
      if (url.pathname === "/hang") return;
      if (url.pathname === "/drip") {
        response.writeHead(200).write("a");
        return;
      }
      if (url.pathname === "/redirect") {
        response.writeHead(302, { Location: hidden.url }).end();
        return;
      }
      const piece = Buffer.alloc(64 * 1024, "x");
      const more = () => {
        while (written < 10_000_000) {
          written += piece.length;
          if (!response.write(piece)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    });
    const test = async (path: string) => {
      const { id } = await act.webhook({ url: `${receiver.url}${path}` });
      const begun = Date.now();
      const answer = JSON.parse((await act.send("POST", `/api/webhooks/${id}/test`)).text);
      return { ...answer, took: Date.now() - begun };
    };
    const [hang, drip, redirect, big] = await Promise.all(
      ["/hang", "/drip", "/redirect", "/big"].map(test),
    );
    for (const slow of [hang, drip]) {
      expect(slow).toMatchObject({ delivered: false, error: "got no answer within 10 seconds" });
      expect(slow.took).toBeGreaterThan(9_000);
      expect(slow.took).toBeLessThan(15_000);
    }
    expect(redirect).toMatchObject({ delivered: false, status: 302 });
    expect(redirect.error).toMatch(/redirect, which is not followed/);
    expect(hidden.got).toEqual([]);
    expect(big).toMatchObject({ delivered: true, status: 200 });
    expect(written).toBeLessThan(9_000_000);
    const [message] = receiver.got.filter(({ url }) => url.pathname === "/redirect");
    expect(message?.json).toMatchObject({ type: "test" });
  });

  it("takes a chat service's refusal within status 200 for one", async () => {
    const receiver = await startReceiver((response, { url }) =>
      response.end(
        url.pathname === "/html"
          ? "<html>"
          : JSON.stringify({ errcode: 310000, errmsg: "sign not match" }),
      ),
    );
    for (const [target, path, words] of [
      ["dingtalk", "", "was refused: code 310000"],
      ["wecom", "", "was refused: code 310000"],
      ["feishu", "/html", "answered with something else than the JSON of a chat service"],
    ]) {
      const { id } = await act.webhook({ url: `${receiver.url}${path}`, target });
      const { text } = await act.send("POST", `/api/webhooks/${id}/test`);
      expect(JSON.parse(text)).toEqual({ delivered: false, status: 200, error: words });
    }
  });

  it("the scheduled job tells what nobody told, and queues again what the queue lost", async () => {
    const receiver = await startReceiver();
    const experiment_group = unique("g");
    const hook = await act.webhook({ url: receiver.url, groups: [experiment_group] });
    await act.inDatabase((db) =>
      recordEvent(
        db,
        "lost",
        "task",
        sql`select 1000000, 1, null, ${experiment_group}, 'a run', null, ''`,
      ),
    );
    await runScheduled(stack.url);
    await eventually("the message", () => receiver.got.length === 1);
    await eventually(
      "the log",
      async () => (await act.deliveries(hook.id))[0].state === "delivered",
    );
    await act.inDatabase((db) =>
      db.run(
        sql`update delivery set state = 'waiting', next_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-2 minutes') where webhook_id = ${hook.id}`,
      ),
    );
    await runScheduled(stack.url);
    await eventually("the message again", () => receiver.got.length === 2);
    expect(receiver.got[0]?.headers["webhook-id"]).toBe(receiver.got[1]?.headers["webhook-id"]);
  });

  it("nothing is lost when database and Worker die in the middle", async () => {
    let broken = true;
    const receiver = await startReceiver((response) => {
      response.writeHead(broken ? 503 : 200).end();
    });
    const experiment_group = unique("g");
    const hook = await act.webhook({ url: receiver.url, groups: [experiment_group] });
    const tasks = [];
    for (let n = 0; n < 5; n++) tasks.push(await act.fail({ experiment_group }));
    await eventually("a try", () => receiver.got.length > 0);
    stack.killDatabase();
    stack.killWorker();
    broken = false;
    // The killed one may hold its port a moment longer.
    await eventually("the database", () => stack.reviveDatabase().then(() => true));
    await stack.reviveWorker();
    await act.inDatabase((db) =>
      db.run(
        sql`update delivery set next_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-2 minutes') where state = 'waiting'`,
      ),
    );
    await eventually("all of them", async () => {
      await runScheduled(stack.url);
      const found = await act.deliveries(hook.id);
      return (
        found.length === 5 && found.every((one: { state: string }) => one.state === "delivered")
      );
    });
    const told = new Set(receiver.got.map(({ json }) => json.data.subject_id));
    expect([...told].sort()).toEqual(tasks.sort());
  });
});

describe("without a queue", () => {
  let stack: Stack;
  let act: ReturnType<typeof actions>;
  beforeAll(async () => {
    const vars = { ...settings, ALERT_RETRY_SEC: "0.1", ALERT_TRIES: "3" };
    stack = await startStack(vars, { queues: {} });
    act = actions(stack);
  }, 120_000);
  afterAll(() => stack.stop());

  it("the scheduled job delivers alone, and gives up after ALERT_TRIES", async () => {
    let broken = true;
    const receiver = await startReceiver((response) => {
      response.writeHead(broken ? 500 : 200).end();
    });
    const experiment_group = unique("g");
    const hook = await act.webhook({ url: receiver.url, groups: [experiment_group] });
    await act.fail({ experiment_group });
    await eventually("the first try, at once", () => receiver.got.length === 1);
    const state = async () => (await act.deliveries(hook.id))[0];
    await eventually("three tries, then none", async () => {
      await runScheduled(stack.url);
      return (await state()).state === "dead";
    });
    expect(await state()).toMatchObject({ attempts: 3, error: "was answered 500" });
    expect(receiver.got).toHaveLength(3);
    broken = false;
    await act.send("POST", `/api/deliveries/${(await state()).id}/redeliver`);
    await eventually("the delivery", async () => (await state()).state === "delivered");
    expect(receiver.got).toHaveLength(4);
  });
});
