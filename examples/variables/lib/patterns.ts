/** Where the values of variables come from: the request, never the visitor's words. */

/**
 * Locale: the language the visitor's browser asks for first, of those there are.
 *
 * @param header `Accept-Language`, RFC 9110 section 12.5.4: `de-CH, de;q=0.9, *;q=0.1`
 */
export function localeFrom(header: string | null, offered: readonly string[]): string {
  const asked = (header ?? "")
    .split(",")
    .map((entry) => {
      const [tag = "", quality] = entry.trim().split(/\s*;\s*q=/);
      return { tag: tag.toLowerCase(), quality: quality === undefined ? 1 : Number(quality) };
    })
    .filter(({ tag, quality }) => tag !== "" && quality > 0)
    .sort((a, b) => b.quality - a.quality);
  for (const { tag } of asked) {
    const found =
      offered.find((locale) => locale.toLowerCase() === tag) ?? offered.find((locale) => locale === tag.split("-")[0]);
    if (found !== undefined) return found;
  }
  return offered[0] as string;
}

const PREFIX = "tenant-";

/**
 * Tenant: from the caller's groups, so that nobody can ask for another one.
 *
 * @returns undefined for a caller of none or of several
 */
export function tenantOf(groups: readonly string[]): string | undefined {
  const tenants = groups.filter((slug) => slug.startsWith(PREFIX)).map((slug) => slug.slice(PREFIX.length));
  return tenants.length === 1 ? tenants[0] : undefined;
}

/** Feature flag: the word `true` or `false`, which a prompt can read and a template can compare. */
export const flag = (isOn: boolean): "true" | "false" => (isOn ? "true" : "false");
