import { decodeBase64 } from "hono/utils/encode";
import type { event, webhook } from "../platform/db/schema.ts";
import type { EventKind } from "../platform/events.ts";
import { base64 } from "../platform/http/encode.ts";
import { cutText } from "../platform/http/text.ts";
import type { JsonValue } from "../shared/json.ts";

/** The content of a message. `kind` is "test" when someone presses the test button. */
export type Alert = Pick<
  typeof event.$inferSelect,
  | "uid"
  | "subject"
  | "subjectId"
  | "attempt"
  | "userId"
  | "experimentGroup"
  | "name"
  | "detail"
  | "createdAt"
> & { kind: EventKind | "test"; userName: string | null; bundle?: Bundle };

/** Events in one message, for a webhook that reached its limit for the hour: their counts, and the first of them. */
export type Bundle = {
  kinds: Partial<Record<EventKind, number>>;
  first: { kind: EventKind; subject: Alert["subject"]; subject_id: number; name: string }[];
};

export type Receiver = Pick<typeof webhook.$inferSelect, "target" | "url" | "secret">;

/** A request to a receiver, but for its address's guard. */
export type Message = { url: string; headers: Record<string, string>; body: string };

const titles: Record<Alert["kind"], string> = {
  failed: "Run failed",
  lost: "Run lost",
  finished: "Run finished",
  loss_diverged: "Loss diverged",
  stalled: "Run makes no steps",
  disk_full: "Disk is full before the next checkpoint",
  new_best: "New best of its group",
  approval_requested: "Approval requested",
  released: "Model released",
  box_idle: "Paid box is idle",
  job_failed: "Scheduled job leaves something out",
  test: "Test message",
};

/** The words after "38 more …", by kind. */
const more: Record<EventKind, string> = {
  failed: "failed",
  lost: "lost",
  finished: "finished",
  loss_diverged: "with a loss that diverged",
  stalled: "without steps",
  disk_full: "with a disk that fills up",
  new_best: "the best of their group",
  approval_requested: "waiting for approval",
  released: "released",
  box_idle: "paid boxes idle",
  job_failed: "jobs that leave something out",
};
const isKind = (word: string): word is EventKind => word in more;

/** The order and names of what a message says of an event's detail; the rest stays with webhooks. */
const labels: Record<string, string> = {
  failure_reason: "Reason",
  agent: "Box",
  heartbeat_at: "Last heard of",
  requeued: "Given back to the queue",
  error_message: "Error",
  exit_code: "Exit code",
  metric: "Metric",
  value: "Value",
  level_before: "Level before",
  step: "Step",
  since: "Since",
  free_bytes: "Disk left",
  needed_bytes: "Needed by the next checkpoint",
  gpu_info: "GPU",
  hourly_price: "Price an hour",
  final_loss: "Final loss",
  best_before: "Best before",
  total_duration_sec: "Duration",
  cost: "Cost",
  version: "Version",
  submitted_by: "Submitted by",
  released_by: "Released by",
  reason: "Reason",
  rollback: "Rollback",
  failed: "Items left out",
  example: "One of them",
};

