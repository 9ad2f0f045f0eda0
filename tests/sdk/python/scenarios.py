"""What a program does with the SDK. Each scenario notes what it sees in `outcome` as it goes."""

import asyncio
from typing import Any, Callable

import anthropic
from anthropic import Anthropic, AsyncAnthropic

MODEL = "claude-sonnet-5-5"
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        "required": ["city", "days"],
    },
}


SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}
FETCH: Any = {"type": "web_fetch_20250910", "name": "web_fetch"}
PARTS: Any = [
    {"type": "text", "text": "You know all rivers.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    {"type": "text", "text": "You like brevity.", "cache_control": {"type": "ephemeral"}},
]


def told(error: Exception) -> dict[str, Any]:
    """What a program can learn from an exception."""
    return {
        "classes": [kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, BaseException, object)],
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "type": getattr(error, "type", None),
        "api_message": getattr(error, "api_message", None),
        "body": getattr(error, "body", None),
        "request_id": getattr(error, "request_id", None),
    }


class Target:
    """Whom to ask, and the answers that came on the way."""

    # What the scenario `calls` asks, and how many calls of it run side by side.
    calls: list[dict[str, Any]]
    at_once: int

    def __init__(self, base_url: str, api_key: str, max_retries: int | None) -> None:
        # The SDK would take an empty address for Anthropic's own.
        assert base_url.startswith("http://127.0.0.1:"), base_url
        self.attempts: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {"base_url": base_url, "api_key": api_key}
        if max_retries is not None:
            self.options["max_retries"] = max_retries

    def client(self) -> Anthropic:
        hooks: Any = {"response": [self.note]}
        return Anthropic(**self.options, http_client=anthropic.DefaultHttpxClient(event_hooks=hooks))

    def async_client(self) -> AsyncAnthropic:
        return AsyncAnthropic(**self.options)

    def note(self, response: Any) -> None:
        headers = response.headers
        self.attempts.append(
            {
                "status": response.status_code,
                "retry_after": headers.get("retry-after"),
                "should_retry": headers.get("x-should-retry"),
            }
        )


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **more}


def create(target: Target, outcome: dict[str, Any]) -> None:
    message = target.client().messages.create(**asked("Tell me about levees."))
    outcome.update(message=message.to_dict(mode="json"), request_id=message._request_id)


def cached(target: Target, outcome: dict[str, Any]) -> None:
    message = target.client().messages.create(**asked("Read the cached part.", system=PARTS))
    outcome.update(message=message.to_dict(mode="json"))


def create_raw(target: Target, outcome: dict[str, Any]) -> None:
    raw = target.client().messages.with_raw_response.create(**asked("Tell me about levees."))
    outcome.update(
        status=raw.status_code,
        headers=dict(raw.headers),
        message=raw.parse().to_dict(mode="json"),
        request_id=raw.request_id,
    )


def stream_events(target: Target, outcome: dict[str, Any]) -> None:
    outcome["events"] = []
    with target.client().messages.create(**asked("Tell me about levees."), stream=True) as events:
        for event in events:
            outcome["events"].append(event.to_dict(mode="json"))


def streamed(target: Target, outcome: dict[str, Any], call: dict[str, Any]) -> None:
    """Streams with the SDK's helper, which puts the message together again."""
    outcome.update(text="", thinking="", partial_json="")
    with target.client().messages.stream(**call) as stream:
        outcome["request_id"] = stream.request_id
        for event in stream:
            if event.type == "text":
                outcome["text"] += event.text
            elif event.type == "thinking":
                outcome["thinking"] += event.thinking
            elif event.type == "input_json":
                outcome["partial_json"] += event.partial_json
        outcome["message"] = stream.get_final_message().to_dict(mode="json")


def stream_text(target: Target, outcome: dict[str, Any]) -> None:
    streamed(target, outcome, asked("Tell me about levees."))


def stream_tool(target: Target, outcome: dict[str, Any]) -> None:
    streamed(target, outcome, asked("Use get_weather for Rotterdam.", tools=[TOOL]))


def stream_thinking(target: Target, outcome: dict[str, Any]) -> None:
    streamed(target, outcome, asked("Think about levees.", thinking={"type": "adaptive"}))


def of_every_kind() -> dict[str, Any]:
    """A call billed in every way: cache writes of both lifetimes and reads, thinking, the provider's own tools."""
    tools = [TOOL, SEARCH, FETCH]
    return asked("Read the cached part and use get_weather.", system=PARTS, thinking={"type": "adaptive"}, tools=tools)


def billed(target: Target, outcome: dict[str, Any]) -> None:
    message = target.client().messages.create(**of_every_kind())
    outcome.update(message=message.to_dict(mode="json"))


def stream_billed(target: Target, outcome: dict[str, Any]) -> None:
    streamed(target, outcome, of_every_kind())


