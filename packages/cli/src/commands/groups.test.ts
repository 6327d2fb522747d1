import { expect, test } from "vitest";
import { callboard } from "../testing/callboard.ts";
import { json, scriptedServer } from "../testing/scripted-server.ts";

const groups = { data: [{ id: "group_1", slug: "payments" }], next_cursor: null };
const invitation = { id: "invite_1", email: "bo@example.com", state: "open" };
const made = { invitation, url: "https://callboard.example/accept-invitation#cbi_x", token: "cbi_x" };

test("an invitation names its groups by slug, and prints its link", async () => {
  const server = await scriptedServer({
    "GET /groups?limit=200": json(groups),
    "POST /invitations": json(made, 201),
  });
  const args = ["invitations", "create", "bo@example.com", "--role", "admin", "--group", "payments"];
  expect(await callboard(server.url, args)).toEqual({
    code: 0,
    stdout:
      "id     invite_1\nemail  bo@example.com\nstate  open\nurl    https://callboard.example/accept-invitation#cbi_x\n",
    stderr: "",
  });
  expect(JSON.parse(server.seen[1]?.body ?? "")).toEqual({
    email: "bo@example.com",
    role: "admin",
    group_ids: ["group_1"],
  });
});

test("invitations are listed by state, made anew and revoked", async () => {
  const server = await scriptedServer({
    "GET /invitations?state=open": json({ data: [invitation], next_cursor: null }),
    "POST /invitations/invite_1/resend": json(made, 201),
    "POST /invitations/invite_1/revoke": json({ ...invitation, state: "revoked" }),
  });
  const listed = await callboard(server.url, ["invitations", "list", "--state", "open"]);
  expect(listed.stdout).toContain("bo@example.com");
  expect((await callboard(server.url, ["invitations", "resend", "invite_1"])).stdout).toContain("#cbi_x");
  expect((await callboard(server.url, ["invitations", "revoke", "invite_1"])).stdout).toContain("revoked");
});

test("a group is made, renamed and given other members, by its slug", async () => {
  const server = await scriptedServer({
    "POST /groups": json({ id: "group_2", slug: "finance" }, 201),
    "GET /groups?limit=200": json(groups),
    "PATCH /groups/group_1": json({ id: "group_1", slug: "payments", user_ids: ["user_1"] }),
  });
  expect(await callboard(server.url, ["groups", "create", "finance", "--user", "user_1"])).toMatchObject({ code: 0 });
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ slug: "finance", name: "finance", user_ids: ["user_1"] });
  await callboard(server.url, ["groups", "update", "payments", "--name", "Payments", "--user", "user_1"]);
  expect(JSON.parse(server.seen[2]?.body ?? "")).toEqual({ name: "Payments", user_ids: ["user_1"] });
  await callboard(server.url, ["groups", "update", "payments", "--empty"]);
  expect(JSON.parse(server.seen[4]?.body ?? "")).toEqual({ user_ids: [] });
});

test("a group that is not there is told with those that are", async () => {
  const server = await scriptedServer({ "GET /groups?limit=200": json(groups) });
  const outcome = await callboard(server.url, ["collections", "create", "rules", "--group", "suport"]);
  expect(outcome).toEqual({
    code: 2,
    stdout: "",
    stderr: "callboard: there is no group suport; the organization has payments\n",
  });
});
