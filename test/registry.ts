// A ledger with three people of the model registry: anna makes, bert approves, carla releases.
import { freshLedger, unique } from "./harness.ts";
import { lora, upload } from "./uploads.ts";

export async function openRegistry(vars: Record<string, string> = {}) {
  const ledger = await freshLedger(vars);
  const anna = (await ledger.key({ user: "anna" })).key;
  const bert = (await ledger.key({ user: "bert", scopes: ["models:read", "models:approve"] })).key;
  const carla = (
    await ledger.key({ user: "carla", scopes: ["models:read", "models:write", "models:release"] })
  ).key;

  async function newModel(fields: object = {}): Promise<string> {
    const name = unique("m-");
    await ledger.call("/api/models", { key: anna, json: { name, ...fields } });
    return name;
  }

  /** A run that has ended. */
  async function newRun(
    fields: object = {},
    end: object = { status: "success", final_loss: 0.1 },
  ): Promise<number> {
    const json = { task_name: "a run", ...fields };
    const { task_id } = await ledger.call("/api/tasks", { key: anna, json });
    await ledger.call(`/api/tasks/${task_id}/finish`, { key: anna, json: end });
    return task_id;
  }

  /** A file of its own, of that run or a new one. */
  const newWeight = async (fields: object = {}, task?: number) =>
    upload(ledger, anna, task ?? (await newRun()), lora(), { ...fields });

  async function addVersion(name: string, weightId?: number): Promise<number> {
    const json = { weight_id: weightId ?? (await newWeight()).id };
    return (await ledger.call(`/api/models/${name}/versions`, { key: anna, json })).version;
  }

  /** A step of a version on its way. */
  const act = (
    name: string,
    version: number,
    action: string,
    key: string,
    json: object = {},
    status = 200,
  ) => ledger.call(`/api/models/${name}/versions/${version}/${action}`, { key, json }, status);

  /** A version that was submitted and approved; gives its number. */
  async function approved(name: string, weightId?: number) {
    const version = await addVersion(name, weightId);
    await act(name, version, "submit", anna);
    await act(name, version, "approve", bert, { reason: "looks right" });
    return version;
  }

  const setAlias = (name: string, alias: string, version: number, key: string, status = 200) =>
    ledger.call(
      `/api/models/${name}/aliases/${alias}`,
      { method: "PUT", key, json: { version } },
      status,
    );

  return {
    ...{ ledger, anna, bert, carla },
    ...{ newModel, newRun, newWeight, addVersion, act, approved, setAlias },
  };
}
