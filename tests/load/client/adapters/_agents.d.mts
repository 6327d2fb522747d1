export const AGENTS: Record<string, string>;
export function count(text: string): number;
