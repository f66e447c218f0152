"""A small shop: products, orders, and books that are closed at the end."""

from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry, whole


class Shop(Domain):
    """The shop of one episode."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._products = {one["id"]: dict(one) for one in data["products"]}
        self._orders = {one["id"]: dict(one) for one in data["orders"]}

    def find_products(self, category: str) -> list[str]:
        """Return the ids of all products of a category, such as "tools"."""
        kinds = {one["category"]: None for one in self._products.values()}
        entry(kinds, category, "category")
        return sorted(k for k, one in self._products.items() if one["category"] == category)

    def get_product(self, product_id: str) -> dict[str, str | int]:
        """Return a product: its id, name, category, price_cents (of one piece) and stock."""
        return dict(entry(self._products, product_id, "product"))

    def list_orders(self, customer_id: str) -> list[str]:
        """Return the ids of all orders of a customer, such as "C3"."""
        customers = {one["customer_id"]: None for one in self._orders.values()}
        entry(customers, customer_id, "customer")
        return sorted(k for k, one in self._orders.items() if one["customer_id"] == customer_id)

    def get_order(self, order_id: str) -> dict[str, object]:
        """Return an order: its id, customer_id, status and items.

        The status is "open", "sent" or "cancelled"; items is a list of {product_id, quantity}.
        """
        order = entry(self._orders, order_id, "order")
        return {**order, "items": [dict(item) for item in order["items"]]}

    def set_price(self, product_id: str, price_cents: int) -> str:
        """Give a product a new price, in whole cents."""
        product = entry(self._products, product_id, "product")
        price = whole(price_cents, "price_cents")
        self._changing()
        product["price_cents"] = price
        return f"{product_id} costs {price} cents now"

    def add_stock(self, product_id: str, quantity: int) -> str:
        """Add pieces to the stock of a product."""
        product = entry(self._products, product_id, "product")
        added = whole(quantity, "quantity")
        self._changing()
        product["stock"] += added
        return f"{product_id} has a stock of {product['stock']} now"

    def cancel_order(self, order_id: str) -> str:
        """Cancel an open order; its pieces go back to stock."""
        order = entry(self._orders, order_id, "order")
        self._changing()
        if order["status"] != "open":
            raise ValueError(
                f"order {order_id} is {order['status']}, and only open orders can be cancelled"
            )
        order["status"] = "cancelled"
        for item in order["items"]:
            self._products[item["product_id"]]["stock"] += item["quantity"]
        return f"{order_id} is cancelled"

    def close_books(self) -> str:
        """Close the books and return their code. Nothing can be changed after that."""
        return self._code([self._products, self._orders])
