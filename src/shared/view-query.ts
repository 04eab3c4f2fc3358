/** What of the runs' address a view keeps, in the order in which it is written. */
export const viewParameters = [
  "filter",
  "q",
  "status",
  "user",
  "order",
  "group",
  "cols",
  "deleted",
] as const;

/** Parameters as an address has them: commas and colons are all over these lists, and readable as they are. */
export const queryText = (params: URLSearchParams) =>
  params.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");

/** The view that an address shows, as one text: the same for all addresses that show the same. */
export function viewQuery(params: URLSearchParams): string {
  const kept = new URLSearchParams();
  for (const name of viewParameters) {
    const value = params.get(name);
    if (value) kept.set(name, value);
  }
  return queryText(kept);
}
