import { expect, test } from "vitest";
import { callboard } from "../testing/callboard.ts";
import { json, scriptedServer } from "../testing/scripted-server.ts";

const token = { id: "token_1", label: "shop" };

test("rotate prints the new secret, and says how long the old one goes on", async () => {
  const server = await scriptedServer({ "POST /tokens/token_1/rotate": json({ token, secret: "cbs_new" }) });
  const args = ["tokens", "rotate", "token_1", "--overlap-seconds", "3600", "--expires-in-days", "never"];
  expect(await callboard(server.url, args)).toEqual({
    code: 0,
    stdout: "id      token_1\nlabel   shop\nsecret  cbs_new\n",
    stderr: "",
  });
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ overlap_seconds: 3600, expires_in_days: null });
});

test("rotate without options leaves both to the server", async () => {
  const server = await scriptedServer({ "POST /tokens/token_1/rotate": json({ token, secret: "cbs_new" }) });
  await callboard(server.url, ["tokens", "rotate", "token_1"]);
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({});
});

test("update sends what was named and nothing else; agents may be slugs", async () => {
  const server = await scriptedServer({
    "PATCH /tokens/token_1": json(token),
    "GET /agents/help-center": json({ id: "agent_1", slug: "help-center" }),
  });
  await callboard(server.url, ["tokens", "update", "token_1", "--label", "shop"]);
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ label: "shop" });
  await callboard(server.url, ["tokens", "update", "token_1", "--agent", "help-center", "--no-attribute"]);
  expect(JSON.parse(server.seen[2]?.body ?? "")).toEqual({ agent_ids: ["agent_1"], may_attribute: false });
});

test("a service token that may act for people is made with --attribute", async () => {
  const server = await scriptedServer({ "POST /tokens": json({ token, secret: "cbs_1" }, 201) });
  await callboard(server.url, ["tokens", "create", "--kind", "service", "--label", "shop", "--attribute"]);
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ kind: "service", label: "shop", may_attribute: true });
});
