// An answer to an alert is shown where a chat service gave it, and nowhere else.
import { describe, expect, it } from "vitest";
import { refusal } from "../../src/alerts/message.ts";

const answer = JSON.stringify({ errcode: 310000, errmsg: "sign not match <b>" });

describe("what a receiver answers", () => {
  it.each([
    ["https://oapi.dingtalk.com/robot/send", "was refused: code 310000 sign not match <b>"],
    ["https://open.feishu.cn/hook", "was refused: code 310000 sign not match <b>"],
    ["http://10.0.0.5/secrets", "was refused: code 310000"],
    ["http://dingtalk.com.example/", "was refused: code 310000"],
    ["http://127.0.0.1:9200/", "was refused: code 310000"],
  ])("by %s is told as %s", (url, told) => {
    expect(refusal({ target: "dingtalk", url, secret: null }, answer)).toBe(told);
  });

  it("is no more than a number where it is not a chat service's", () => {
    const secret = JSON.stringify({ errcode: "root:x:0:0", msg: "AKIA…", code: { a: 1 } });
    const told = refusal({ target: "wecom", url: "http://169.254.169.254/", secret: null }, secret);
    expect(told).toBe("was refused: no code");
  });
});
