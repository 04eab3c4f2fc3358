import { csvText } from "../shared/csv.ts";
import type { ExportColumn, Format } from "./export-columns.ts";
import type { Cell, Writer } from "./export-writer.ts";
import { parquetWriter } from "./parquet.ts";

const encoder = new TextEncoder();
const noBytes = () => new Uint8Array();

/** A cell of RFC 4180; numbers stay numbers, also negative ones. */
export function csvCell(value: Cell, kind: ExportColumn["kind"]): string {
  if (value === null) return "";
  if (kind === "boolean") return value ? "true" : "false";
  if (typeof value === "number") return String(value);
  const cell = typeof value === "string" && kind !== "json" ? value : JSON.stringify(value);
  return csvText(cell);
}

const csvWriter = (columns: ExportColumn[], bom: boolean): Writer => ({
  begin: () =>
    encoder.encode(
      `${bom ? "\uFEFF" : ""}${columns.map(({ name }) => csvCell(name, "text")).join(",")}\r\n`,
    ),
  rows: (rows) =>
    encoder.encode(
      rows
        .map(
          (row) => `${columns.map(({ kind }, n) => csvCell(row[n] ?? null, kind)).join(",")}\r\n`,
        )
        .join(""),
    ),
  end: noBytes,
});

const jsonWriter = (columns: ExportColumn[]): Writer => ({
  begin: noBytes,
  rows: (rows) =>
    encoder.encode(
      rows
        .map((row) => {
          const values = columns.map(({ name, kind }, n) => [
            name,
            kind === "boolean" && row[n] !== null ? row[n] !== 0 : row[n],
          ]);
          return `${JSON.stringify(Object.fromEntries(values))}\n`;
        })
        .join(""),
    ),
  end: noBytes,
});

/** Of each format: its media type and what writes it. */
export const formats: Record<
  Format,
  { type: string; writer: (columns: ExportColumn[], bom: boolean) => Writer }
> = {
  csv: { type: "text/csv; charset=utf-8", writer: csvWriter },
  jsonl: { type: "application/jsonl", writer: jsonWriter },
  parquet: { type: "application/vnd.apache.parquet", writer: parquetWriter },
};
