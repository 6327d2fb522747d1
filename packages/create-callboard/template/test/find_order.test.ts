import assert from "node:assert/strict";
import test from "node:test";
import support from "../agents/support.ts";
import findOrder from "../tools/find_order.ts";

const { definition } = findOrder;
const find = (number: string) => definition.run({ number }, {} as never);

test("an order is found by its number", async () => {
  assert.deepEqual(await find("A-1001"), {
    number: "A-1001",
    state: "shipped",
    item: "Card reader",
    arrives: "tomorrow",
  });
});

test("an order that is not there is an error that the model can read", () => {
  assert.throws(() => find("A-9999"), /there is no order A-9999/);
});

test("the agent may use the tool", () => {
  assert.deepEqual(support.definition.tools, ["find_order"]);
});
