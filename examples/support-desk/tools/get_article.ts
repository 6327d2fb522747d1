import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { article, articleId, findArticle } from "../lib/desk.ts";

export default defineTool({
  description: "Reads one help-centre article in full, by its id.",
  input: z.strictObject({ id: articleId.describe("Id from search_articles or a ticket, such as KB-1042.") }),
  output: article,
  effect: "read",
  public: { input: true, output: true },
  run: ({ id }) => findArticle(id),
});
