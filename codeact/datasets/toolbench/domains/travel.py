"""Travel: flights, hotels, and a trip that is booked and confirmed."""

from typing import Any

from codeact.datasets.toolbench.domains.base import Domain, entry, whole

_FLIGHT = ("id", "origin", "destination", "day", "departs", "minutes", "price")


class Travel(Domain):
    """The travel agency of one episode."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._flights = {one[0]: dict(zip(_FLIGHT, one, strict=True)) for one in data["flights"]}
        self._hotels = {one["id"]: dict(one) for one in data["hotels"]}
        self._cities = {one["city"]: None for one in data["hotels"]}
        self._flown: list[list[Any]] = []
        self._nights: list[list[Any]] = []

    def find_flights(self, origin: str, destination: str, day: int) -> list[dict[str, str | int]]:
        """Return the flights from one city to another on a day (1 to 14).

        Each has id, departs (HH:MM), minutes (how long it takes) and price (for one passenger).
        """
        entry(self._cities, origin, "city")
        entry(self._cities, destination, "city")
        wanted = (origin, destination, whole(day, "day"))
        return [
            {key: one[key] for key in ("id", "departs", "minutes", "price")}
            for one in self._flights.values()
            if (one["origin"], one["destination"], one["day"]) == wanted
        ]

    def find_hotels(self, city: str) -> list[str]:
        """Return the ids of all hotels in a city."""
        entry(self._cities, city, "city")
        return sorted(key for key, one in self._hotels.items() if one["city"] == city)

    def get_hotel(self, hotel_id: str) -> dict[str, str | int]:
        """Return a hotel: its id, name, city, stars and price (of a night)."""
        return dict(entry(self._hotels, hotel_id, "hotel"))

    def book_flight(self, flight_id: str, passengers: int) -> str:
        """Book seats on a flight."""
        entry(self._flights, flight_id, "flight")
        seats = whole(passengers, "passengers")
        self._changing()
        self._flown.append([flight_id, seats])
        return f"booked: flight {flight_id}, {seats} passengers"

    def book_hotel(self, hotel_id: str, nights: int) -> str:
        """Book a room in a hotel for some nights."""
        entry(self._hotels, hotel_id, "hotel")
        stay = whole(nights, "nights")
        self._changing()
        self._nights.append([hotel_id, stay])
        return f"booked: hotel {hotel_id}, {stay} nights"

    def confirm_trip(self) -> str:
        """Confirm all bookings and return the trip's code. Nothing can be booked after that."""
        return self._code([sorted(self._flown), sorted(self._nights)])
