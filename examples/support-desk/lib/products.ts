/** The fixed lists of the desk: what it supports, who works there, how tickets are sorted. */

/** `Account` is what all products share: sign-in, people, subscription. */
export const products = ["Dovetill", "Skeinbook", "Mossgate", "Account"] as const;
export type Product = (typeof products)[number];

/** `any` leads, so that a caller who takes the first choice leaves nothing out. */
export const productChoices = ["any", ...products] as const;
export type ProductChoice = (typeof productChoices)[number];

export const teams = ["Registers", "Bookkeeping", "Networks", "Accounts and billing", "Hardware service"] as const;

export const categories = [
  "access",
  "billing",
  "bug",
  "data",
  "feature_request",
  "hardware",
  "how_to",
  "integration",
  "outage",
] as const;

/** From the least to the most pressing. */
export const priorities = ["low", "normal", "high", "urgent"] as const;
