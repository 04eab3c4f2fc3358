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
