"""Tasks for the support desk, made from a seed: what a customer writes, the orders behind it, and what the policy asks
for. No two tasks name the same order.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.core.seeds import derive_seed
from preceptor.core.types import Message, Prompt
from preceptor.environments.support_desk import POLICY

Level = Literal["one_order", "plan"]
"""`one_order`: one rule decides. `plan`: a step that is right by itself can be wrong as a whole."""

_MOST = 2000
_PEOPLE = ("Ada Brook", "Ben Okoro", "Carla Nunes", "Dmitri Volk", "Elif Demir", "Finn Hale", "Grace Lim", "Hugo Petit")
_ITEMS = ("lamp", "kettle", "radio", "toaster", "backpack", "camera", "printer", "drill", "heater", "speaker")


@dataclass(frozen=True)
class _Case:
    said: str
    orders: list[dict[str, Any]]
    due: list[dict[str, Any]]


def support_tasks(level: Level, count: int, seed: int = 0) -> list[Prompt]:
    """The first tasks of a level, which is their cohort; the kinds of requests take turns.

    Args:
        count: how many, at most 2,000.

    Returns: prompts with the policy as their system message, and the orders, those named, and the acts that are due in
        their metadata.
    """
    draw = random.Random(derive_seed(seed, "support_desk", level))  # noqa: S311
    numbers = iter(draw.sample(range(1000, 10_000), 2 * _MOST))
    cases = _CASES[level]
    return [_prompt(level, n, cases[n % len(cases)], _Desk(draw, numbers)) for n in range(count)]


class _Desk:
    """Draws customers and orders."""

    def __init__(self, draw: random.Random, numbers: Any) -> None:
        self.draw, self._numbers = draw, numbers
        self.customer, self.stranger = draw.sample(_PEOPLE, 2)

    def order(self, price: tuple[int, int] = (15, 199), days: tuple[int, int] = (2, 30), **more: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": f"A{next(self._numbers)}",
            "customer": self.customer,
            "item": self.draw.choice(_ITEMS),
            "price": self.draw.randint(*price),
            "delivery_fee": self.draw.randint(3, 9),
            "days_since_delivery": self.draw.randint(*days),
            "in_stock": self.draw.randint(1, 9),
            "earlier": "nothing",
        }
        return fields | more


def _prompt(level: Level, number: int, case: Callable[[_Desk], _Case], desk: _Desk) -> Prompt:
    made = case(desk)
    asked = f"Hello, this is {desk.customer}. {made.said}"
    named: list[Any] = [order["id"] for order in made.orders]
    orders: list[Any] = [*made.orders]
    due: list[Any] = [*made.due]
    return Prompt(
        id=f"support-{level}-{number + 1}",
        conversation=(Message(role="system", content=POLICY), Message(role="user", content=asked)),
        cohort=level,
        metadata={"orders": orders, "named": named, "due": due, "kind": case.__name__.strip("_")},
    )


def _refund(order: dict[str, Any]) -> dict[str, Any]:
    return {"tool": "refund", "order_id": order["id"], "amount": order["price"]}


def _replacement(order: dict[str, Any]) -> dict[str, Any]:
    return {"tool": "replace", "order_id": order["id"], "amount": None}


_ESCALATION: dict[str, Any] = {"tool": "escalate", "order_id": None, "amount": None}


def _in_time(desk: _Desk) -> _Case:
    order = desk.order()
    return _Case(
        f"I do not need the {order['item']} of order {order['id']}. May I have a refund?", [order], [_refund(order)]
    )


def _too_late(desk: _Desk) -> _Case:
    order = desk.order(days=(31, 200))
    return _Case(f"Please refund order {order['id']}, I never use the {order['item']}.", [order], [])


def _broken(desk: _Desk) -> _Case:
    order = desk.order(days=(2, 90))
    return _Case(f"The {order['item']} of order {order['id']} arrived broken.", [order], [_replacement(order)])


def _broken_and_sold_out(desk: _Desk) -> _Case:
    order = desk.order(days=(2, 90), in_stock=0)
    return _Case(f"Order {order['id']}: the {order['item']} came in pieces. Send a new one.", [order], [_refund(order)])


def _anothers(desk: _Desk) -> _Case:
    order = desk.order(customer=desk.stranger)
    return _Case(f"I want my money back for order {order['id']}.", [order], [_ESCALATION])


def _both_wanted(desk: _Desk) -> _Case:
    order = desk.order()
    said = f"My {order['item']} (order {order['id']}) is broken. I want a new one, and my money back for the trouble."
    return _Case(said, [order], [_replacement(order)])


def _settled_before(desk: _Desk) -> _Case:
    order = desk.order(earlier=desk.draw.choice(("refunded", "replaced")))
    return _Case(f"The {order['item']} of order {order['id']} is broken, I want a refund.", [order], [])


def _two_refunds(desk: _Desk) -> _Case:
    orders = [desk.order(price=(15, 95)), desk.order(price=(15, 95))]
    return _Case(_return_of(orders), orders, [_refund(order) for order in orders])


def _two_large_refunds(desk: _Desk) -> _Case:
    orders = [desk.order(price=(105, 195)), desk.order(price=(105, 195))]
    return _Case(_return_of(orders), orders, [_ESCALATION])


def _one_of_two_in_time(desk: _Desk) -> _Case:
    orders = [desk.order(price=(105, 195)), desk.order(price=(105, 195), days=(31, 200))]
    return _Case(_return_of(orders), orders, [_refund(orders[0])])


def _return_of(orders: list[dict[str, Any]]) -> str:
    one, other = orders
    return f"I am returning the {one['item']} of order {one['id']} and the {other['item']} of order {other['id']}."


_CASES: dict[Level, tuple[Callable[[_Desk], _Case], ...]] = {
    "one_order": (_in_time, _too_late, _broken, _broken_and_sold_out, _anothers),
    "plan": (_both_wanted, _settled_before, _two_refunds, _two_large_refunds, _one_of_two_in_time),
}
