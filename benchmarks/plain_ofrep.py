"""The ceilings of OFREP: a Flask app that answers a constant, or only parses, hashes and answers."""

import json

from flask import Flask, Response, request
from mmh3 import hash as murmur3

FLAGS = 50
PERCENTAGES = FLAGS // 2
"""The first of them are on for half of the users, the others for all."""


def _evaluated(key: str, *, value: bool, reason: str) -> dict[str, object]:
    return {
        "key": key,
        "value": value,
        "reason": reason,
        "variant": "on" if value else "off",
        "metadata": {"version": 1},
    }


KEYS = [f"flag-{n}" for n in range(1, FLAGS + 1)]
SPLIT, STATIC = KEYS[:PERCENTAGES], KEYS[PERCENTAGES:]
ONE = json.dumps(_evaluated(KEYS[0], value=True, reason="SPLIT"), separators=(",", ":"))
ALL = json.dumps(
    {
        "flags": [_evaluated(key, value=True, reason="SPLIT") for key in SPLIT]
        + [_evaluated(key, value=True, reason="STATIC") for key in STATIC]
    },
    separators=(",", ":"),
)

app = Flask(__name__)


@app.post("/constant/flags/<key>")
def one_constant(key: str) -> Response:
    """What an evaluation of one flag looks like."""
    del key
    return Response(ONE, mimetype="application/json")


@app.post("/constant/flags")
def all_constant() -> Response:
    """What an evaluation of all flags looks like."""
    return Response(ALL, mimetype="application/json")


@app.post("/hashed/flags/<key>")
def one_hashed(key: str) -> dict[str, object]:
    """One flag, evaluated."""
    return _split(key, request.get_json()["context"]["targetingKey"])


@app.post("/hashed/flags")
def all_hashed() -> dict[str, object]:
    """All flags, evaluated."""
    user = request.get_json()["context"]["targetingKey"]
    constant = [_evaluated(key, value=True, reason="STATIC") for key in STATIC]
    return {"flags": [_split(key, user) for key in SPLIT] + constant}


def _split(key: str, user: str) -> dict[str, object]:
    return _evaluated(key, value=murmur3(f"{key}/{user}", 0, False) % 10000 < 5000, reason="SPLIT")
