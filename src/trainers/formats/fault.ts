/** A file that is broken or hostile: the reason in plain words, and where (from 1). */
export class ConfigSyntaxError extends Error {
  override name = "ConfigSyntaxError";
  line: number;
  column: number;
  constructor(format: string, reason: string, line: number, column: number) {
    super(`The ${format} is broken at line ${line}, column ${column}: ${reason}`);
    this.line = line;
    this.column = column;
  }
}

export const MAX_DEPTH = 100;
export const tooDeep = `it nests deeper than ${MAX_DEPTH} levels`;

function positionOf(text: string, offset: number): [line: number, column: number] {
  let line = 1;
  let start = 0;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) {
    line++;
    start = i + 1;
  }
  return [line, offset - start + 1];
}

export const errorAt = (format: string, reason: string, text: string, offset: number) =>
  new ConfigSyntaxError(format, reason, ...positionOf(text, offset));
