"""The shipped points models: canonical JSON files in the data directory of the same name, each measured in a card.

Never code that decides here, and never a model that was not made by `scoring.train`.
"""

from functools import cache
from importlib import resources
from typing import Final

from scoring.points import PointsModel, decode_model

DEFAULTS: Final = {"CZK": "cashflow-v1", "CNY": "cashflow-v1-cny"}
"""Shipped model by currency. The first is the one that was fitted and measured; its card says what the others are."""


@cache
def load_model(name: str) -> PointsModel:
    """A shipped model by name. Raises FileNotFoundError when there is none of that name."""
    return decode_model(resources.files("scoring").joinpath("models", f"{name}.json").read_bytes())


def load_default(currency: str = "CZK") -> PointsModel:
    """The model that a new network of this currency registers first. Raises KeyError for a currency without one."""
    return load_model(DEFAULTS[currency])
