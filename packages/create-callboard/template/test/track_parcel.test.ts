import assert from "node:assert/strict";
import test from "node:test";
import support from "../agents/support.ts";
import trackParcel from "../tools/track_parcel.ts";

const { definition } = trackParcel;
const track = (number: string) => definition.run({ number }, {} as never);

test("a parcel is found by its number", () => {
  assert.deepEqual(track("P-1001"), {
    number: "P-1001",
    item: "Card reader",
    state: "on its way",
    arrives: "tomorrow",
  });
});

test("a parcel that is not there is an error that the model can read", () => {
  assert.throws(() => track("P-9999"), /there is no parcel P-9999/);
});

test("the agent may use the tool", () => {
  assert.deepEqual(support.definition.tools, ["track_parcel"]);
});
