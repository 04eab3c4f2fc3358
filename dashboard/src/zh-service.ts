// What the service itself says, in Simplified Chinese: without it, its English words.

/** Sentences by their form; a part of one that has a form itself is translated too. */
const sentences: [form: RegExp, chinese: string][] = [
  // A filter's mistakes: src/filter.
  [/^The (\S+) is not right at character (\d+): (.+)\.$/s, "$1 的第 $2 个字符处有误：$3。"],
  [/^(.+) where (.+) should be$/s, "$1，这里应为$2"],
  [/^the filter ends$/, "筛选条件到此为止"],
  [/^(.+) stands$/s, "此处是 $1"],
  [/^a field$/, "字段"],
  [/^`and`, `or` or the end$/, " `and`、`or` 或结尾"],
  [/^`in` or `like`$/, " `in` 或 `like`"],
  [/^`,` or `\)`$/, " `,` 或 `)`"],
  [/^`null`$/, " `null`"],
  [/^an operator such as (.+)$/, "运算符，例如 $1"],
  [/^an operator \((.+)\)$/, "运算符（$1）"],
  [/^a number, a 'text', true or false$/, "数字、'文本'、true 或 false"],
  [/^a list element's number$/, "列表元素的序号"],
  [/^the text that begins here has no closing (.+)$/, "从这里开始的文本缺少结尾的 $1"],
  [/^(.+) means nothing here$/s, "$1 在这里没有意义"],
  [/^the filter is longer than (\d+) characters$/, "筛选条件超过 $1 个字符"],
  [/^the filter holds a NUL character$/, "筛选条件中含有 NUL 字符"],
  [/^nests deeper than (\d+) levels$/, "嵌套超过 $1 层"],
  [/^more than (\d+) comparisons$/, "比较超过 $1 个"],
  [/^more than (\d+) values in a list$/, "列表中的值超过 $1 个"],
  [
    /^a comparison with null is never true: use `is null` or `is not null`$/,
    "与 null 比较永远不成立：请用 `is null` 或 `is not null`",
  ],
  [/^the number is too large$/, "数字太大"],
  [/^a text stands in single quotes: (.+)$/s, "文本要放在单引号中：$1"],
  [/^a name with a quote or backslash cannot be looked up$/, "含有引号或反斜杠的名称无法查找"],
  [/^there is no field (.+); fields are (.+)$/s, "没有字段 $1；$2"],
  [/^(.+) \(did you mean (.+)\?\)$/s, "$1（您是否想写 $2？）"],
  [
    /^a task's columns, user, config\.…, metrics\.… and tags\.…$/,
    "可用的字段有训练的各列、user、config.…、metrics.… 和 tags.…",
  ],
  [/^a time is a text such as (.+), (.+) or (.+)$/, "时间写作文本，例如 $1、$2 或 $3"],
  [/^(.+) is (a \w+|true or false), not (a \w+|true or false)$/s, "$1 应为$2，而不是$3"],
  [/^a number$/, "数字"],
  [/^a text$/, "文本"],
  [/^a time$/, "时间"],
  [/^true or false$/, " true 或 false "],
  [/^like compares texts$/, "like 只能比较文本"],
  [/^orders by at most three fields$/, "最多按三个字段排序"],
  // How far the influence of a setting can be trusted: src/stats/influence.ts.
  [/^Only (\d+) runs: this may well be chance\.$/, "只有 $1 次训练：很可能只是巧合。"],
  [/^No stronger than chance gives with (\d+) runs\.$/, "以 $1 次训练而言，不比巧合更强。"],
  [
    /^(\d+) different values in (\d+) runs: few of each\.$/,
    "$2 次训练中有 $1 个不同的值：每个都很少。",
  ],
  [
    /^These are (\d+) runs only, which show little\. (Settings .+)$/,
    "这里只有 $1 次训练，说明不了多少。$2",
  ],
  [
    /^Settings that were changed together cannot be told apart, and what goes along with a result need not cause it\.$/,
    "一同改动的设置无法区分；与结果相伴的，未必是其原因。",
  ],
  // Keys that end with the key that made them: src/auth, src/boxes.
  [
    /^The box's key ends at (\S+), with the key that made this token\.$/,
    "机器的密钥将随生成此令牌的密钥于 $1 到期。",
  ],
  // Refusals: src/http/problem.ts.
  [/^There is no task (\S+)(?: of yours)?(?: in the trash)?\.$/, "没有编号为 $1 的训练。"],
  [/^There is no weight (\S+)(?: of yours)?(?: in the trash)?\.$/, "没有编号为 $1 的文件。"],
  [/^There is no model (\S+)(?: of yours)?\.$/, "没有名为 $1 的模型。"],
  [
    /^There is no view (\S+) (?:of yours|that you may open)\.$/,
    "没有编号为 $1 的视图，或您无权打开。",
  ],
  [/^There is no webhook (\S+) of yours\.$/, "您没有编号为 $1 的 Webhook。"],
  [
    /^Someone else changed this first: its version is (.+) now\. Read it again, then repeat your change\.$/,
    "别人先作了改动（现在是版本 $1）。请重新载入后再改。",
  ],
];

/** By the code at the end of a problem's `type`. */
export const refusals: Record<string, string> = {
  "a-version-already": "该文件已是此模型的一个版本",
  "alias-on-unapproved": "有别名指向未获批准的版本，请先移动或移除",
  "already-finished": "该训练已经结束",
  "another-number": "导入的编号与已有的不符",
  "attempt-not-open": "该训练没有这次尝试",
  "attempt-unknown": "该训练没有这次尝试",
  changed: "文件与预期的不同",
  "changed-meanwhile": "别人先作了改动，请重新载入后再改",
  "checks-fail": "该版本尚未通过检查",
  conflict: "与同时进行的改动冲突，请重试",
  "cross-site": "不接受来自其他网站页面的改动",
  "database-unreachable": "暂时无法连接数据库，没有数据丢失，请几秒后重试",
  exists: "文件已在那里",
  "file-gone": "文件已不在存储中",
  gone: "文件已不在那里",
  "hash-differs": "内容与声明的 SHA-256 不符，未作存储",
  "idempotency-key-reused": "该 Idempotency-Key 已用于另一次登记",
  internal: "服务器出错，可以重试",
  "key-expired": "密钥已过期",
  "key-not-valid": "密钥无效",
  "key-revoked": "密钥已被吊销，或其用户已停用",
  "key-sent": "签名链接不需要密钥",
  "key-unknown": "这里没有这个密钥",
  "last-admin": "这是最后一名在用的管理员，请先指定另一名",
  "length-required": "必须给出 Content-Length",
  "link-ended": "链接已过期、已吊销或已用完",
  "maker-ended": "生成此密钥的密钥已失效，因此不能续期，请索取新密钥",
  "malformed-json": "内容不是有效的 JSON",
  "name-taken": "该名称已被使用",
  "no-expiry": "该密钥没有期限",
  "no-key": "需要密钥",
  "no-route": "没有这个地址",
  "not-a-draft": "已提交审核的版本不能再改",
  "not-a-model-file": "只有最终文件和检查点可以成为版本",
  "not-allowed": "没有权限",
  "not-approved": "该版本未获批准",
  "not-complete": "文件尚不完整",
  "not-configured": "服务尚未配置好",
  "not-ended": "只有失败或已取消的训练可以重试",
  "not-fit-to-share": "该版本不符合对外分享的条件",
  "not-found": "没有这一项",
  "not-imported": "该训练不是导入的",
  "not-redelivered": "该通知正在发送途中",
  "not-uploaded": "文件尚未上传",
  "not-valid": "内容有误",
  "nothing-before": "此前没有其他版本",
  "own-submission": "不能审批自己训练、上传、建立或提交的版本",
  "parts-missing": "尚缺部分分块",
  range: "超出文件范围",
  refused: "请求被拒绝",
  "session-ended": "登录已结束，请重新登录",
  "session-expired": "登录已过期，请重新登录",
  "session-not-valid": "登录无效，请重新登录",
  "session-unknown": "登录无效，请重新登录",
  "storage-unreachable": "暂时无法连接文件存储，没有数据丢失，请几秒后重试",
  superseded: "已有更新的尝试接替",
  "task-ended": "该训练已经结束",
  "task-running": "训练仍在进行，请先等它结束或取消它",
  "there-again": "同一文件已重新上传，无需恢复",
  "token-not-valid": "令牌无效：已被使用、已过期，或生成它的密钥已失效",
  "too-large": "内容过大",
  "too-many-makers": "此密钥处于逐级生成的第十级，不能再生成密钥",
  "too-many-requests": "请求过于频繁，请稍后再试",
  "too-many-views": "视图数量已达上限，请先删除一个",
  "too-many-webhooks": "Webhook 数量已达上限，请先删除一个",
  "too-short": "内容比声明的短",
  unreachable: "无法连接到服务",
  "unsupported-content-type": "内容类型不受支持",
  "upload-aborted": "该上传已中止，请重新上传",
  "upload-closed": "该上传已经结束",
  "wrong-state": "该版本当前的状态不允许这样做",
};

/** A sentence of the service: whole where its form is known, else what its code means before its words. */
export function inChinese(english: string, code = ""): string {
  for (const [form, chinese] of sentences) {
    const parts = form.exec(english);
    if (parts)
      return chinese.replaceAll(/\$(\d)/g, (_, part: string) =>
        inChinese(parts[Number(part)] ?? ""),
      );
  }
  const meaning = refusals[code];
  return meaning ? `${meaning}（${english}）` : english;
}
