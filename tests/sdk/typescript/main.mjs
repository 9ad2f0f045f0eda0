// Asks a Messages API through the official SDK, as told on standard input.
//
// Each line in names a scenario and whom to ask, as JSON: `scenario`, `base_url`, `api_key`, and optionally
// `max_retries` and, for the scenario `calls`, what to ask: `calls` and `at_once`. Each line out says what came of it:
// what the scenario saw, `attempts` (the HTTP answers that the SDK got on the way), and `error` if it ended in one. The
// first line out says that the SDK is loaded.

import { createInterface } from "node:readline";

import { scenarios, Target, told } from "./scenarios.mjs";
import { VERSION } from "./sdk.mjs";

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

say({ scenario: "ready", version: VERSION });
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const target = new Target(call.base_url, call.api_key, call.max_retries);
  Object.assign(target, { calls: call.calls ?? [], atOnce: call.at_once ?? 1 });
  const outcome = { scenario: call.scenario };
  try {
    await scenarios[call.scenario](target, outcome);
  } catch (error) {
    outcome.error = told(error);
  }
  outcome.attempts = target.attempts;
  say(outcome);
}
