import { ByteWriter, ParquetWriter, type SchemaElement } from "hyparquet-writer";
import type { ExportColumn, Kind } from "./columns.ts";
import type { Cell, Writer } from "./formats.ts";

const text = { type: "BYTE_ARRAY", converted_type: "UTF8" } as const;
const types: Record<Kind, Pick<SchemaElement, "type" | "converted_type">> = {
  integer: { type: "INT64" },
  number: { type: "DOUBLE" },
  boolean: { type: "BOOLEAN" },
  time: { type: "INT64", converted_type: "TIMESTAMP_MILLIS" },
  text,
  any: text,
  json: text,
};

/** A cell as the writer takes it for the type above. */
function stored(cell: Cell, kind: Kind): string | number | bigint | boolean | Date | null {
  if (cell === null) return null;
  switch (kind) {
    case "integer":
      return BigInt(Math.round(Number(cell)));
    case "number":
      return Number(cell);
    case "boolean":
      return cell !== 0;
    case "time": {
      const time = new Date(String(cell));
      return Number.isNaN(time.getTime()) ? null : time;
    }
    default:
      return typeof cell === "string" && kind !== "json" ? cell : JSON.stringify(cell);
  }
}

/** Keeps what was written since the last call; offsets go on counting from the file's beginning. */
class Piece extends ByteWriter {
  take(): Uint8Array {
    const bytes = new Uint8Array(this.getBuffer());
    this.index = 0;
    return bytes;
  }
}

/** Writes Parquet, a row group a piece; the footer at the end names them all. */
export function parquetWriter(columns: ExportColumn[]): Writer {
  const writer = new Piece();
  const schema: SchemaElement[] = [
    { name: "tasks", num_children: columns.length },
    ...columns.map(
      ({ name, kind }): SchemaElement => ({ name, repetition_type: "OPTIONAL", ...types[kind] }),
    ),
  ];
  const file = new ParquetWriter({ writer, schema, createdBy: "lora-ledger" });
  return {
    begin: () => writer.take(),
    rows: (rows) => {
      file.write({
        columnData: columns.map(({ name, kind }, n) => ({
          name,
          data: rows.map((row) => stored(row[n] ?? null, kind)),
        })),
        rowGroupSize: rows.length,
      });
      return writer.take();
    },
    end: () => {
      file.finish();
      return writer.take();
    },
  };
}
