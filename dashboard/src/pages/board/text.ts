/** The address of the runs whose field has this value, or has none. */
export const runsWhere = (field: string, value: string | null) =>
  `/runs?filter=${encodeURIComponent(
    value === null ? `${field} is null` : `${field} = '${value.replaceAll("'", "''")}'`,
  )}`;

/** Labels as people type them: with commas or spaces between. */
export const splitLabels = (text: string) => text.split(/[\s,]+/).filter((word) => word !== "");
