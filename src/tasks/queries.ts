import { getTableColumns } from "drizzle-orm";
import { trainingTask } from "../db/schema.ts";

const { keyId, registrationKey, registrationHash, settleAt, finalLossReported, ...columns } =
  getTableColumns(trainingTask);

/** A task's columns as answers give them. */
export const taskColumns = columns;
