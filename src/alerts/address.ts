import ipaddr from "ipaddr.js";

/**
 * What keeps webhooks from reaching inside: an address is looked at when it is registered and again
 * before every request, and redirects are never followed. A Worker can neither resolve a name nor
 * pin what it resolves to, so a public name that leads to a private address is not seen here;
 * Cloudflare's network has no way into private ones, but a Worker run elsewhere may.
 */
const insideNames =
  /(^|\.)(localhost|local|localdomain|internal|intranet|intra|lan|home|corp|private|svc|consul|docker|test|invalid|onion|home\.arpa)$/;

/** Global unicast: of IPv6 nothing else is the public internet. */
const global6 = ipaddr.IPv6.parseCIDR("2000::/3");
/** Beside the AS112 sink, which ipaddr.js knows. */
const besideSink6 = ipaddr.IPv6.parseCIDR("2620:4f::/32");

/** Whether an address has a special purpose (IANA's registries) instead of being the public internet's. */
function isInside(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== "unicast") return true;
  return address instanceof ipaddr.IPv6 && (!address.match(global6) || address.match(besideSink6));
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
    ? isInside(ipaddr.IPv6.parse(host.slice(1, -1)))
    : ipaddr.IPv4.isValidFourPartDecimal(host)
      ? isInside(ipaddr.IPv4.parse(host))
      : !host.includes(".") || insideNames.test(host);
  return inside
    ? `must not point inside: ${host} is this machine, a private network or none at all. For local use set ALLOW_INSIDE_WEBHOOKS`
    : null;
}
