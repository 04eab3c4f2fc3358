import { expect, it } from "vitest";
import { addressFault } from "./address.ts";

it.each([
  "https://hooks.slack.com/services/T0/B0/x",
  "https://example.com",
  "http://example.com:8080/hook?key=1",
  "https://example.com.:443/",
  "https://9.9.9.9/",
  "https://172.32.0.1/",
  "https://100.128.0.1/",
  "https://[2606:4700::1111]/",
  "https://localhost.example.com/",
  "https://bücher.example/",
])("lets %s pass", (address) => {
  expect(addressFault(address, false)).toBeNull();
});

it.each([
  "http://localhost/",
  "http://ledger.default.svc/",
  "http://db.service.consul/",
  "http://wiki.intra/",
  "http://host.docker/",
  "http://a.onion/",
  "http://192.31.196.1/",
  "http://192.52.193.1/",
  "http://192.175.48.6/",
  "http://[2620:4f:8000::1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[64:ff9b:1::1]/",
  "http://[100::1]/",
  "http://[5f00::1]/",
  "http://[fec0::1]/",
  "http://localhost:8787/api",
  "http://LOCALHOST./",
  "http://a.localhost/",
  "http://127.0.0.1/",
  "http://127.1/",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0x7f.1/",
  "http://0177.0.0.1/",
  "http://0/",
  "http://①②⑦.0.0.1/",
  "http://127.0.0.1./",
  "http://%31%32%37.0.0.1/",
  "http://10.1.2.3/",
  "http://172.16.0.1/",
  "http://172.31.255.255/",
  "http://192.168.1.1/",
  "http://100.64.0.1/",
  "http://169.254.169.254/latest/meta-data/",
  "http://0.0.0.0/",
  "http://198.18.0.1/",
  "http://224.0.0.1/",
  "http://255.255.255.255/",
  "http://[::]/",
  "http://[::1]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:7f00:1]/",
  "http://[::ffff:8.8.8.8]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[fe80::1]/",
  "http://[fc00::1]/",
  "http://[fd00:ec2::254]/",
  "http://[ff02::1]/",
  "http://[2002:7f00:1::]/",
  "http://[2001::1]/",
  "http://[2001:db8::1]/",
  "http://metadata.google.internal/computeMetadata/v1/",
  "http://metadata/",
  "http://router.lan/",
  "http://printer.local/",
  "http://nas.home.arpa/",
])("refuses %s, which points inside", (address) => {
  expect(addressFault(address, false)).toMatch(/^must not point inside/);
  expect(addressFault(address, true)).toBeNull();
});

it.each([
  ["ftp://example.com/", /https:/],
  ["file:///etc/passwd", /https:/],
  ["javascript:alert(1)", /https:/],
  ["//example.com", /must be an address/],
  ["example.com", /must be an address/],
  ["http://", /must be an address/],
  ["https://user@example.com/", /user name or password/],
  ["https://127.0.0.1:x@example.com/", /user name or password/],
])("refuses %s also where inside is allowed", (address, words) => {
  expect(addressFault(address, false)).toMatch(words);
  expect(addressFault(address, true)).toMatch(words);
});

it.each([22, 25, 445, 1])("refuses port %i, another service's", (port) => {
  expect(addressFault(`http://example.com:${port}/`, false)).toMatch(/port/);
});

// The first and the last address of each range, and of its neighbours on the public internet.
it.each([
  ["0.0.0.0", "0.255.255.255", null, "1.0.0.0"],
  ["10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"],
  ["100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"],
  ["127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"],
  ["169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"],
  ["172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"],
  ["192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"],
  ["192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"],
  ["192.31.196.0", "192.31.196.255", "192.31.195.255", "192.31.197.0"],
  ["192.52.193.0", "192.52.193.255", "192.52.192.255", "192.52.194.0"],
  ["192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"],
  ["192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"],
  ["192.175.48.0", "192.175.48.255", "192.175.47.255", "192.175.49.0"],
  ["198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"],
  ["198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"],
  ["203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"],
  ["224.0.0.0", "255.255.255.255", "223.255.255.255", null],
  // Whatever is not global unicast: ::, ::1, mapped and compatible IPv4, NAT64, discard, and the unassigned.
  ["[::]", "[1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", null, "[2000::]"],
  ["[::7f00:1]", "[::ffff:808:808]", null, null],
  ["[::ffff:0:7f00:1]", "[::ffff:0:808:808]", null, null],
  ["[64:ff9b::]", "[64:ff9b::ffff:ffff]", null, null],
  ["[64:ff9b:1::]", "[64:ff9b:1:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[100::]", "[100::ffff:ffff:ffff:ffff]", null, null],
  // IETF protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID and others.
  [
    "[2001::]",
    "[2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2001:200::]",
  ],
  ["[2001:0:7f00:1::]", "[2001:0:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[2001:2::]", "[2001:2:0:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[2001:3::]", "[2001:4:112::1]", null, null],
  ["[2001:10::]", "[2001:3f:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  [
    "[2001:db8::]",
    "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2001:db7:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2001:db9::]",
  ],
  [
    "[2002::]",
    "[2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2003::]",
  ],
  [
    "[2620:4f::]",
    "[2620:4f:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2620:4e:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[2620:50::]",
  ],
  [
    "[3fff::]",
    "[3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[3fff:1000::]",
  ],
  [
    "[4000::]",
    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    null,
  ],
  ["[5f00::]", "[5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[fc00::]", "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[fe80::]", "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[fec0::]", "[feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", null, null],
  ["[ff00::]", "[ffff::]", null, null],
])("refuses %s to %s, and nothing beside them", (first, last, before, after) => {
  const verdict = (host: string) => addressFault(`http://${host}/`, false);
  for (const host of [first, last]) expect(verdict(host)).toMatch(/^must not point inside/);
  for (const host of [before, after]) if (host) expect(verdict(host)).toBeNull();
});

it.each([
  "0xa.1",
  "012.0.0.1",
  "167772161",
  "192.168.257",
  "0300.0xa8.1",
  "169.254.43518",
  "[0:0:0:0:0:0:0:1]",
  "[::127.0.0.1]",
  "[0:0:0:0:0:FFFF:127.0.0.1]",
  "[64:FF9B::10.0.0.1]",
  "[2002:a00:1::]",
  "[FE80::1]",
])("refuses the odd spelling %s", (host) => {
  expect(addressFault(`http://${host}/`, false)).toMatch(/^must not point inside/);
});

it.each(["1.1", "0x8.8.8.8", "[2606:4700:0:0:0:0:0:1111]", "[2A00:1450::1.2.3.4]"])(
  "lets the odd spelling %s pass",
  (host) => expect(addressFault(`http://${host}/`, false)).toBeNull(),
);
