"""Tasks in the shop."""

from collections.abc import Mapping
from typing import Any

from codeact.datasets.toolbench.domains.shop import Shop
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable

_CATEGORIES = {
    "garden": ("rake", "hose", "trowel", "planter", "shears"),
    "kitchen": ("kettle", "ladle", "grater", "sieve", "teapot"),
    "tools": ("hammer", "pliers", "chisel", "level", "clamp"),
    "lighting": ("lantern", "torch", "lamp", "candle", "bulb"),
}
_CUSTOMERS = ("C1", "C2", "C3", "C4", "C5")
_CLOSE = "Then close the books, and answer with the code that this returns."


def _data(draws: Draws) -> dict[str, Any]:
    named = [(name, kind) for kind, names in _CATEGORIES.items() for name in names]
    products = [
        {
            "id": f"P{number:02}",
            "name": name,
            "category": kind,
            "price_cents": draws.whole(120, 4900),
            "stock": draws.whole(0, 60),
        }
        for number, (name, kind) in enumerate(draws.shuffled(named), 11)
    ]
    owners = [owner for owner in _CUSTOMERS for _ in range(draws.whole(3, 5))]
    orders = [
        {
            "id": f"O{number}",
            "customer_id": owner,
            "status": draws.one(("open", "open", "sent", "cancelled")),
            "items": [
                {"product_id": one["id"], "quantity": draws.whole(1, 9)}
                for one in draws.some(products, draws.whole(1, 3))
            ],
        }
        for number, owner in enumerate(draws.shuffled(owners), 701)
    ]
    return {"products": products, "orders": orders}


def _pieces_of_an_order(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key = draws.one(data["orders"])["id"]
    items = call("get_order", order_id=key)["items"]
    return Draft(
        f"How many pieces, of all products together, are in order {key}? Answer with a whole "
        "number.",
        sum(item["quantity"] for item in items),
        "integer",
        f'print(sum(item["quantity"] for item in get_order("{key}")["items"]))',
    )


def _value_of_stock(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key = draws.one(data["products"])["id"]
    product = call("get_product", product_id=key)
    if product["stock"] < 2:
        raise Unsuitable
    return Draft(
        f"How many cents is the whole stock of product {key} worth at its price? Answer with a "
        "whole number.",
        product["stock"] * product["price_cents"],
        "integer",
        f'product = get_product("{key}")\nprint(product["stock"] * product["price_cents"])',
    )


def _value_of_an_order(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key = draws.one(data["orders"])["id"]
    items = call("get_order", order_id=key)["items"]
    value = sum(
        item["quantity"] * call("get_product", product_id=item["product_id"])["price_cents"]
        for item in items
    )
    return Draft(
        f"How many cents do the goods in order {key} cost in all, at today's prices? Answer with "
        "a whole number.",
        value,
        "integer",
        f"""\
total = 0
for item in get_order("{key}")["items"]:
    total += item["quantity"] * get_product(item["product_id"])["price_cents"]
print(total)""",
    )


def _dearer(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key, cents = draws.one(data["products"])["id"], draws.whole(5, 95)
    price = call("get_product", product_id=key)["price_cents"]
    call("set_price", product_id=key, price_cents=price + cents)
    return Draft(
        f"Raise the price of product {key} by {cents} cents. {_CLOSE}",
        call("close_books"),
        "code",
        f"""\
price = get_product("{key}")["price_cents"]
set_price("{key}", price + {cents})
print(close_books())""",
    )


def _open_orders(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    owner, total = draws.one(_CUSTOMERS), 0
    for key in call("list_orders", customer_id=owner):
        order = call("get_order", order_id=key)
        if order["status"] == "open":
            for item in order["items"]:
                product = call("get_product", product_id=item["product_id"])
                total += item["quantity"] * product["price_cents"]
    if not total:
        raise Unsuitable
    return Draft(
        f"How many cents do the goods in all open orders of customer {owner} cost in all, at "
        "today's prices? Answer with a whole number.",
        total,
        "integer",
        f"""\
total = 0
for key in list_orders("{owner}"):
    order = get_order(key)
    if order["status"] == "open":
        for item in order["items"]:
            total += item["quantity"] * get_product(item["product_id"])["price_cents"]
print(total)""",
    )


def _cancel_all(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    owner = draws.one(_CUSTOMERS)
    found = [
        key
        for key in call("list_orders", customer_id=owner)
        if call("get_order", order_id=key)["status"] == "open"
    ]
    for key in found:
        call("cancel_order", order_id=key)
    if not found:
        raise Unsuitable
    return Draft(
        f"Cancel all open orders of customer {owner}. {_CLOSE}",
        call("close_books"),
        "code",
        f"""\
for key in list_orders("{owner}"):
    if get_order(key)["status"] == "open":
        cancel_order(key)
print(close_books())""",
    )


def _value_of_categories(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    kinds = draws.some(tuple(_CATEGORIES), draws.whole(3, 4))
    total = 0
    for kind in kinds:
        for key in call("find_products", category=kind):
            product = call("get_product", product_id=key)
            total += product["stock"] * product["price_cents"]
    named = ", ".join(kinds)
    return Draft(
        "How many cents is the whole stock of these categories worth at today's prices, all "
        f"together: {named}? Answer with a whole number.",
        total,
        "integer",
        f"""\
total = 0
for category in {kinds!r}:
    for key in find_products(category):
        product = get_product(key)
        total += product["stock"] * product["price_cents"]
print(total)""",
    )


def _fill_up(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    kinds, level = draws.some(tuple(_CATEGORIES), 2), draws.whole(20, 40)
    for kind in kinds:
        for key in call("find_products", category=kind):
            lacking = level - call("get_product", product_id=key)["stock"]
            if lacking > 0:
                call("add_stock", product_id=key, quantity=lacking)
    return Draft(
        f"Every product of the categories {kinds[0]} and {kinds[1]} has to have a stock of at "
        f"least {level} pieces. Where it has fewer, add what is lacking to reach exactly {level}; "
        f"leave the others as they are. {_CLOSE}",
        call("close_books"),
        "code",
        f"""\
for category in {kinds!r}:
    for key in find_products(category):
        lacking = {level} - get_product(key)["stock"]
        if lacking > 0:
            add_stock(key, lacking)
print(close_books())""",
    )


MAKER = DomainMaker(
    "You work in a small shop. The tools know its products and its orders.",
    Shop,
    _data,
    {
        "single": (_pieces_of_an_order, _value_of_stock),
        "few": (_value_of_an_order, _dearer),
        "several": (_open_orders, _cancel_all),
        "loop": (_value_of_categories, _fill_up),
    },
)
