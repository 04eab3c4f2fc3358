/** A name that no other test uses. */
export const unique = (prefix: string) =>
  `${prefix}${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
