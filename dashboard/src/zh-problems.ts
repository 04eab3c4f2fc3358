// The service's messages in Simplified Chinese, by their codes.
import { explainMistake } from "../../src/shared/mistakes.ts";
import { sentenceOf } from "../../src/shared/problems.ts";
import { fillIn } from "../../src/shared/sentence.ts";
import type { Message } from "./message.ts";

/** The service's own words in its sentences, by the parameters that hold them. */
const words: Record<string, Record<string, string>> = {
  status: {
    pending: "等待中",
    running: "运行中",
    success: "成功",
    failed: "失败",
    cancelled: "已取消",
  },
  state: {
    draft: "草稿",
    in_review: "审核中",
    approved: "已批准",
    rejected: "已拒绝",
    released: "已发布",
    retired: "已停用",
    uploading: "上传中",
    complete: "完整",
    aborted: "已中止",
  },
};
words.wanted = words.status ?? {};
words.to = words.state ?? {};

const inWords = (name: string, value: unknown) => words[name]?.[String(value)] ?? value;

/** A sentence of the service; null where its code is not known here. */
export function inChinese({ code, params = {}, faults = [] }: Message): string | null {
  const mistake = explainMistake(code, params, "zh");
  if (mistake) return mistake;
  const values = Object.entries(params).map(([name, value]) => [name, inWords(name, value)]);
  const [, chinese] = sentenceOf(code, params) ?? [];
  if (chinese === undefined) return null;
  const [fault] = faults;
  const message = fault?.code ? explainMistake(fault.code, fault.params ?? {}, "zh") : null;
  return fillIn(chinese, { ...Object.fromEntries(values), ...(message && { message }) });
}