const duration = (seconds: number) => {
  const minutes = Math.floor(seconds / 60);
  return minutes >= 60
    ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`
    : minutes > 0
      ? `${minutes} min`
      : `${Math.round(seconds)} s`;
};

const bytes = (count: number) =>
  count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${(count / 1e6).toFixed(1)} MB`;

function formatValue(field: string, value: JsonValue): string {
  if (value === true) return "yes";
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  if (field === "total_duration_sec") return duration(value);
  if (field === "cost") return value.toFixed(2);
  if (field.endsWith("_bytes")) return bytes(value);
  return String(Number(value.toPrecision(6)));
}

/** Text of users as a receiver may see it: without control characters or marks that turn its direction. */
const plain = (text: string, most: number) => {
  const clean = text.replace(/[^\P{Cc}\n]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "");
  return clean.length > most ? `${cutText(clean, 0, most - 1)}…` : clean;
};
const oneLine = (text: string, most: number) => plain(text, most).replace(/\s+/g, " ").trim();

const countOf = ({ kinds }: Bundle) => Object.values(kinds).reduce((sum, n) => sum + n, 0);

/** The content of a bundle's message: the count of each kind, the first by name, and where the others are. */
function bundleSummary(bundle: Bundle, publicUrl: string | undefined) {
  const kinds = Object.entries(bundle.kinds).filter(([kind]) => isKind(kind));
  const said = kinds.map(
    ([kind, n], at) => `${n} ${at === 0 ? "more " : ""}${isKind(kind) ? more[kind] : kind}`,
  );
  const left = countOf(bundle) - bundle.first.length;
  return {
    title: said.join(", "),
    lines: [
      "Held back, because this webhook had its fill of messages for the hour:",
      ...bundle.first.map(
        ({ kind, name, subject_id }) => `${titles[kind]}: ${oneLine(name, 120)} (#${subject_id})`,
      ),
      ...(left > 0 ? [`and ${left} more: the delivery log has them all.`] : []),
    ],
    link: publicUrl ? `${publicUrl.replace(/\/+$/, "")}/board/alerts` : null,
  };
}

/** The content of every message: a title, lines below it, and a link. All of it is plain text. */
function summary(alert: Alert, publicUrl: string | undefined) {
  if (alert.bundle) return bundleSummary(alert.bundle, publicUrl);
  const name = oneLine(alert.name, 120);
  const number =
    alert.attempt > 1 ? `#${alert.subjectId}, attempt ${alert.attempt}` : `#${alert.subjectId}`;
  const lines = [
    ...(alert.experimentGroup ? [`Group: ${oneLine(alert.experimentGroup, 120)}`] : []),
    ...(alert.userName ? [`User: ${oneLine(alert.userName, 100)}`] : []),
    ...Object.entries(labels).flatMap(([field, label]) => {
      const value = alert.detail?.[field];
      return value === null || value === undefined || value === false
        ? []
        : [`${label}: ${plain(formatValue(field, value), 600)}`];
    }),
  ];
  return {
    title: `${titles[alert.kind]}: ${name}${alert.subject === "job" ? "" : ` (${number})`}`,
    lines,
    link:
      alert.subject === "task" && publicUrl
        ? `${publicUrl.replace(/\/+$/, "")}/runs/${alert.subjectId}`
        : null,
  };
}

const encoder = new TextEncoder();

async function hmac(secret: string | Uint8Array<ArrayBuffer>, text: string): Promise<string> {
  const raw = typeof secret === "string" ? encoder.encode(secret) : secret;
  const hash = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", raw, hash, false, ["sign"]);
  return base64(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text))));
}

/** A secret in the form of Standard Webhooks, and its bytes. */
export const secretPrefix = "whsec_";
export const newSecret = () => secretPrefix + base64(crypto.getRandomValues(new Uint8Array(32)));
const secretBytes = (secret: string) => decodeBase64(secret.slice(secretPrefix.length));

/** The longest beginning of a text that takes at most so many bytes. */
function withinBytes(text: string, most: number): string {
  let kept = text;
  while (encoder.encode(kept).length > most) kept = cutText(kept, 0, Math.floor(kept.length * 0.9));
  return kept.length < text.length ? `${kept}…` : text;
}

