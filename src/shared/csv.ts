/**
 * A text as a cell of RFC 4180. One that a spreadsheet would run as a formula gets an apostrophe before it
 * (`lora-ledger import` takes it off again).
 */
export function csvText(cell: string): string {
  if (!/^[=+\-@\s]|[",;|\t\r\n]|\s$/.test(cell)) return cell;
  const text = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  // Some spreadsheets part columns at other signs, behind which a formula could begin.
  return /[",;|\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
