import { ByteWriter, ParquetWriter, type SchemaElement } from "hyparquet-writer";
import type { ExportColumn, Kind } from "./export-columns.ts";
import type { Cell, Writer } from "./export-writer.ts";

/** How the format names what a column's values are. */
const types: Record<Kind, Pick<SchemaElement, "type" | "converted_type">> = {
  integer: { type: "INT64" },
  number: { type: "DOUBLE" },
  boolean: { type: "BOOLEAN" },
  time: { type: "INT64", converted_type: "TIMESTAMP_MILLIS" },
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  any: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  json: { type: "BYTE_ARRAY", converted_type: "UTF8" },
};

/** A cell as the writer takes it for its column's type; null: a missing value. */
function toParquet(cell: Cell, kind: Kind): bigint | number | boolean | string | null {
  if (cell === null) return null;
  switch (kind) {
    case "integer":
      return BigInt(Math.round(Number(cell)));
    case "number":
      return Number(cell);
    case "boolean":
      return cell !== 0;
    case "time": {
      const ms = Date.parse(String(cell));
      return Number.isNaN(ms) ? null : BigInt(ms);
    }
    default:
      return typeof cell === "string" && kind !== "json" ? cell : JSON.stringify(cell);
  }
}

/** Writes Parquet, a row group a piece; the footer at the end says where they are. */
export function parquetWriter(columns: ExportColumn[]): Writer {
  const bytes = new ByteWriter();
  const file = new ParquetWriter({
    writer: bytes,
    schema: [
      { name: "tasks", num_children: columns.length },
      ...columns.map(
        ({ name, kind }): SchemaElement => ({ name, repetition_type: "OPTIONAL", ...types[kind] }),
      ),
    ],
    // The lowest and highest value of each column of each row group would stay in memory, texts whole.
    statistics: false,
    createdBy: "lora-ledger",
  });
  /** Takes out what was written since the last time; the places in the file are counted on. */
  const take = () => {
    const piece = bytes.getBytes().slice();
    bytes.index = 0;
    return piece;
  };
  return {
    begin: take,
    rows: (rows) => {
      if (rows.length)
        file.write({
          columnData: columns.map(({ name, kind }, n) => ({
            name,
            data: rows.map((row) => toParquet(row[n] ?? null, kind)),
          })),
          rowGroupSize: rows.length,
        });
      return take();
    },
    end: () => {
      file.finish();
      return take();
    },
  };
}
