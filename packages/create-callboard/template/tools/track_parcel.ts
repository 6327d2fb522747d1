import { defineTool } from "@callboard/kit";
import { z } from "zod";

/** Ask your own system here; `context.fetch` reaches it. */
const parcels = [
  { number: "P-1001", item: "Card reader", state: "on its way", arrives: "tomorrow" },
  { number: "P-1002", item: "Receipt paper, 20 rolls", state: "packed", arrives: "in three days" },
];

export default defineTool({
  description: "Tells where a parcel is, by its number, like P-1001.",
  input: z.strictObject({ number: z.string().regex(/^P-\d{4}$/, "expected a number like P-1001") }),
  output: z.object({ number: z.string(), item: z.string(), state: z.string(), arrives: z.string() }),
  effect: "read",
  run({ number }) {
    const parcel = parcels.find((one) => one.number === number);
    if (parcel === undefined) throw new Error(`there is no parcel ${number}`);
    return parcel;
  },
});
