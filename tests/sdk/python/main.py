"""Asks a Messages API through the official SDK, as told on standard input.

Each line in names a scenario and whom to ask, as JSON: `scenario`, `base_url`, `api_key`, and optionally `max_retries`
and, for the scenario `calls`, what to ask: `calls` and `at_once`.
Each line out says what came of it: what the scenario saw, `attempts` (the HTTP answers that the SDK got on the way), and
`error` if it ended in one. The first line out says that the SDK is loaded.
"""

import json
import sys
from typing import Any

import anthropic

from scenarios import SCENARIOS, Target, told


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


say({"scenario": "ready", "version": anthropic.__version__})
for line in sys.stdin:
    call = json.loads(line)
    target = Target(call["base_url"], call["api_key"], call.get("max_retries"))
    target.calls, target.at_once = call.get("calls", []), call.get("at_once", 1)
    outcome: dict[str, Any] = {"scenario": call["scenario"]}
    try:
        SCENARIOS[call["scenario"]](target, outcome)
    except Exception as error:
        outcome["error"] = told(error)
    outcome["attempts"] = target.attempts
    say(outcome)
