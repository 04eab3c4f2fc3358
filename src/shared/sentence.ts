export type ParamValue = string | number;

/** A sentence with its parameters, `{name}`, filled in; a name without a value stays as it is. */
export const fillIn = (sentence: string, params: Readonly<Record<string, unknown>>): string =>
  sentence.replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(params, name) ? String(params[name]) : whole,
  );
