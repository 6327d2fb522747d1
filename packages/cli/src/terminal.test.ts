/** What a person types where something is asked. */
import { expect, test } from "vitest";
import { inProcess } from "./testing/in-process.ts";
import { json, refuse, scriptedServer } from "./testing/scripted-server.ts";

const deleting = ["threads", "delete", "thread_1"];

async function type(args: readonly string[], typed: string) {
  const server = await scriptedServer({
    "DELETE /threads/thread_1": (response) => void response.writeHead(204).end(),
    "POST /session": refuse(401, "sign_in_refused", "the email address or the password is wrong"),
    "GET /me": json({}),
  });
  const outcome = await inProcess(args, { CALLBOARD_URL: server.url, CALLBOARD_TOKEN: "cbp_1" }, typed, true);
  return { ...outcome, seen: server.seen };
}

test('"yes" deletes, and nothing else does', async () => {
  const yes = await type(deleting, "yes\n");
  expect(yes).toMatchObject({ code: 0, stdout: "", seen: [{ route: "DELETE /threads/thread_1" }] });
  expect(yes.stderr).toContain('Delete thread thread_1 with all that is in it? Only "yes" does it: ');
  for (const other of ["y\n", "\n", "\u0004"]) {
    expect(await type(deleting, other)).toMatchObject({ code: 1, stdout: "Nothing was changed.\n", seen: [] });
  }
});

test("Ctrl-C ends the question with the exit code for it", async () => {
  expect(await type(deleting, "\u0003")).toMatchObject({ code: 130, stdout: "", seen: [] });
  expect(await type(["me", "--as", "ada@example.com"], "\u0003")).toMatchObject({ code: 130, seen: [] });
});

test("a password is asked for, sent, and not shown while it is typed", async () => {
  const { code, stdout, stderr, seen } = await type(["me", "--as", "ada@example.com"], "nine lives of a cat\n");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("the password of ada@example.com (not shown): ");
  expect(stderr).not.toContain("nine lives");
  expect(JSON.parse(seen[0]?.body ?? "")).toEqual({ email: "ada@example.com", password: "nine lives of a cat" });
});

test("with --json nobody is asked", async () => {
  const outcome = await type([...deleting, "--json"], "yes\n");
  expect(outcome).toMatchObject({ code: 2, seen: [] });
  expect(outcome.stderr).toContain("expected --yes, because nobody can be asked to delete thread thread_1");
});
