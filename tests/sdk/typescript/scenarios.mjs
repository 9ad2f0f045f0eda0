// What a program does with the SDK. Each scenario notes what it sees in `outcome` as it goes.

import { Anthropic } from "./sdk.mjs";

const MODEL = "claude-sonnet-5-5";
const TOOL = {
  name: "get_weather",
  description: "The weather in a city",
  input_schema: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer", minimum: 3 } },
    required: ["city", "days"],
  },
};

const SEARCH = { type: "web_search_20250305", name: "web_search" };
const FETCH = { type: "web_fetch_20250910", name: "web_fetch" };
const PARTS = [
  { type: "text", text: "You know all rivers.", cache_control: { type: "ephemeral", ttl: "1h" } },
  { type: "text", text: "You like brevity.", cache_control: { type: "ephemeral" } },
];

/** What a program can learn from an error. */
export function told(error) {
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

/** Whom to ask, and the answers that came on the way. */
export class Target {
  attempts = [];
  /** What the scenario `calls` asks, and how many calls of it run side by side. */
  calls = [];
  atOnce = 1;

  constructor(baseURL, apiKey, maxRetries) {
    // The SDK would take an empty address for Anthropic's own.
    if (!baseURL.startsWith("http://127.0.0.1:")) {
      throw new Error(`not this machine: ${baseURL}`);
    }
    const noting = async (...request) => {
      const response = await fetch(...request);
      this.attempts.push({
        status: response.status,
        retry_after: response.headers.get("retry-after"),
        should_retry: response.headers.get("x-should-retry"),
      });
      return response;
    };
    this.client = new Anthropic({ baseURL, apiKey, maxRetries, fetch: noting });
  }
}

function asked(text, more = {}) {
  return { model: MODEL, max_tokens: 1024, messages: [{ role: "user", content: text }], ...more };
}

/** A call that is billed in every way: cache writes of both lifetimes and reads, thinking, the provider's own tools. */
function ofEveryKind() {
  const tools = [TOOL, SEARCH, FETCH];
  const more = { system: PARTS, thinking: { type: "adaptive" }, tools };
  return asked("Read the cached part and use get_weather.", more);
}

/** Streams with the SDK's helper, which puts the message together again. */
async function streamed({ client }, outcome, call) {
  Object.assign(outcome, { text: "", thinking: "", partial_json: "" });
  const stream = client.messages.stream(call);
  stream.on("connect", () => (outcome.request_id = stream.request_id));
  stream.on("text", (text) => (outcome.text += text));
  stream.on("thinking", (thinking) => (outcome.thinking += thinking));
  stream.on("inputJson", (json) => (outcome.partial_json += json));
  outcome.message = await stream.finalMessage();
}

/** What an answer's headers say about who gave it. */
function met(headers) {
  const of = (name) => headers?.get(name) ?? null;
  return { provider: of("x-levee-provider"), attempts: of("x-levee-attempts"), reason: of("x-levee-fallback-reason") };
}

/** One of the calls of the scenario `calls`; `seen` is what comes of it. */
async function ask(client, wanted, seen) {
  const metadata = wanted.user ? { metadata: { user_id: wanted.user } } : {};
  const headers = wanted.session ? { "x-levee-session": wanted.session } : {};
  const call = asked("Tell me about levees.", { ...metadata, stream: wanted.streamed ?? false });
  const { data, response } = await client.messages.create(call, { headers }).withResponse();
  Object.assign(seen, met(response.headers), { status: response.status });
  if (!wanted.streamed) {
    seen.is_whole = data.type === "message";
    return;
  }
  for await (const event of data) {
    seen.events.push(event.type);
  }
  seen.is_whole = seen.events.at(-1) === "message_stop";
}

export const scenarios = {
  async create({ client }, outcome) {
    const message = await client.messages.create(asked("Tell me about levees."));
    Object.assign(outcome, { message, request_id: message._request_id });
  },

  async cached({ client }, outcome) {
    outcome.message = await client.messages.create(asked("Read the cached part.", { system: PARTS }));
  },

  async create_raw({ client }, outcome) {
    const call = client.messages.create(asked("Tell me about levees."));
    const { data, response, request_id } = await call.withResponse();
    const headers = Object.fromEntries(response.headers);
    Object.assign(outcome, { status: response.status, headers, message: data, request_id });
  },

  async stream_events({ client }, outcome) {
    outcome.events = [];
    for await (const event of await client.messages.create(asked("Tell me about levees.", { stream: true }))) {
      outcome.events.push(event);
    }
  },

  async stream_text(target, outcome) {
    await streamed(target, outcome, asked("Tell me about levees."));
  },

  async stream_tool(target, outcome) {
    await streamed(target, outcome, asked("Use get_weather for Rotterdam.", { tools: [TOOL] }));
  },

  async stream_thinking(target, outcome) {
    await streamed(target, outcome, asked("Think about levees.", { thinking: { type: "adaptive" } }));
  },

  async billed({ client }, outcome) {
    outcome.message = await client.messages.create(ofEveryKind());
  },

  async stream_billed(target, outcome) {
    await streamed(target, outcome, ofEveryKind());
  },

  async count_tokens({ client }, outcome) {
    const { max_tokens, ...call } = asked("How many tokens is this?", { tools: [TOOL] });
    outcome.input_tokens = (await client.messages.countTokens(call)).input_tokens;
  },

  // Every page, three models each.
  async models({ client }, outcome) {
    outcome.ids = [];
    for await (const model of client.models.list({ limit: 3 })) {
      outcome.ids.push(model.id);
    }
  },

  async model({ client }, outcome) {
    outcome.model = await client.models.retrieve("claude-opus-5-5");
  },

  async beta({ client }, outcome) {
    const call = asked("Tell me about levees.", { betas: ["one-2026-01-01", "two"] });
    outcome.message = await client.beta.messages.create(call);
  },

  // Calls side by side over one client.
  async at_once({ client }, outcome) {
    const call = (number) =>
      number % 2 === 0
        ? client.messages.create(asked(`Call ${number}`))
        : client.messages.stream(asked(`Call ${number}`)).finalMessage();
    outcome.messages = await Promise.all([0, 1, 2, 3, 4, 5].map(call));
  },

  // Calls as `target.calls` says, in that order, and what came of each of them.
  async calls({ client, calls, atOnce }, outcome) {
    outcome.calls = calls.map(() => ({ events: [], is_whole: false }));
    const left = calls.entries();
    const oneAfterTheOther = async () => {
      for (const [number, wanted] of left) {
        const seen = outcome.calls[number];
        try {
          await ask(client, wanted, seen);
        } catch (error) {
          seen.error = told(error);
          // An error within a stream has the headers of the stream, which are known.
          if (error.status) {
            Object.assign(seen, met(error.headers), { status: error.status });
          }
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, oneAfterTheOther));
  },

  async failing(target, outcome) {
    try {
      await scenarios.create(target, outcome);
    } catch (error) {
      outcome.levee_request_id = error.headers?.get("x-levee-request-id");
      throw error;
    }
  },

  async unknown_model({ client }) {
    await client.messages.create({ ...asked("Hello"), model: "no-such-model" });
  },

  async unknown_route({ client }) {
    await client.post("/v1/nothing", { body: {} });
  },

  async large({ client }) {
    await client.messages.create(asked("x".repeat(7 * 1024 * 1024)));
  },
};
