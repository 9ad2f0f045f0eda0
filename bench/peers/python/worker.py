"""`limits` from PyPI, deciding by three limits: `python worker.py REDIS_URL`. Speaks the protocol of bench/src/main.rs.

One limit after the other, as the library has no way to ask for several at once; a thread per connection.
"""

import itertools
import json
import sys
import threading
import time
from importlib.metadata import version

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

SUBJECTS = 64
PLENTY = 1_000_000_000
SCOPES = ("key", "integration", "account")

limiter = FixedWindowRateLimiter(RedisStorage(sys.argv[1]))
turns = itertools.count()


def decider(refuses):
    items = [(scope, RateLimitItemPerMinute(1 if refuses and scope == "account" else PLENTY)) for scope in SCOPES]
    prefix = "refused" if refuses else "passed"
    return lambda subject: all([limiter.hit(item, prefix, scope, subject) for scope, item in items])


def block(target, connections, millis):
    refuses = target.endswith("/refused")
    decide = decider(refuses)
    # Whoever is to be refused has used up the account's limit first.
    if refuses:
        for subject in range(SUBJECTS):
            decide(f"acme-{subject}")
    began = time.perf_counter_ns()
    since, until = began + millis * 100_000, began + millis * 1_000_000
    nanos, errors = [], []

    def loop():
        try:
            while (start := time.perf_counter_ns()) < until:
                passed = decide(f"acme-{next(turns) % SUBJECTS}")
                end = time.perf_counter_ns()
                # A window may have begun since the limit was used up: one call a subject passes then.
                if not passed and not refuses:
                    raise RuntimeError("refused")
                if start >= since and end <= until:
                    nanos.append(end - start)
        except Exception as error:  # noqa: BLE001 - told to who asked
            errors.append(repr(error))

    threads = [threading.Thread(target=loop) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"error": errors[0]} if errors else {"measured_ns": until - since, "nanos": nanos}


versions = {"python": sys.version.split()[0], "limits": version("limits"), "redis-py": version("redis")}
print(json.dumps({"versions": versions}), flush=True)
for line in sys.stdin:
    print(json.dumps(block(**json.loads(line))), flush=True)
