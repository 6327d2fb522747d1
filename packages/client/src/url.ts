/** Addresses of calls. */

/** The path with its `{name}` parts filled in. An empty value would reach another route, so it is refused. */
export function fillPath(path: string, params: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined || value === "" || value === "." || value === "..") {
      throw new TypeError(`expected a value for ${name} in ${path}; found ${JSON.stringify(value)}`);
    }
    return encodeURIComponent(value);
  });
}

/** `?a=1&b=x,y`, or nothing; undefined values are left out and arrays are joined with commas. */
export function queryText(query: Record<string, unknown> = {}): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) parts.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  const text = parts.toString();
  return text === "" ? "" : `?${text}`;
}
