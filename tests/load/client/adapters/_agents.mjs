// The agents each server publishes for the scenarios: key -> model name of the mock.
export const AGENTS = {
  t20: "mock-t20", // W1
  k3: "mock-t20-k3", // W2: three tool-call rounds, then 20 tokens
  t20p: "mock-t20-p1", // W3: one write per token
  t500p: "mock-t500-p1", // W4: 500 tokens, one write per token, as fast as the loop turns
  t500d10: "mock-t500-d10", // W4: 500 tokens, 10 ms apart
  slow: "mock-t20-f600000", // W5: the model does not answer for ten minutes
};
export const count = (s) => s.split("lorem ").length - 1;
