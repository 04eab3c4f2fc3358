/** What must not stand in a log: keys, one-time tokens, public links and signed addresses. */
const secrets: [RegExp, string][] = [
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+/g, "[key]"],
  [/(\/share\/)[\w-]+/g, "$1[token]"],
  [/(\/signed\/[^\s?"']*)\?[^\s"']*/g, "$1?[signed]"],
  [
    /\b(signature|x-amz-signature|x-amz-credential|authToken|token|code)=[^\s&"']+/gi,
    "$1=[hidden]",
  ],
  [/(\bBearer\s+)\S+/gi, "$1[key]"],
];

/** A line for a log or a terminal, without what would open the ledger to its reader. */
export const hideSecrets = (line: string): string =>
  secrets.reduce((text, [pattern, instead]) => text.replace(pattern, instead), line);
