/** What must not stand in a log: keys, one-time tokens, public links and signed addresses. */
const secrets: [RegExp, string][] = [
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+/g, "[key]"],
  [/(\/share\/)[\w-]+/g, "$1[token]"],
  [/(\/signed\/[^\s?"']*)\?[^\s"']*/g, "$1?[signed]"],
  [/\b(\w*(?:signature|credential|token|key)|code)=[^\s&"']+/gi, "$1=[hidden]"],
  [/(\bBearer\s+)\S+/gi, "$1[key]"],
];

/** Characters of a line that are kept: a visitor chooses the address that a fault is logged with. */
const LONGEST = 10_000;

/** A line for a log or a terminal, without what would open the ledger to its reader. */
export const hideSecrets = (line: string): string =>
  secrets.reduce(
    (text, [pattern, instead]) => text.replace(pattern, instead),
    line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line,
  );
