"""Environments for policies that only talk: what a random model says is rewarded."""

from typing import Any

ENVIRONMENT = f"{__file__}:Talking"
SPEECHLESS = f"{__file__}:Speechless"


class Speechless:
    """Says nothing of success."""

    def reset(self, **row: Any) -> str | None:
        return None

    def look(self) -> str:
        """Looks."""
        return "nothing"


class Talking(Speechless):
    """Its task is done by an even number of letters."""

    def reset(self, **row: Any) -> str | None:
        return " Speak evenly."

    def get_reward(self, response: str) -> float:
        """1 for an even number of letters, else one half."""
        return 1.0 if sum(map(str.isalpha, response)) % 2 == 0 else 0.5
