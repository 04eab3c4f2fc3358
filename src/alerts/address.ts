/**
 * What keeps webhooks from reaching inside: an address is looked at when it is registered and again
 * before every request, and redirects are never followed. A Worker can neither resolve a name nor
 * pin what it resolves to, so a public name that leads to a private address is not seen here;
 * Cloudflare's network has no way into private ones, but a Worker run elsewhere may.
 */
const insideNames =
  /(^|\.)(localhost|local|localdomain|internal|intranet|intra|lan|home|corp|private|svc|consul|docker|test|invalid|onion|home\.arpa)$/;

/** First address and prefix length of what is not the public internet (IANA special purposes). */
const insideV4: [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

const numberV4 = (address: string) =>
  address.split(".").reduce((number, part) => number * 256 + Number(part), 0);

const isInsideV4 = (address: string) =>
  insideV4.some(([first, bits]) => {
    const size = 2 ** (32 - bits);
    return Math.floor(numberV4(address) / size) === Math.floor(numberV4(first) / size);
  });

/** Of IPv6 only global unicast is outside, without tunnels to IPv4 and documentation. */
function isInsideV6(address: string) {
  const [head = 0, second = 0] = address
    .split(":")
    .map((group) => Number.parseInt(group || "0", 16));
  const global = head >= 0x2000 && head <= 0x3fff;
  const special = head === 0x2002 || (head === 0x2001 && (second < 0x200 || second === 0xdb8));
  const sink = head === 0x2620 && second === 0x4f;
  return !global || special || sink || (head === 0x3fff && second < 0x1000);
}

/**
 * Why a webhook may not have this address, in words; null when it may. URL has already brought the
 * host into its plain form: decimal, octal and hexadecimal IPv4 are dotted, names in lower case.
 */
export function addressFault(address: string, allowInside: boolean): string | null {
  if (!URL.canParse(address)) return "must be an address such as https://example.com/hook";
  const url = new URL(address);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return "must begin with https:// or http://";
  if (url.username || url.password)
    return "must not hold a user name or password: sign with a secret instead";
  if (allowInside) return null;
  const port = Number(url.port);
  if (url.port && port < 1024 && port !== 80 && port !== 443)
    return `must not use port ${port}, which belongs to another service than HTTP`;
  const host = url.hostname.replace(/\.+$/, "");
  const inside = host.startsWith("[")
    ? isInsideV6(host.slice(1, -1))
    : /^\d+(\.\d+){3}$/.test(host)
      ? isInsideV4(host)
      : !host.includes(".") || insideNames.test(host);
  return inside
    ? `must not point inside: ${host} is this machine, a private network or none at all. For local use set ALLOW_INSIDE_WEBHOOKS`
    : null;
}
