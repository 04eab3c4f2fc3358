/** An idle box is seen to about five minutes; one that was silent for longer is most likely gone. */
const SILENT_MS = 10 * 60_000;

export const isSilent = (lastSeen: string) => Date.now() - Date.parse(lastSeen) > SILENT_MS;
