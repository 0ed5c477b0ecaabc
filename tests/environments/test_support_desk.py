"""The support desk: what the policy asks for is a success, and right steps can break the plan."""

import json
from typing import Any, cast

import pytest

from preceptor.core.types import Prompt
from preceptor.environments.loading import row_of
from preceptor.environments.support_desk import POLICY, SupportDesk
from preceptor.environments.support_tasks import Level, support_tasks


def desk(task: Prompt) -> SupportDesk:
    made = SupportDesk()
    made.reset(**row_of(task))
    return made


def one(kind: str) -> Prompt:
    tasks = support_tasks("one_order", 5) + support_tasks("plan", 5)
    return next(task for task in tasks if task.metadata["kind"] == kind)


def named(task: Prompt) -> list[str]:
    return cast("list[str]", task.metadata["named"])


def orders_found(made: SupportDesk, task: Prompt) -> list[dict[str, Any]]:
    return [json.loads(made.find_order(order)) for order in named(task)]


def obey(made: SupportDesk, task: Prompt) -> None:
    """Follows the policy by what the tools show and the customer's words say."""
    customer, broken = task.text.split("this is ")[1].split(".")[0], "broken" in task.text or "pieces" in task.text
    orders = orders_found(made, task)
    if any(order["customer"] != customer for order in orders):
        made.escalate("another customer's order")
        return
    open_orders = [order for order in orders if order["earlier"] == "nothing"]
    replaced = [order for order in open_orders if broken and order["in_stock"]]
    refunded = [o for o in open_orders if o not in replaced and (broken or o["days_since_delivery"] <= 30)]
    for order in replaced:
        made.replace(order["id"])
    if sum(order["price"] for order in refunded) > 200:
        made.escalate("too much money")
        return
    for order in refunded:
        made.refund(order["id"], order["price"])


@pytest.mark.parametrize("level", ["one_order", "plan"])
def test_whoever_obeys_the_policy_succeeds_and_whoever_does_nothing_does_not(level: Level):
    tasks = support_tasks(level, 100, seed=3)
    for task in tasks:
        obeying, idle = desk(task), desk(task)
        obey(obeying, task)
        assert obeying.get_reward() == 1.0, task
        assert idle.get_reward() == 0.0
    assert tasks[:20] == support_tasks(level, 20, seed=3)
    assert len({order for task in tasks for order in named(task)}) == sum(len(named(task)) for task in tasks)
    assert all(task.conversation[0].content == POLICY for task in tasks)


def test_acting_before_looking_up_fails():
    task = one("in_time")
    made = desk(task)
    order = orders_found(desk(task), task)[0]
    made.refund(order["id"], order["price"])
    made.find_order(order["id"])
    assert made.get_reward() == 0.0


def test_a_refund_that_is_right_by_itself_breaks_a_plan_over_the_limit():
    task = one("two_large_refunds")
    made = desk(task)
    first, second = orders_found(made, task)
    made.refund(first["id"], first["price"])
    made.escalate("the second would be too much")
    assert made.get_reward() == 0.0
    assert first["price"] + second["price"] > 200


def test_refund_and_replacement_fail_together():
    task = one("both_wanted")
    made = desk(task)
    (order,) = orders_found(made, task)
    made.replace(order["id"])
    assert made.get_reward() == 1.0
    made.refund(order["id"], order["price"])
    assert made.get_reward() == 0.0


def test_the_delivery_fee_is_not_refunded():
    task = one("in_time")
    made = desk(task)
    (order,) = orders_found(made, task)
    made.refund(order["id"], order["price"] + order["delivery_fee"])
    assert made.get_reward() == 0.0


def test_what_cannot_be_done_is_an_error_that_changes_nothing():
    task = one("broken_and_sold_out")
    made = desk(task)
    (order,) = orders_found(made, task)
    for wrong in (
        lambda: made.find_order("A1'; drop table acts"),
        lambda: made.refund(order["id"], 10_000),
        lambda: made.refund(order["id"], 0),
        lambda: made.replace(order["id"]),
    ):
        with pytest.raises(ValueError, match=r"order|paid|stock"):
            wrong()
    made.refund(f" #{order['id'].lower()}", order["price"])
    assert made.get_reward() == 1.0


def test_a_row_that_says_nothing_of_what_is_due_has_no_reward():
    made = SupportDesk()
    made.reset(orders=None, named=None, due=None, prompt=[])
    assert made.get_reward() is None
