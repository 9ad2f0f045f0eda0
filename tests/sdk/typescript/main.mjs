// Asks a Messages API through the official SDK, as told on standard input.
//
// Each line in names a scenario and whom to ask, as JSON: `scenario`, `base_url`, `api_key`, and optionally
// `max_retries`. Each line out says what came of it: what the scenario saw, `attempts` (the HTTP answers that the SDK got
// on the way), and `error` if it ended in one. The first line out says that the SDK is loaded.

import { createInterface } from "node:readline";

import { scenarios, Target } from "./scenarios.mjs";
import { VERSION } from "./sdk.mjs";

/** What a program can learn from an error. */
function told(error) {
  const classes = [];
  for (let kind = error.constructor; kind?.name && kind !== Error; kind = Object.getPrototypeOf(kind)) {
    classes.push(kind.name);
  }
  return {
    classes,
    message: error.message,
    status: error.status ?? null,
    type: error.type ?? null,
    api_message: error.apiMessage ?? null,
    body: error.error ?? null,
    request_id: error.requestID ?? null,
  };
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

say({ scenario: "ready", version: VERSION });
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const target = new Target(call.base_url, call.api_key, call.max_retries);
  const outcome = { scenario: call.scenario };
  try {
    await scenarios[call.scenario](target, outcome);
  } catch (error) {
    outcome.error = told(error);
  }
  outcome.attempts = target.attempts;
  say(outcome);
}
