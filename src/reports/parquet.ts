// Parquet out of hyparquet-writer's own encoders. Its ParquetWriter would bring what no task needs
// (variants, geometry, Bloom filters, dictionaries), which is 14 kB of a Worker's 250.
// Format: https://github.com/apache/parquet-format (README.md, src/main/thrift/parquet.thrift).
import { ByteWriter } from "hyparquet-writer/src/bytewriter.js";
import { writeRleBitPackedHybrid } from "hyparquet-writer/src/encoding.js";
import { writePlain } from "hyparquet-writer/src/plain.js";
import { snappyCompress } from "hyparquet-writer/src/snappy.js";
import { serializeTCompactProtocol } from "hyparquet-writer/src/thrift.js";
import type { ExportColumn, Kind } from "./export-columns.ts";
import type { Cell, Writer } from "./export-writer.ts";

const MAGIC = 0x31524150; // "PAR1"
const encoder = new TextEncoder();

/** Numbers of the format's enumerations. */
const types = { BOOLEAN: 0, INT64: 2, DOUBLE: 5, BYTE_ARRAY: 6 } as const;
const OPTIONAL = 1;
const UTF8 = 0;
const TIMESTAMP_MILLIS = 9;
const DATA_PAGE = 0;
const PLAIN = 0;
const RLE = 3;
const SNAPPY = 1;

const physical: Record<Kind, { type: keyof typeof types; converted?: number }> = {
  integer: { type: "INT64" },
  number: { type: "DOUBLE" },
  boolean: { type: "BOOLEAN" },
  time: { type: "INT64", converted: TIMESTAMP_MILLIS },
  text: { type: "BYTE_ARRAY", converted: UTF8 },
  any: { type: "BYTE_ARRAY", converted: UTF8 },
  json: { type: "BYTE_ARRAY", converted: UTF8 },
};

/** A cell as its column's type holds it; null: a missing value. */
function stored(cell: Cell, kind: Kind): bigint | number | boolean | Uint8Array | null {
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
      return encoder.encode(
        typeof cell === "string" && kind !== "json" ? cell : JSON.stringify(cell),
      );
  }
}

/** A page (format version 1): which values are there, then these, packed. */
function pageOf(values: ReturnType<typeof stored>[], type: keyof typeof types) {
  const levels = new ByteWriter();
  writeRleBitPackedHybrid(
    levels,
    values.map((value) => Number(value !== null)),
    1,
  );
  const page = new ByteWriter();
  page.appendUint32(levels.offset);
  page.appendBytes(levels.getBytes());
  writePlain(
    page,
    values.filter((value) => value !== null),
    type,
    undefined,
  );
  const bytes = page.getBytes();
  const packed = snappyCompress(bytes);
  const header = new ByteWriter();
  serializeTCompactProtocol(header, {
    field_1: DATA_PAGE,
    field_2: bytes.length,
    field_3: packed.length,
    field_5: { field_1: values.length, field_2: PLAIN, field_3: RLE, field_4: RLE },
  });
  return { header: header.getBytes(), packed, size: bytes.length };
}

/** Writes Parquet, a row group a piece; the footer at the end says where they are. */
export function parquetWriter(columns: ExportColumn[]): Writer {
  let offset = 0;
  let count = 0;
  const groups: object[] = [];
  /** What `write` puts down, and the place in the file of what comes next. */
  const piece = (write: (to: ByteWriter) => void) => {
    const to = new ByteWriter();
    write(to);
    offset += to.offset;
    return to.getBytes();
  };
  return {
    begin: () => piece((to) => to.appendUint32(MAGIC)),
    rows: (rows) =>
      piece((to) => {
        if (rows.length === 0) return;
        let total = 0;
        const chunks = columns.map(({ name, kind }, n) => {
          const { type } = physical[kind];
          const at = BigInt(offset + to.offset);
          const values = rows.map((row) => stored(row[n] ?? null, kind));
          const { header, packed, size } = pageOf(values, type);
          to.appendBytes(header);
          to.appendBytes(packed);
          total += header.length + size;
          const about = {
            field_1: types[type],
            field_2: [PLAIN, RLE],
            field_3: [name],
            field_4: SNAPPY,
            field_5: BigInt(rows.length),
            field_6: BigInt(header.length + size),
            field_7: BigInt(header.length + packed.length),
            field_9: at,
          };
          return { field_2: at, field_3: about };
        });
        groups.push({ field_1: chunks, field_2: BigInt(total), field_3: BigInt(rows.length) });
        count += rows.length;
      }),
    end: () =>
      piece((to) => {
        serializeTCompactProtocol(to, {
          field_1: 1,
          field_2: [
            { field_4: "tasks", field_5: columns.length },
            ...columns.map(({ name, kind }) => ({
              field_1: types[physical[kind].type],
              field_3: OPTIONAL,
              field_4: name,
              field_6: physical[kind].converted,
            })),
          ],
          field_3: BigInt(count),
          field_4: groups,
          field_6: "lora-ledger",
        });
        to.appendUint32(to.offset);
        to.appendUint32(MAGIC);
      }),
  };
}
