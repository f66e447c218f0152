"""Tasks of a traveller."""

from collections.abc import Mapping, Sequence
from typing import Any

from codeact.datasets.toolbench.domains.travel import Travel
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable, only

_CITIES = ("Ardle", "Benmore", "Calder", "Dunmore", "Esker")
_HOUSES = ("Anchor", "Bell", "Castle", "Dove", "Elm", "Fountain", "Garden", "Harp", "Inn", "Jetty")
_DAYS = 14
_CONFIRM = "Then confirm the trip, and answer with the code that this returns."


def _data(draws: Draws) -> dict[str, Any]:
    routes = [
        (origin, destination, day)
        for origin in _CITIES
        for destination in _CITIES
        for day in range(1, _DAYS + 1)
        if origin != destination
        for _ in range(draws.whole(1, 2))
    ]
    flights = [
        [
            f"F{number}",
            *route,
            f"{draws.whole(5, 22):02}:{draws.whole(0, 11) * 5:02}",
            draws.whole(45, 190),
            draws.whole(39, 399),
        ]
        for number, route in enumerate(draws.shuffled(routes), 100)
    ]
    rooms = [(city, house) for city in _CITIES for house in draws.some(_HOUSES, draws.whole(3, 4))]
    hotels = [
        {
            "id": f"H{number}",
            "name": f"{house} {city}",
            "city": city,
            "stars": draws.whole(2, 5),
            "price": draws.whole(48, 260),
        }
        for number, (city, house) in enumerate(draws.shuffled(rooms), 31)
    ]
    return {"flights": flights, "hotels": hotels}


