/**
 * What can be wrong with a filter, and what is to be kept in mind of an influence: sentences by code, in
 * English and Chinese, as shared/problems.ts has them for refusals. A value that is a phrase's name is
 * that phrase in the sentence's language.
 */
import { fillIn, type ParamValue } from "./sentence.ts";

type Sentence = readonly [english: string, chinese: string];

export const mistakes = {
  "filter-end": ["the filter ends where {wanted} should be", "筛选条件到此为止，这里应为{wanted}"],
  "filter-token": ["{found} stands where {wanted} should be", "此处是 {found}，这里应为{wanted}"],
  "filter-sign": ["{sign} means nothing here", "{sign} 在这里没有意义"],
  "filter-unclosed": [
    "the text that begins here has no closing {quote}",
    "从这里开始的文本缺少结尾的 {quote}",
  ],
  "filter-length": ["the filter is longer than {most} characters", "筛选条件超过 {most} 个字符"],
  "filter-nul": ["the filter holds a NUL character", "筛选条件中含有 NUL 字符"],
  "filter-depth": ["nests deeper than {most} levels", "嵌套超过 {most} 层"],
  "filter-comparisons": ["more than {most} comparisons", "比较超过 {most} 个"],
  "filter-list": ["more than {most} values in a list", "列表中的值超过 {most} 个"],
  "filter-null": [
    "a comparison with null is never true: use `is null` or `is not null`",
    "与 null 比较永远不成立：请用 `is null` 或 `is not null`",
  ],
  "filter-number": ["the number is too large", "数字太大"],
  "filter-quotes": ["a text stands in single quotes: '{text}'", "文本要放在单引号中：'{text}'"],
  "filter-name": [
    "a name with a quote or backslash cannot be looked up",
    "含有引号或反斜杠的名称无法查找",
  ],
  "filter-field": [
    "there is no field {field}; fields are a task's columns, user, config.…, metrics.… and tags.…",
    "没有字段 {field}；可用的字段有训练的各列、user、config.…、metrics.… 和 tags.…",
  ],
  "filter-field-near": [
    "there is no field {field} (did you mean {near}?); fields are a task's columns, user, config.…, metrics.… and tags.…",
    "没有字段 {field}（您是否想写 {near}？）；可用的字段有训练的各列、user、config.…、metrics.… 和 tags.…",
  ],
  "filter-model-field": [
    "there is no field {field}; a model has {fields}, final_loss, tags.…, aliases.… and metrics.…",
    "没有字段 {field}；模型的字段有 {fields}、final_loss、tags.…、aliases.… 和 metrics.…",
  ],
  "filter-time": [
    "a time is a text such as '2026-05-01', '2026-05' or '2026-05-01T10:00:00Z'",
    "时间写作文本，例如 '2026-05-01'、'2026-05' 或 '2026-05-01T10:00:00Z'",
  ],
  "filter-kind": ["{field} is {wanted}, not {given}", "{field} 应为{wanted}，而不是{given}"],
  "filter-like": ["like compares texts", "like 只能比较文本"],
  "filter-pattern": ["the pattern is longer than {most} characters", "模式超过 {most} 个字符"],
  "filter-wildcards": [
    "the pattern has more than {most} wildcards %",
    "模式中的通配符 % 超过 {most} 个",
  ],
  "filter-piece": [
    "behind a % of a pattern with several parts, a part is at most {most} characters long",
    "由多段组成的模式中，% 之后的一段最多 {most} 个字符",
  ],
  "filter-documents": [
    "more than {most} comparisons of config.… and other documents",
    "对 config.… 等文档的比较超过 {most} 个",
  ],
  "filter-likes": ["more than {most} comparisons by like", "用 like 的比较超过 {most} 个"],
  "filter-order": ["orders by at most three fields", "最多按三个字段排序"],
  "few-runs": [
    "Only {runs} runs: this may well be chance.",
    "只有 {runs} 次训练：很可能只是巧合。",
  ],
  "weak-influence": [
    "No stronger than chance gives with {runs} runs.",
    "以 {runs} 次训练而言，不比巧合更强。",
  ],
  "many-values": [
    "{values} different values in {runs} runs: few of each.",
    "{runs} 次训练中有 {values} 个不同的值：每个都很少。",
  ],
  "shared-changes": [
    "Settings that were changed together cannot be told apart, and what goes along with a result need not cause it.",
    "一同改动的设置无法区分；与结果相伴的，未必是其原因。",
  ],
  "shared-changes-few": [
    "These are {runs} runs only, which show little. Settings that were changed together cannot be told apart, and what goes along with a result need not cause it.",
    "这里只有 {runs} 次训练，说明不了多少。一同改动的设置无法区分；与结果相伴的，未必是其原因。",
  ],
  "box-key-ends": [
    "The box's key ends at {at}, with the key that made this token.",
    "机器的密钥将随生成此令牌的密钥于 {at} 到期。",
  ],
} as const satisfies Record<string, Sentence>;

/** What may stand at a place of a filter, and what a value is. */
const phrases = {
  field: ["a field", "字段"],
  end: ["`and`, `or` or the end", " `and`、`or` 或结尾"],
  "in-like": ["`in` or `like`", " `in` 或 `like`"],
  "comma-bracket": ["`,` or `)`", " `,` 或 `)`"],
  open: ["`(`", " `(`"],
  close: ["`)`", " `)`"],
  "close-square": ["`]`", " `]`"],
  null: ["`null`", " `null`"],
  equals: ["an operator such as `=`", "运算符，例如 `=`"],
  operator: ["an operator (= != < <= > >= like in is)", "运算符（= != < <= > >= like in is）"],
  literal: ["a number, a 'text', true or false", "数字、'文本'、true 或 false"],
  element: ["a list element's number", "列表元素的序号"],
  number: ["a number", "数字"],
  text: ["a text", "文本"],
  time: ["a time", "时间"],
  boolean: ["true or false", " true 或 false "],
} as const satisfies Record<string, Sentence>;

export type MistakeCode = keyof typeof mistakes;
export type Phrase = keyof typeof phrases;

/** The parameters of a sentence whose values are phrases. */
const phrased: ReadonlySet<string> = new Set(["wanted", "given"]);

type Language = "en" | "zh";

/** A mistake as a sentence; null where the code is none. */
export function explainMistake(
  code: string,
  params: Readonly<Record<string, unknown>>,
  language: Language = "en",
): string | null {
  if (!Object.hasOwn(mistakes, code)) return null;
  const at = language === "en" ? 0 : 1;
  const values = Object.entries(params).map(([name, value]) => {
    const phrase = phrased.has(name) && Object.hasOwn(phrases, String(value));
    return [name, phrase ? phrases[String(value) as Phrase][at] : value];
  });
  return fillIn(mistakes[code as MistakeCode][at], Object.fromEntries(values));
}

export type MistakeParams = Readonly<Record<string, ParamValue>>;

/** A sentence with what a program, or a page in another language, needs to say it anew. */
export const mistakeOf = (code: MistakeCode, params: MistakeParams = {}) => ({
  code,
  params,
  message: explainMistake(code, params) ?? code,
});
