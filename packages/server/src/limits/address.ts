/** What counts as one address: a customer of IPv6 has 64 bits of them. */
export function network(address: string): string {
  const text = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!text.includes(":")) return text;
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : Array(Math.max(0, 8 - left.length - right.length)).fill("0");
  return [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((part) => part.replace(/^0+(?=.)/, "").toLowerCase())
    .join(":");
}
