import { openAsBlob, readFileSync } from "node:fs";
import { createClient } from "@callboard/client";

const { base_url: baseUrl, token } = JSON.parse(readFileSync("/tmp/docs-data/credentials.json", "utf8"));
const client = createClient({ baseUrl, token });

const { thread, run } = await client.threads.create("escalation-desk", {
  input: { type: "user.message", text: "Reader dead after E-17, rollback tried twice. Please escalate." },
});

// Resumes by itself when the connection breaks.
for await (const event of client.events.follow(thread.id, { until: run?.id })) {
  if (event.type === "permission.requested") {
    const { permission_id } = event.data;
    await client.events.send(thread.id, { type: "permission.decision", permission_id, decision: "allow_once" });
  }
  if (event.type === "agent.message") console.log(event.data.text);
}

const file = await client.files.uploadToThread(thread.id, {
  name: "reader.txt",
  content: await openAsBlob("/tmp/q/reader.txt"),
  mediaType: "text/plain",
});
console.log(file.id, (await client.runs.transcript(run?.id ?? "")).steps.length);

// Create, wait for the end, answer.
const answered = await client.threads.run("help-center", { text: "How do I set up the gateway?" });
console.log(answered.run.state, answered.run.result?.text);
