/** Calls the endpoint of the server that `npm start` runs: `node ask.ts "Where is my parcel P-1001?"` */
import { readFileSync } from "node:fs";
import { createClient } from "@callboard/client";
import type { EndpointOutput } from "@callboard/kit";
import type answer from "./endpoints/answer.ts";

const { base_url: baseUrl, token } = JSON.parse(readFileSync(".callboard/credentials.json", "utf8"));
const client = createClient({ baseUrl, token });

const question = process.argv[2] ?? "Where is my parcel P-1001?";
const said = await client.endpoints.call<EndpointOutput<typeof answer>>("answer", { question });
console.log(said.answer);