const forSlack = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const forDiscord = (text: string) => text.replace(/[\\`*_{}[\]()#+\-.!|~<>:@]/g, "\\$&");

/**
 * The request that carries an alert to a receiver, in the receiver's own format and with its own
 * signature, at `now`. Text of users is text in each: nobody is mentioned, nothing is a link or markup.
 */
export async function makeMessage(
  receiver: Receiver,
  alert: Alert,
  publicUrl: string | undefined,
  now: Date,
): Promise<Message> {
  const { title, lines, link } = summary(alert, publicUrl);
  const seconds = String(Math.floor(now.getTime() / 1000));
  const headers: Record<string, string> = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "lora-ledger",
    "Webhook-Id": alert.uid,
    "Webhook-Timestamp": seconds,
  };
  const message = (body: object, url = receiver.url) => ({
    url,
    headers,
    body: JSON.stringify(body),
  });
  const text = [`LoRA Ledger: ${title}`, ...lines, ...(link ? [link] : [])].join("\n");
  switch (receiver.target) {
    // https://www.standardwebhooks.com: HMAC-SHA256 over id.timestamp.body.
    case "generic": {
      const { bundle } = alert;
      const sent = message({
        type: bundle ? "bundle" : alert.kind,
        timestamp: bundle ? now.toISOString() : alert.createdAt,
        data: bundle
          ? {
              event_id: alert.uid,
              bundle: { count: countOf(bundle), ...bundle },
              text,
              ...(link && { link }),
            }
          : {
              event_id: alert.uid,
              subject: alert.subject,
              subject_id: alert.subjectId,
              attempt: alert.attempt,
              name: alert.name,
              experiment_group: alert.experimentGroup,
              user_id: alert.userId,
              user: alert.userName,
              detail: alert.detail,
              text,
              ...(link && { link }),
            },
      });
      if (receiver.secret)
        headers["Webhook-Signature"] =
          `v1,${await hmac(secretBytes(receiver.secret), `${alert.uid}.${seconds}.${sent.body}`)}`;
      return sent;
    }
    // https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    case "slack": {
      const content = cutText(forSlack([title, ...lines].join("\n")), 0, 2900);
      const section = (type: "plain_text" | "mrkdwn", text: string) => ({
        type: "section",
        text: { type, text },
      });
      return message({
        text: forSlack(title),
        blocks: [
          section("plain_text", content),
          ...(link
            ? [
                section(
                  "mrkdwn",
                  `<${forSlack(link)}|${alert.bundle ? "Open the log" : "Open the run"}>`,
                ),
              ]
            : []),
        ],
      });
    }
    // https://docs.discord.com/developers/resources/webhook#execute-webhook
    case "discord":
      return message({
        embeds: [
          {
            title: cutText(forDiscord(title), 0, 256),
            description: cutText(forDiscord(lines.join("\n")), 0, 4096),
            ...(link && { url: link }),
            timestamp: alert.bundle ? now.toISOString() : alert.createdAt,
          },
        ],
        allowed_mentions: { parse: [] },
      });
    // https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: the key is timestamp and
    // secret, the message empty. In a rich text, unlike in a plain one, no tag within text counts.
    case "feishu": {
      const signed = receiver.secret
        ? { timestamp: seconds, sign: await hmac(`${seconds}\n${receiver.secret}`, "") }
        : {};
      const rows = lines.map((line) => [{ tag: "text", text: line }]);
      const content = [...rows, ...(link ? [[{ tag: "a", text: link, href: link }]] : [])];
      return message({
        ...signed,
        msg_type: "post",
        content: { post: { zh_cn: { title: `LoRA Ledger: ${title}`, content } } },
      });
    }
    // https://open.dingtalk.com/document/robots/custom-robot-access: milliseconds, in the address.
    case "dingtalk": {
      const url = new URL(receiver.url);
      if (receiver.secret) {
        const timestamp = String(now.getTime());
        url.searchParams.set("timestamp", timestamp);
        url.searchParams.set(
          "sign",
          await hmac(receiver.secret, `${timestamp}\n${receiver.secret}`),
        );
      }
      return message(
        { msgtype: "text", text: { content: text }, at: { isAtAll: false } },
        url.href,
      );
    }
    // https://developer.work.weixin.qq.com/document/path/91770: 2,048 bytes; <@id> mentions people.
    case "wecom":
      return message({
        msgtype: "text",
        text: { content: withinBytes(text.replaceAll("<@", "<\u200b@"), 2000) },
      });
  }
}

/** The chat services' own hosts: what they answer may be shown, an answer from elsewhere may be anybody's. */
const chatHosts = /(^|\.)(feishu\.cn|larksuite\.com|dingtalk\.com|weixin\.qq\.com)$/;

/** The fault that a chat service states in a body with status 200; null: none. */
export function refusal({ target, url }: Receiver, body: string): string | null {
  if (target !== "feishu" && target !== "dingtalk" && target !== "wecom") return null;
  let said: { code?: unknown; errcode?: unknown; msg?: unknown; errmsg?: unknown };
  try {
    said = Object(JSON.parse(body));
  } catch {
    return "answered with something else than the JSON of a chat service";
  }
  const code = said.errcode ?? said.code;
  if (code === 0) return null;
  const number = typeof code === "number" ? `code ${code}` : "no code";
  const words = chatHosts.test(new URL(url).hostname) ? String(said.errmsg ?? said.msg ?? "") : "";
  return `was refused: ${oneLine(`${number} ${words}`, 200)}`;
}
