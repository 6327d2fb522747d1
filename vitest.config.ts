import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/**/*.test.{ts,tsx}", "examples/**/*.test.ts", "tests/**/*.test.ts"],
    // Recovery in full takes minutes and has a configuration of its own: npm run test:crash. The template's tests are
    // for Node's own runner.
    exclude: ["**/node_modules/**", "**/dist/**", "tests/crash/full/**", "packages/create-callboard/template/**"],
    globalSetup: ["packages/server/src/testing/global-setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    // On a busy machine what is waited for may take its time; nothing here asserts one. Only what hangs runs into these.
    expect: { poll: { timeout: 90_000 } },
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
