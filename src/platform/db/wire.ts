/** camelCase of the code to snake_case of the wire. */
type Snake<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Tail extends Uncapitalize<Tail>
    ? `${Uncapitalize<Head>}${Snake<Tail>}`
    : `${Uncapitalize<Head>}_${Snake<Tail>}`
  : S;

export type Wire<T> = { [K in keyof T as Snake<K & string>]: T[K] };

/** Remembers what a name becomes: the names are the schema's few, the rows many. */
const memoize = (convert: (name: string) => string) => {
  const names = new Map<string, string>();
  return (name: string) => {
    const known = names.get(name);
    if (known !== undefined) return known;
    const made = convert(name);
    if (names.size < 1000) names.set(name, made);
    return made;
  };
};

const snake = memoize((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
const camel = memoize((name) =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
);

/** A column's name on the wire and in the database. */
export const wireName = (name: string): string => snake(name);

/**
 * A row as it goes over the wire: its own keys in snake_case, values untouched. What drizzle selects has
 * the code's names until the answer is made; rows of SQL written by hand have the wire's names already.
 */
export const toWire = <T extends object>(row: T): Wire<T> =>
  // The mapping of keys is exactly what Wire<T> says of the types.
  Object.fromEntries(Object.entries(row).map(([key, value]) => [snake(key), value])) as Wire<T>;

/** The reverse of toWire. */
export const fromWire = <T extends object>(body: Wire<T>): T =>
  Object.fromEntries(Object.entries(body).map(([key, value]) => [camel(key), value])) as T;
