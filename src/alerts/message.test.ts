import { expect, it } from "vitest";
import { freshLedger } from "../../test/harness.ts";
import { webhookTargets } from "../platform/db/schema.ts";
import { backOff } from "./deliver.ts";
import { type Alert, makeMessage } from "./message.ts";

const told: Alert = {
  uid: "0123456789abcdef0123456789abcdef",
  kind: "failed",
  subject: "task",
  subjectId: 12,
  attempt: 2,
  userId: 7,
  userName: "anna",
  experimentGroup: "组".repeat(200),
  name: "名\u202e字\u0007\n".repeat(100),
  detail: { error_message: "错误<&>*".repeat(1000), failure_reason: "oom", cost: 1.005 },
  createdAt: "2026-05-05T12:00:00.000Z",
};

it.each(webhookTargets)("%s takes the longest message there can be", async (target) => {
  const receiver = { target, url: "https://receiver.example/x?key=1", secret: null };
  const { body } = await makeMessage(receiver, told, "https://ledger.example", new Date());
  const message = JSON.parse(body);
  // Generic receivers get the name as it is; people never see what turns or breaks a line.
  const shown: string =
    target === "generic" ? message.data.text : JSON.stringify({ ...message, timestamp: undefined });
  for (const odd of ["\u202e", "\u0007", "\\u0007"]) expect(shown).not.toContain(odd);
  expect(shown).toContain("attempt 2");
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  switch (target) {
    case "slack":
      for (const block of message.blocks) expect(block.text.text.length).toBeLessThanOrEqual(3000);
      break;
    case "discord":
      expect(message.embeds[0].title.length).toBeLessThanOrEqual(256);
      expect(message.embeds[0].description.length).toBeLessThanOrEqual(4096);
      break;
    case "wecom":
      expect(bytes(message.text.content)).toBeLessThanOrEqual(2048);
      break;
    case "dingtalk":
    case "feishu":
      expect(bytes(body)).toBeLessThanOrEqual(20_000);
      break;
  }
});

it("goes on for most of a day, never longer than a quarter of an hour apart", async () => {
  const { config } = await freshLedger();
  const waits = Array.from({ length: config.ALERT_TRIES - 1 }, (_, n) => backOff(config, n + 1));
  expect(waits.slice(0, 4)).toEqual([10, 20, 40, 80]);
  expect(Math.max(...waits)).toBe(900);
  const hours = waits.reduce((sum, wait) => sum + wait, 0) / 3600;
  expect(hours).toBeGreaterThan(20);
  expect(hours).toBeLessThan(24);
});
