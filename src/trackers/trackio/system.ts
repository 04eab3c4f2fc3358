/** Figures of the machine as Trackio's client samples them, under the ledger's names where these mean the same. */
import { gpuFigureOf, isSystemMetric } from "../../shared/system-metrics.ts";

const GB_IN_MIB = 1024;

const machine: Record<string, [name: string, times: number]> = {
  "cpu/utilization": ["sys.cpu", 1],
  // Trackio counts in GiB.
  "memory/used": ["sys.mem_mb", GB_IN_MIB],
  "memory/total": ["sys.mem_total_mb", GB_IN_MIB],
  "network/recv_mb_per_sec": ["sys.net_in_mb_s", 1],
  "network/sent_mb_per_sec": ["sys.net_out_mb_s", 1],
};

const gpu: Record<string, [figure: string, times: number]> = {
  utilization: ["util", 1],
  util: ["util", 1],
  allocated_memory: ["mem_mb", GB_IN_MIB],
  temp: ["temp_c", 1],
  temperature: ["temp_c", 1],
  power: ["power_w", 1],
};

/** A figure by the ledger's name and in its unit; others keep their name, below `system/`. */
export function systemFigure(name: string): { name: string; times: number } {
  const known = machine[name];
  if (known) return { name: known[0], times: known[1] };
  const [, number, part = ""] = /^gpu[_/](\d{1,3})\/(\w+)$/.exec(name) ?? [];
  const figure = number === undefined ? undefined : gpu[part];
  if (figure) {
    const full = `gpu.${Number(number)}.${figure[0]}`;
    if (gpuFigureOf(full)) return { name: full, times: figure[1] };
  }
  return { name: isSystemMetric(name) ? name : `system/${name}`, times: 1 };
}