def _cheapest(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the one that costs least; raises `Unsuitable` if it is not one."""
    least = min((one["price"] for one in found), default=0)
    chosen: dict[str, Any] = only([one for one in found if one["price"] == least])
    return chosen


def _stay(call: CallLog, city: str, stars: int) -> dict[str, Any]:
    hotels = [call("get_hotel", hotel_id=key) for key in call("find_hotels", city=city)]
    return _cheapest([one for one in hotels if one["stars"] >= stars])


def _cheapest_flight(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    (origin, destination), day = draws.some(_CITIES, 2), draws.whole(1, _DAYS)
    found = call("find_flights", origin=origin, destination=destination, day=day)
    if len(found) < 2:
        raise Unsuitable
    return Draft(
        f"Which flight from {origin} to {destination} on day {day} is the cheapest? Answer with "
        "its id.",
        _cheapest(found)["id"],
        "text",
        f"""\
flights = find_flights("{origin}", "{destination}", {day})
print(min(flights, key=lambda flight: flight["price"])["id"])""",
    )


def _price_of_nights(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    key, nights = draws.one(data["hotels"])["id"], draws.whole(2, 9)
    return Draft(
        f"What do {nights} nights in hotel {key} cost? Answer with a whole number.",
        nights * call("get_hotel", hotel_id=key)["price"],
        "integer",
        f'print({nights} * get_hotel("{key}")["price"])',
    )


def _hotel_with_stars(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    city, stars = draws.one(_CITIES), draws.whole(3, 4)
    hotel = _stay(call, city, stars)
    return Draft(
        f"What is the name of the cheapest hotel in {city} that has at least {stars} stars? Answer "
        "with the name.",
        hotel["name"],
        "text",
        f"""\
hotels = [get_hotel(key) for key in find_hotels("{city}")]
fit = [hotel for hotel in hotels if hotel["stars"] >= {stars}]
print(min(fit, key=lambda hotel: hotel["price"])["name"])""",
    )


def _book_cheapest(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    (origin, destination), day = draws.some(_CITIES, 2), draws.whole(1, _DAYS)
    seats = draws.whole(2, 6)
    found = call("find_flights", origin=origin, destination=destination, day=day)
    if len(found) < 2:
        raise Unsuitable
    call("book_flight", flight_id=_cheapest(found)["id"], passengers=seats)
    return Draft(
        f"Book the cheapest flight from {origin} to {destination} on day {day} for {seats} "
        f"passengers, and nothing else. {_CONFIRM}",
        call("confirm_trip"),
        "code",
        f"""\
flights = find_flights("{origin}", "{destination}", {day})
cheapest = min(flights, key=lambda flight: flight["price"])
book_flight(cheapest["id"], {seats})
print(confirm_trip())""",
    )


class _Trip:
    """A journey there and back, with the nights between; a template tells or books it."""

    def __init__(self, draws: Draws, call: CallLog) -> None:
        self.home, self.city = draws.some(_CITIES, 2)
        self.first, self.nights = draws.whole(1, 7), draws.whole(2, 6)
        self.last, self.stars = self.first + self.nights, draws.whole(2, 3)
        there = {"origin": self.home, "destination": self.city, "day": self.first}
        back = {"origin": self.city, "destination": self.home, "day": self.last}
        self.flights = [_cheapest(call("find_flights", **way)) for way in (there, back)]
        self.hotel = _stay(call, self.city, self.stars)
        self.words = (
            f"from {self.home} to {self.city} on day {self.first} and back on day {self.last}, "
            f"with {self.nights} nights in {self.city} in between: each way by the cheapest "
            f"flight, and in the cheapest hotel that has at least {self.stars} stars"
        )
        self.program = f"""\
there = find_flights("{self.home}", "{self.city}", {self.first})
back = find_flights("{self.city}", "{self.home}", {self.last})
there, back = (min(found, key=lambda flight: flight["price"]) for found in (there, back))
hotels = [get_hotel(key) for key in find_hotels("{self.city}")]
fit = [hotel for hotel in hotels if hotel["stars"] >= {self.stars}]
hotel = min(fit, key=lambda hotel: hotel["price"])
"""


def _cost_of_trip(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    trip = _Trip(draws, call)
    cost = sum(flight["price"] for flight in trip.flights) + trip.nights * trip.hotel["price"]
    return Draft(
        f"One person travels {trip.words}. What does all of that cost? Answer with a whole number.",
        cost,
        "integer",
        f'{trip.program}print(there["price"] + back["price"] + {trip.nights} * hotel["price"])',
    )


def _book_trip(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    trip = _Trip(draws, call)
    for flight in trip.flights:
        call("book_flight", flight_id=flight["id"], passengers=1)
    call("book_hotel", hotel_id=trip.hotel["id"], nights=trip.nights)
    return Draft(
        f"Book for one person a trip {trip.words}. {_CONFIRM}",
        call("confirm_trip"),
        "code",
        f"""{trip.program}\
book_flight(there["id"], 1)
book_flight(back["id"], 1)
book_hotel(hotel["id"], {trip.nights})
print(confirm_trip())""",
    )


def _of_two_weeks(draws: Draws, call: CallLog) -> tuple[str, dict[str, Any], str]:
    """The cheapest flight of all days: the route in words, the flight, and the program."""
    origin, destination = draws.some(_CITIES, 2)
    found = [
        flight
        for day in range(1, _DAYS + 1)
        for flight in call("find_flights", origin=origin, destination=destination, day=day)
    ]
    program = f"""\
flights = []
for day in range(1, {_DAYS + 1}):
    flights += find_flights("{origin}", "{destination}", day)
cheapest = min(flights, key=lambda flight: flight["price"])
"""
    return f"from {origin} to {destination}", _cheapest(found), program


def _cheapest_of_all_days(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    route, flight, program = _of_two_weeks(draws, call)
    return Draft(
        f"Which flight {route} is the cheapest of the days 1 to {_DAYS}? Answer with its id.",
        flight["id"],
        "text",
        f'{program}print(cheapest["id"])',
    )


def _book_cheapest_of_all_days(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    route, flight, program = _of_two_weeks(draws, call)
    seats = draws.whole(2, 6)
    call("book_flight", flight_id=flight["id"], passengers=seats)
    return Draft(
        f"Book the flight {route} that is the cheapest of the days 1 to {_DAYS}, for {seats} "
        f"passengers, and nothing else. {_CONFIRM}",
        call("confirm_trip"),
        "code",
        f'{program}book_flight(cheapest["id"], {seats})\nprint(confirm_trip())',
    )


MAKER = DomainMaker(
    "You plan journeys between the cities Ardle, Benmore, Calder, Dunmore and Esker. The "
    "tools know flights and hotels.",
    Travel,
    _data,
    {
        "single": (_cheapest_flight, _price_of_nights),
        "few": (_hotel_with_stars, _book_cheapest),
        "several": (_cost_of_trip, _book_trip),
        "loop": (_cheapest_of_all_days, _book_cheapest_of_all_days),
    },
)
