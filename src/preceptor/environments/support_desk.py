"""A support desk with a policy to obey, and a database behind it. Its tools do what they are told: obeying is up to the
agent, and a refund that is right by itself can break the plan.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

POLICY = """You work at the support desk of a shop. You can look orders up, refund them, replace them, and escalate.

1. Look up every order that the customer names before you refund, replace or escalate anything.
2. An order can be refunded up to 30 days after its delivery. Refund its price, and never the delivery fee.
3. A broken item is replaced if it is in stock; otherwise it is refunded. For broken items, the 30 days do not count.
4. Nobody gets both a refund and a replacement for one order. Who asks for both gets what the other rules say.
5. An order that was refunded or replaced before gets nothing more.
6. If the refunds due to a customer come to more than 200 together, refund none of them: escalate.
7. If an order is in another customer's name, do nothing with it: escalate.
8. Otherwise do not escalate. When nothing can be done, say so and leave it at that.

When you have finished, tell the customer what you did."""

_TABLES = """
create table orders (id text primary key, customer text, item text, price integer, delivery_fee integer,
                     days_since_delivery integer, in_stock integer, earlier text);
create table acts (place integer primary key autoincrement, tool text, order_id text, amount integer);
"""
_COLUMNS = ("id", "customer", "item", "price", "delivery_fee", "days_since_delivery", "in_stock", "earlier")


class SupportDesk:
    """Orders in a SQLite database in memory. The task is done when the orders were looked up first, and the refunds,
    replacements and escalations in the database are those that the policy asks for.
    """

    def reset(
        self,
        orders: Sequence[Mapping[str, Any]] | None = None,
        named: Sequence[str] | None = None,
        due: Sequence[Mapping[str, Any]] | None = None,
        **row: Any,
    ) -> None:
        """Sets a task up.

        Args:
            orders: the shop's orders, with the columns of the table `orders`.
            named: the orders that the customer names.
            due: the acts that the policy asks for, each with `tool`, `order_id` and `amount` (None where it has none).
        """
        self._database = sqlite3.connect(":memory:")
        self._database.executescript(_TABLES)
        values = [[order.get(column) for column in _COLUMNS] for order in orders or ()]
        self._database.executemany("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._named = set(named or ())
        self._due = None if due is None else sorted((a["tool"], a["order_id"] or "", a["amount"] or 0) for a in due)

    def find_order(self, order_id: str) -> str:
        """Looks an order up.

        Args:
            order_id: number of the order, such as A1234

        Returns:
            The order as JSON.
        """
        order = self._order(order_id)
        self._note("find_order", order["id"])
        return json.dumps(order)

    def refund(self, order_id: str, amount: int) -> str:
        """Pays money back to the customer.

        Args:
            order_id: number of the order
            amount: how many dollars
        """
        order = self._order(order_id)
        if not 0 < amount <= order["price"] + order["delivery_fee"]:
            raise ValueError(f"the customer paid {order['price'] + order['delivery_fee']} for this order")
        self._note("refund", order["id"], amount)
        return f"Refunded {amount} for {order['id']}."

    def replace(self, order_id: str) -> str:
        """Sends the order's item again.

        Args:
            order_id: number of the order
        """
        order = self._order(order_id)
        if not order["in_stock"]:
            raise ValueError(f"the {order['item']} is out of stock")
        self._note("replace", order["id"])
        return f"A new {order['item']} is on its way for {order['id']}."

    def escalate(self, reason: str) -> str:
        """Hands the customer's request over to a manager.

        Args:
            reason: why, in a few words
        """
        self._note("escalate", "")
        return "A manager will take over."

    def get_reward(self) -> float | None:
        """1 if the database is as the policy asks and every act came after the look-ups, else 0; None for a row that
        does not say what is due.
        """
        if self._due is None:
            return None
        acts = self._database.execute("select tool, order_id, coalesce(amount, 0) from acts order by place").fetchall()
        first = next((place for place, act in enumerate(acts) if act[0] != "find_order"), len(acts))
        looked_up = {order for _, order, _ in acts[:first]}
        return float(looked_up >= self._named and sorted(act for act in acts if act[0] != "find_order") == self._due)

    def _order(self, order_id: str) -> dict[str, Any]:
        wanted = order_id.strip().lstrip("#").upper()
        found = self._database.execute("select * from orders where id = ?", [wanted]).fetchone()
        if found is None:
            raise ValueError(f"there is no order {wanted[:20]}")
        return dict(zip(_COLUMNS, found, strict=True))

    def _note(self, tool: str, order_id: str, amount: int | None = None) -> None:
        self._database.execute("insert into acts (tool, order_id, amount) values (?, ?, ?)", [tool, order_id, amount])
