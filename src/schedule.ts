import { tellIdleBoxes } from "./alerts/boxes.ts";
import { retryDeliveries, tellWebhooks } from "./alerts/outbox.ts";
import { type Bindings, readConfig } from "./env.ts";
import { collectUploads } from "./files/collect.ts";
import { applyRetentionRules } from "./files/retention.ts";
import { exportAudit } from "./platform/audit/export.ts";
import { openDb } from "./platform/db/client.ts";
import { type JobFaults, readFaults } from "./platform/faults.ts";
import { purgeOld } from "./platform/purge-old.ts";
import { advanceQueue } from "./queue/advance.ts";
import { sweepLost } from "./queue/lost.ts";
import { emptyTrash } from "./runs/purge.ts";
import { purgeOldOfRuns } from "./runs/purge-old.ts";
import { renewOldLogs, settleLogs } from "./runs/settle-logs.ts";
import { writeMirrors } from "./trackers/mirror/job.ts";

/**
 * What the cron trigger does every minute: each job is bounded and goes on the next minute. Rows that a
 * job fails at are set aside, so that neither its other rows nor the other jobs wait for them.
 */
export async function runSchedule(env: Bindings): Promise<void> {
  const config = readConfig(env);
  const db = openDb(config);
  const faults = await readFaults(db);
  const jobs: Record<string, (aside: JobFaults) => Promise<unknown>> = {
    sweepLost: (aside) => sweepLost(db, config, aside),
    advanceQueue: (aside) => advanceQueue(db, aside),
    tellIdleBoxes: (aside) => tellIdleBoxes(db, config, aside),
    settleLogs: (aside) => settleLogs(db, aside),
    renewOldLogs: (aside) => renewOldLogs(db, aside),
    applyKeepRules: (aside) => applyRetentionRules(db, aside),
    emptyTrash: (aside) => emptyTrash(db, env, config, aside),
    sweepUploads: () => collectUploads(db, env, config),
    purgeOld: () => purgeOld(db, config, purgeOldOfRuns(db, config)),
    exportAudit: () => exportAudit(db, env, config),
    // Alerts come after these, so that they tell of what those failed at.
    tellWebhooks: () => tellWebhooks({ db, env, config }),
    retryDeliveries: () => retryDeliveries({ db, env, config }),
    // Other people's servers may be slow, so that nothing waits behind them.
    writeMirrors: (aside) => writeMirrors(db, config, aside),
  };
  for (const [name, job] of Object.entries(jobs)) {
    const aside = faults(name);
    try {
      await aside.whole(() => job(aside));
    } catch (error) {
      // The database is away: the next minute tries again.
      console.error("scheduled job failed", name, error instanceof Error ? error.name : "");
    }
  }
}
