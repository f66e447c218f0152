"""Tasks of a trader."""

from collections.abc import Mapping
from typing import Any

from codeact.datasets.toolbench.domains.trade import Trade
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable, only

_PORTS = ("Arden", "Brisk", "Corrin", "Delph", "Estray", "Ferrow")
_GOODS = ("amber", "barley", "copper", "flax", "honey", "resin", "salt", "tea", "wool")
_CURRENCIES = ("ARD", "BEL", "COR", "DOL")
_NEAR = 0.01
_ROUNDED = "Answer with a number, rounded to two decimals."


def _data(draws: Draws) -> dict[str, Any]:
    rates = {code: draws.whole(25, 480) / 100 for code in _CURRENCIES}
    ports = {
        port: {
            "currency": draws.one(_CURRENCIES),
            "goods": {
                good: {
                    "price": draws.whole(12, 240),
                    "supply": draws.whole(20, 900),
                    "duty": draws.whole(1, 18),
                }
                for good in sorted(draws.some(_GOODS, draws.whole(5, 7)))
            },
        }
        for port in _PORTS
    }
    freight = {
        f"{one}|{other}": draws.whole(40, 950) / 100
        for one in _PORTS
        for other in _PORTS
        if one < other
    }
    return {"rates": rates, "ports": ports, "freight": freight}


def _traded(draws: Draws, data: Mapping[str, Any], count: int) -> tuple[str, list[str]]:
    """Draw a good, and so many ports that trade it."""
    good = draws.one(_GOODS)
    ports = [port for port in _PORTS if good in data["ports"][port]["goods"]]
    if len(ports) < count:
        raise Unsuitable
    return good, draws.some(ports, count)


def _crowns(call: CallLog, good: str, port: str) -> float:
    price = call("get_price", good=good, port=port)
    return float(price * call("get_rate", currency=call("get_currency", port=port)))


_IN_CROWNS = """\
def crowns(good, port):
    return get_price(good, port) * get_rate(get_currency(port))

"""


def _supply(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, (port,) = _traded(draws, data, 1)
    return Draft(
        f"How many units of {good} are on sale in {port}? Answer with a whole number.",
        call("get_supply", good=good, port=port),
        "integer",
        f'print(get_supply("{good}", "{port}"))',
    )


def _cost_of_units(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, (port,) = _traded(draws, data, 1)
    units = draws.whole(3, 60)
    return Draft(
        f"What do {units} units of {good} cost in {port}, in its own currency? Answer with a whole "
        "number.",
        units * call("get_price", good=good, port=port),
        "integer",
        f'print({units} * get_price("{good}", "{port}"))',
    )


def _price_in_crowns(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, (port,) = _traded(draws, data, 1)
    units = draws.whole(3, 60)
    return Draft(
        f"What do {units} units of {good} cost in {port}, in crowns? {_ROUNDED}",
        round(units * _crowns(call, good, port), 2),
        "number",
        f'{_IN_CROWNS}print(round({units} * crowns("{good}", "{port}"), 2))',
        _NEAR,
    )


def _worth_of_supply(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, (port,) = _traded(draws, data, 1)
    supply = call("get_supply", good=good, port=port)
    return Draft(
        f"What is all {good} that is on sale in {port} worth there, in crowns? {_ROUNDED}",
        round(supply * _crowns(call, good, port), 2),
        "number",
        f'{_IN_CROWNS}print(round(get_supply("{good}", "{port}") * crowns("{good}", "{port}"), 2))',
        _NEAR,
    )


def _gain(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, (origin, target) = _traded(draws, data, 2)
    units = draws.whole(10, 90)
    bought, sold = _crowns(call, good, origin), _crowns(call, good, target)
    freight = call("get_freight", origin=origin, destination=target)
    duty = call("get_duty", good=good, port=target)
    gain = units * (sold - bought - freight - sold * duty / 100)
    return Draft(
        f"A trader buys {units} units of {good} in {origin}, ships them to {target}, pays the duty "
        "on all of them there and sells them at the price there. By how many crowns is what the "
        "sale brings more than price, freight and duty together? A loss is a negative number. "
        f"{_ROUNDED}",
        round(gain, 2),
        "number",
        f"""{_IN_CROWNS}\
bought, sold = crowns("{good}", "{origin}"), crowns("{good}", "{target}")
duty = sold * get_duty("{good}", "{target}") / 100
print(round({units} * (sold - bought - get_freight("{origin}", "{target}") - duty), 2))""",
        _NEAR,
    )


def _cheapest_port(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    good, ports = _traded(draws, data, draws.whole(3, 4))
    prices = {port: _crowns(call, good, port) for port in ports}
    least = min(prices.values())
    return Draft(
        f"In which of these ports does a unit of {good} cost least, in crowns: "
        f"{', '.join(ports)}? Answer with the name of the port.",
        only([port for port, price in prices.items() if price < least + 0.05]),
        "text",
        f'{_IN_CROWNS}print(min({ports!r}, key=lambda port: crowns("{good}", port)))',
    )


def _worth_of_port(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    port = draws.one(_PORTS)
    worth = sum(
        call("get_price", good=good, port=port) * call("get_supply", good=good, port=port)
        for good in call("list_goods", port=port)
    )
    rate = call("get_rate", currency=call("get_currency", port=port))
    return Draft(
        f"What is everything that is on sale in {port} worth there, in crowns? {_ROUNDED}",
        round(worth * rate, 2),
        "number",
        f"""\
total = 0
for good in list_goods("{port}"):
    total += get_price(good, "{port}") * get_supply(good, "{port}")
print(round(total * get_rate(get_currency("{port}")), 2))""",
        _NEAR,
    )


def _best_good(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    origin, target = draws.some(_PORTS, 2)
    listed = [call("list_goods", port=port) for port in (origin, target)]
    both = [good for good in listed[0] if good in listed[1]]
    rates = [
        call("get_rate", currency=call("get_currency", port=port)) for port in (origin, target)
    ]
    gains = {}
    for good in both:
        bought = call("get_price", good=good, port=origin) * rates[0]
        gains[good] = call("get_price", good=good, port=target) * rates[1] - bought
    if len(both) < 2:
        raise Unsuitable
    most = max(gains.values())
    if most < 0.05:
        raise Unsuitable
    return Draft(
        f"Of the goods that are traded both in {origin} and in {target}, which one has in {target} "
        f"the price that is furthest above its price in {origin}, in crowns for a unit? Answer "
        "with the name of the good.",
        only([good for good, gain in gains.items() if gain > most - 0.05]),
        "text",
        f"""\
goods = [good for good in list_goods("{origin}") if good in list_goods("{target}")]
here, there = get_rate(get_currency("{origin}")), get_rate(get_currency("{target}"))
def gain(good):
    return get_price(good, "{target}") * there - get_price(good, "{origin}") * here
print(max(goods, key=gain))""",
    )


MAKER = DomainMaker(
    "You trade between the ports Arden, Brisk, Corrin, Delph, Estray and Ferrow. Each port has a "
    "currency of its own; freight is in crowns. The tools know prices, supplies, duties, freight "
    "and rates.",
    Trade,
    _data,
    {
        "single": (_supply, _cost_of_units),
        "few": (_price_in_crowns, _worth_of_supply),
        "several": (_gain, _cheapest_port),
        "loop": (_worth_of_port, _best_good),
    },
)
