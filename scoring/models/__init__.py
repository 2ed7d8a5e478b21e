"""The shipped points models, each a canonical JSON file with its card beside it; never code that decides here."""

from functools import cache
from importlib import resources
from typing import Final

from scoring.points import PointsModel, decode_model

DEFAULT: Final = "cashflow-v1"


@cache
def load_model(name: str) -> PointsModel:
    """A shipped model by name. Raises FileNotFoundError when there is none of that name."""
    return decode_model(resources.files(__name__).joinpath(f"{name}.json").read_bytes())


def load_default() -> PointsModel:
    """The model that a new network registers first."""
    return load_model(DEFAULT)
