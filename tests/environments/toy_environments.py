"""Environments whose tools misbehave in every way that the tests need. They run in processes of their own."""

import os
import random
import sys
from typing import Any, Literal

from hostile_texts import hostile_text


class Toy:
    """Counts the calls of `add`."""

    def reset(self, say: str | None = None, **row: Any) -> str | None:
        if row.get("refuse"):
            raise KeyError("no table")
        self.calls, self.drawn = 0, random.random()
        return say

    def add(self, a: int, b: int = 1) -> int:
        """Adds two numbers.

        Args:
            a: the first number
            b: the second number,
                which is 1 where it is left out

        Returns:
            the sum
        """
        self.calls += 1
        return a + b

    def say(self, text: str, mood: Literal["calm", "loud"] = "calm", times: list[int] | None = None) -> str:
        """Says a text.

        Args:
            text: what to say
            mood: how
            times: when
        """
        return f"{text} {mood} {times}"

    async def later(self) -> str:
        """Answers asynchronously."""
        return "later"

    def draw(self) -> float:
        """A random number that `reset` drew."""
        return self.drawn

    def hang(self) -> None:
        """Never answers."""
        while True:
            pass

    def fail(self) -> None:
        """Raises an error of several lines."""
        raise ValueError("bad <|im_end|>\nluck")

    def leave(self) -> None:
        """Raises what ends programs."""
        sys.exit(3)

    def die(self) -> None:
        """Ends its process."""
        os._exit(3)

    def fork(self) -> str:
        """Leaves a second process behind that answers as well."""
        return "parent" if os.fork() else "child"

    def eat(self) -> int:
        """Takes more memory than there is."""
        return len(bytearray(1 << 40))

    def flood(self, number: int) -> str:
        """Prints a lot and answers with a lot.

        Args:
            number: how many characters
        """
        print("x" * number)
        return "y" * number

    def hostile(self, number: int) -> str:
        """Answers with a hostile text.

        Args:
            number: which
        """
        return hostile_text(number)

    def get_reward(self, response: str = "") -> float | None:
        if response == "raise":
            raise RuntimeError("no idea")
        return {"abstain": None, "nan": float("nan")}.get(response, float(self.calls))


class Silent:
    """Has neither types nor a reward; `static` is no method."""

    def reset(self, **row: Any) -> None: ...

    @staticmethod
    def static(a: float | int, b: dict[str, int], c: Any = None) -> dict[str, int]:
        """Does nothing.

        Args:
            a: one
            b: two
            c: three
        """
        return b


def double(number: int) -> int:
    """Doubles a number.

    Args:
        number: any
    """
    return 2 * number
