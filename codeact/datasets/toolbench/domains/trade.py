"""Trade between ports: prices in each port's own currency, supplies, freight and duties."""

from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry


class Trade(Domain):
    """The exchange of one episode; nothing in it changes."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._ports = data["ports"]
        self._rates = data["rates"]
        self._freight = data["freight"]

    def list_goods(self, port: str) -> list[str]:
        """Return the goods that are traded in a port."""
        return sorted(entry(self._ports, port, "port")["goods"])

    def get_price(self, good: str, port: str) -> int:
        """Return what a unit of a good costs in a port, in the port's own currency."""
        return int(self._traded(good, port)["price"])

    def get_supply(self, good: str, port: str) -> int:
        """Return how many units of a good are on sale in a port."""
        return int(self._traded(good, port)["supply"])

    def get_duty(self, good: str, port: str) -> int:
        """Return the duty on bringing a good into a port, in percent of its price there."""
        return int(self._traded(good, port)["duty"])

    def get_currency(self, port: str) -> str:
        """Return the code of a port's currency, such as "ARD"."""
        return str(entry(self._ports, port, "port")["currency"])

    def get_rate(self, currency: str) -> float:
        """Return how many crowns a unit of a currency is worth."""
        return float(entry(self._rates, currency, "currency"))

    def get_freight(self, origin: str, destination: str) -> float:
        """Return what it costs to ship a unit of any good from port to port, in crowns."""
        entry(self._ports, origin, "port")
        entry(self._ports, destination, "port")
        return float(self._freight.get("|".join(sorted((origin, destination))), 0.0))

    def _traded(self, good: str, port: str) -> Any:
        return entry(entry(self._ports, port, "port")["goods"], good, f"good in {port}")
