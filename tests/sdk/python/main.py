"""Asks a Messages API through the official SDK, as told on standard input.

Each line in names a scenario and whom to ask, as JSON: `scenario`, `base_url`, `api_key`, and optionally `max_retries`.
Each line out says what came of it: what the scenario saw, `attempts` (the HTTP answers that the SDK got on the way), and
`error` if it ended in one. The first line out says that the SDK is loaded.
"""

import json
import sys
from typing import Any

import anthropic

from scenarios import SCENARIOS, Target


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


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


say({"scenario": "ready", "version": anthropic.__version__})
for line in sys.stdin:
    call = json.loads(line)
    target = Target(call["base_url"], call["api_key"], call.get("max_retries"))
    outcome: dict[str, Any] = {"scenario": call["scenario"]}
    try:
        SCENARIOS[call["scenario"]](target, outcome)
    except Exception as error:
        outcome["error"] = told(error)
    outcome["attempts"] = target.attempts
    say(outcome)
