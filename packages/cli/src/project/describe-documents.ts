/** A plan of collections in words: one paragraph for each that changes. */
import type { CollectionPlan, DocumentPlan } from "@callboard/server";
import { plain, styled } from "../output.ts";
import { describeChange } from "./describe.ts";

const words = { add: "to add", replace: "to replace", delete: "to delete", none: "unchanged" } as const;

/** @returns lines without their ends; none for a collection that stays as it is */
export function describeCollection(plan: CollectionPlan): string[] {
  const { action, slug, file, changes, newGroups, language, documents } = plan;
  const lines = documents.flatMap(describeDocument);
  const notes = [
    ...newGroups.map((group) => `    makes the group ${plain(group)}, without members`),
    ...(language === undefined ? [] : [`    keeps its language ${language}: delete the collection to change it`]),
  ];
  const place = `documents/${plain(slug)}`;
  if (action === "create") {
    const { name, language: chosen, organization, groups } = file;
    const opened = organization ? { organization } : {};
    const fields = { name, language: chosen, ...opened, ...(groups.length === 0 ? {} : { groups: [...groups] }) };
    const described = Object.entries(fields).flatMap(([path, after]) => describeChange({ path, after }));
    return [styled("green", `+ ${place}: create`), ...described, ...notes, ...lines];
  }
  if (action === "update") {
    return [styled("yellow", `~ ${place}`), ...changes.flatMap(describeChange), ...notes, ...lines];
  }
  return notes.length === 0 ? [] : [`  ${place}`, ...notes];
}

function describeDocument(one: DocumentPlan): string[] {
  const name = plain(one.name);
  switch (one.action) {
    case "none":
      return [];
    case "add":
      return [styled("green", `    + ${name}  ${one.file.sizeBytes} bytes`)];
    case "delete":
      return [styled("red", `    - ${name}`)];
    case "replace": {
      const { document, file } = one;
      const parts = [`${document.size_bytes} → ${file.sizeBytes} bytes`];
      if (document.title !== file.title) parts.push(`title ${quoted(document.title)} → ${quoted(file.title)}`);
      if (document.media_type !== file.mediaType) parts.push(`${document.media_type} → ${file.mediaType}`);
      return [styled("yellow", `    ~ ${name}  ${plain(parts.join(", "))}`)];
    }
  }
}

const quoted = (text: string): string => JSON.stringify(text);

/** `Documents: 1 to add, 2 to replace, 4 unchanged.` */
export function summarizeCollections(plans: readonly CollectionPlan[]): string {
  const all = plans.flatMap(({ documents }) => documents);
  const parts = Object.entries(words).flatMap(([action, text]) => {
    const count = all.filter((one) => one.action === action).length;
    return count === 0 ? [] : [`${count} ${text}`];
  });
  return `Documents: ${parts.join(", ") || "none"}.`;
}
