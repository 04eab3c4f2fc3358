import { tellIdleBoxes } from "./alerts/boxes.ts";
import { retryDeliveries, tellWebhooks } from "./alerts/outbox.ts";
import { exportAudit } from "./audit/export.ts";
import { openDb } from "./db/client.ts";
import { type Bindings, readConfig } from "./env.ts";
import { settleLogs } from "./logs/settle.ts";
import { advanceQueue } from "./queue/advance.ts";
import { sweepLost } from "./queue/lost.ts";
import { applyKeepRules } from "./storage/rules.ts";
import { purgeOld } from "./trash/old.ts";
import { emptyTrash } from "./trash/purge.ts";
import { sweepUploads } from "./weights/sweep.ts";

/** What the cron trigger does every minute: each job is bounded and goes on the next minute. */
export async function runSchedule(env: Bindings): Promise<void> {
  const config = readConfig(env);
  const db = openDb(config);
  const jobs = {
    sweepLost: () => sweepLost(db, config),
    advanceQueue: () => advanceQueue(db),
    tellIdleBoxes: () => tellIdleBoxes(db, config),
    tellWebhooks: () => tellWebhooks({ db, env, config }),
    retryDeliveries: () => retryDeliveries({ db, env, config }),
    settleLogs: () => settleLogs(db),
    applyKeepRules: () => applyKeepRules(db),
    emptyTrash: () => emptyTrash(db, env, config),
    sweepUploads: () => sweepUploads(db, env, config),
    purgeOld: () => purgeOld(db, config),
    exportAudit: () => exportAudit(db, env, config),
  };
  for (const [name, job] of Object.entries(jobs)) {
    try {
      await job();
    } catch (error) {
      // One job's fault must not keep the others from running; the next minute tries again.
      console.error("scheduled job failed", name, error instanceof Error ? error.name : "");
    }
  }
}