def count_tokens(target: Target, outcome: dict[str, Any]) -> None:
    call = asked("How many tokens is this?", tools=[TOOL])
    del call["max_tokens"]
    outcome["input_tokens"] = target.client().messages.count_tokens(**call).input_tokens


def models(target: Target, outcome: dict[str, Any]) -> None:
    """Every page, three models each."""
    outcome["ids"] = [model.id for model in target.client().models.list(limit=3)]


def model(target: Target, outcome: dict[str, Any]) -> None:
    outcome["model"] = target.client().models.retrieve("claude-opus-5-5").to_dict(mode="json")


def beta(target: Target, outcome: dict[str, Any]) -> None:
    message = target.client().beta.messages.create(**asked("Tell me about levees."), betas=["one-2026-01-01", "two"])
    outcome.update(message=message.to_dict(mode="json"))


def at_once(target: Target, outcome: dict[str, Any]) -> None:
    """Calls side by side over one client."""

    async def call(client: AsyncAnthropic, number: int) -> dict[str, Any]:
        if number % 2 == 0:
            return (await client.messages.create(**asked(f"Call {number}"))).to_dict(mode="json")
        async with client.messages.stream(**asked(f"Call {number}")) as stream:
            return (await stream.get_final_message()).to_dict(mode="json")

    async def calls() -> list[dict[str, Any]]:
        async with target.async_client() as client:
            return await asyncio.gather(*(call(client, number) for number in range(6)))

    outcome["messages"] = asyncio.run(calls())


def calls(target: Target, outcome: dict[str, Any]) -> None:
    """Calls as `target.calls` says, in that order, and what came of each of them."""

    async def ask(client: AsyncAnthropic, wanted: dict[str, Any], seen: dict[str, Any]) -> None:
        more: dict[str, Any] = {}
        if wanted.get("user"):
            more["metadata"] = {"user_id": wanted["user"]}
        if wanted.get("session"):
            more["extra_headers"] = {"x-levee-session": wanted["session"]}
        call = asked("Tell me about levees.", **more)
        if not wanted.get("streamed"):
            raw = await client.messages.with_raw_response.create(**call)
            seen.update(met(raw.headers), status=raw.status_code)
            seen["is_whole"] = (await raw.parse()).type == "message"
            return
        events = await client.messages.create(**call, stream=True)
        seen.update(met(events.response.headers), status=events.response.status_code)
        async for event in events:
            seen["events"].append(event.type)
        seen["is_whole"] = seen["events"][-1:] == ["message_stop"]

    async def made(client: AsyncAnthropic, wanted: dict[str, Any], seen: dict[str, Any]) -> None:
        try:
            await ask(client, wanted, seen)
        except Exception as error:
            seen["error"] = told(error)
            if isinstance(error, anthropic.APIStatusError):
                seen.update(met(error.response.headers), status=error.response.status_code)

    async def all_of_them() -> None:
        async with target.async_client() as client:
            left = iter(list(zip(target.calls, outcome["calls"])))

            async def one_after_the_other() -> None:
                for wanted, seen in left:
                    await made(client, wanted, seen)

            await asyncio.gather(*(one_after_the_other() for _ in range(target.at_once)))

    outcome["calls"] = [{"events": [], "is_whole": False} for _ in target.calls]
    asyncio.run(all_of_them())


def met(headers: Any) -> dict[str, Any]:
    """What an answer's headers say about who gave it."""
    names = {"provider": "x-levee-provider", "attempts": "x-levee-attempts", "reason": "x-levee-fallback-reason"}
    return {name: headers.get(header) for name, header in names.items()}


def failing(target: Target, outcome: dict[str, Any]) -> None:
    try:
        create(target, outcome)
    except anthropic.APIStatusError as error:
        outcome["levee_request_id"] = error.response.headers.get("x-levee-request-id")
        raise


def unknown_model(target: Target, outcome: dict[str, Any]) -> None:
    target.client().messages.create(**{**asked("Hello"), "model": "no-such-model"})


def unknown_route(target: Target, outcome: dict[str, Any]) -> None:
    target.client().post("/v1/nothing", cast_to=object, body={})


def large(target: Target, outcome: dict[str, Any]) -> None:
    target.client().messages.create(**asked("x" * (7 * 1024 * 1024)))


SCENARIOS: dict[str, Callable[[Target, dict[str, Any]], None]] = {
    scenario.__name__: scenario
    for scenario in (
        create,
        cached,
        create_raw,
        stream_events,
        stream_text,
        stream_tool,
        stream_thinking,
        billed,
        stream_billed,
        count_tokens,
        models,
        model,
        beta,
        at_once,
        calls,
        failing,
        unknown_model,
        unknown_route,
        large,
    )
}
