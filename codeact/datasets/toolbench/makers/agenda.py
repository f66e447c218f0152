"""Tasks with the agendas of people in several time zones."""

from collections.abc import Mapping
from typing import Any

from codeact.datasets.toolbench.domains.agenda import Agenda
from codeact.datasets.toolbench.drawing import Draws
from codeact.datasets.toolbench.makers.base import CallLog, DomainMaker, Draft, Unsuitable, only

_PEOPLE = ("Abel", "Berta", "Cyril", "Dora", "Emil")
_ZONES = ("Harbour", "Highland", "Island", "Lakeside", "Prairie", "Summit")
_TITLES = ("review", "standup", "interview", "lunch", "budget", "training", "inspection")
_DAYS = 28
_SPAN = 14
_PUBLISH = "Then publish the agendas, and answer with the code that this returns."


def _data(draws: Draws) -> dict[str, Any]:
    offsets = {zone: 30 * draws.whole(-20, 24) for zone in _ZONES}
    people = dict(zip(_PEOPLE, draws.some(_ZONES, len(_PEOPLE)), strict=True))
    events = []
    for person in _PEOPLE:
        for day in range(1, _DAYS + 1):
            hours = sorted(draws.some(range(7, 20), draws.whole(0, 3)))
            events += [
                {
                    "person": person,
                    "day": day,
                    "start": f"{hour:02}:{draws.whole(0, 3) * 15:02}",
                    "minutes": draws.whole(2, 9) * 5,
                    "title": draws.one(_TITLES),
                }
                for hour in hours
            ]
    numbered = [
        {"id": f"E{number}", **event} for number, event in enumerate(draws.shuffled(events), 301)
    ]
    return {"offsets": offsets, "people": people, "events": numbered}


def _busy_day(draws: Draws, data: Mapping[str, Any], least: int) -> tuple[str, int]:
    """Draw a person, and a day on which they have at least so many events."""
    person, day = draws.one(_PEOPLE), draws.whole(2, _DAYS - 1)
    found = [one for one in data["events"] if (one["person"], one["day"]) == (person, day)]
    if len(found) < least:
        raise Unsuitable
    return person, day


def _minutes_of_a_day(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, day = _busy_day(draws, data, 2)
    return Draft(
        f"How many minutes do {person}'s events on day {day} take together? Answer with a whole "
        "number.",
        sum(one["minutes"] for one in call("list_events", person=person, day=day)),
        "integer",
        f'print(sum(event["minutes"] for event in list_events("{person}", {day})))',
    )


def _last_of_a_day(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, day = _busy_day(draws, data, 2)
    return Draft(
        f"Which of {person}'s events on day {day} starts last? Answer with its id.",
        call("list_events", person=person, day=day)[-1]["id"],
        "text",
        f'print(list_events("{person}", {day})[-1]["id"])',
    )


def _ahead(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    one, other = draws.some(_PEOPLE, 2)
    offsets = [call("get_offset", zone=call("get_zone", person=person)) for person in (one, other)]
    if offsets[0] == offsets[1]:
        raise Unsuitable
    return Draft(
        f"By how many minutes is {one}'s clock ahead of {other}'s? Answer with a whole number, "
        "which is negative if it is behind.",
        offsets[0] - offsets[1],
        "integer",
        f'print(get_offset(get_zone("{one}")) - get_offset(get_zone("{other}")))',
    )


def _delete_longest(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, day = _busy_day(draws, data, 2)
    events = call("list_events", person=person, day=day)
    most = max(one["minutes"] for one in events)
    longest = only([one for one in events if one["minutes"] == most])
    call("delete_event", event_id=longest["id"])
    return Draft(
        f"Delete the longest of {person}'s events on day {day}. {_PUBLISH}",
        call("publish_agendas"),
        "code",
        f"""\
events = list_events("{person}", {day})
delete_event(max(events, key=lambda event: event["minutes"])["id"])
print(publish_agendas())""",
    )


def _clocks(call: CallLog, person: str, other: str) -> int:
    """Return by how many minutes the clock of the other one is ahead of the person's."""
    zones = [call("get_zone", person=one) for one in (person, other)]
    here, there = (call("get_offset", zone=zone) for zone in zones)
    return int(there - here)


def _at(day: int, start: str, later: int) -> tuple[int, str]:
    """Return day and clock so many minutes after a start."""
    total = day * 1440 + int(start[:2]) * 60 + int(start[3:]) + later
    return total // 1440, f"{total % 1440 // 60:02}:{total % 60:02}"


_ON_THE_OTHER_CLOCK = """\
ahead = get_offset(get_zone("{other}")) - get_offset(get_zone("{person}"))
def on_the_other_clock(day, start, sign):
    total = day * 1440 + int(start[:2]) * 60 + int(start[3:]) + sign * ahead
    return total // 1440, f"{{total % 1440 // 60:02}}:{{total % 60:02}}"

"""


def _seen_from_elsewhere(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, day = _busy_day(draws, data, 1)
    other = draws.one([one for one in _PEOPLE if one != person])
    event = call("list_events", person=person, day=day)[0]
    seen_day, clock = _at(day, event["start"], _clocks(call, person, other))
    return Draft(
        f"When does {person}'s first event on day {day} start by {other}'s clock? It may be "
        "another day there. Answer with the day of the month and the time, such as 3 09:30.",
        f"{seen_day} {clock}",
        "text",
        _ON_THE_OTHER_CLOCK.format(person=person, other=other)
        + f"""\
event = list_events("{person}", {day})[0]
print(*on_the_other_clock({day}, event["start"], 1))""",
    )


def _reschedule(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, day = _busy_day(draws, data, 1)
    other = draws.one([one for one in _PEOPLE if one != person])
    wanted = f"{draws.whole(9, 16):02}:{draws.whole(0, 3) * 15:02}"
    event = call("list_events", person=person, day=day)[0]
    new_day, clock = _at(day, wanted, -_clocks(call, person, other))
    call("reschedule_event", event_id=event["id"], day=new_day, start=clock)
    return Draft(
        f"Reschedule {person}'s first event on day {day}, so that it starts when {other}'s clock "
        f"shows day {day}, {wanted}. That may be another day for {person}. {_PUBLISH}",
        call("publish_agendas"),
        "code",
        _ON_THE_OTHER_CLOCK.format(person=person, other=other)
        + f"""\
event = list_events("{person}", {day})[0]
day, start = on_the_other_clock({day}, "{wanted}", -1)
reschedule_event(event["id"], day, start)
print(publish_agendas())""",
    )


def _minutes_of_two_weeks(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, title, first = draws.one(_PEOPLE), draws.one(_TITLES), draws.whole(1, _SPAN)
    days = range(first, first + _SPAN)
    events = [one for day in days for one in call("list_events", person=person, day=day)]
    minutes = sum(one["minutes"] for one in events if one["title"] == title)
    if not minutes:
        raise Unsuitable
    return Draft(
        f'How many minutes do {person}\'s events with the title "{title}" take together from day '
        f"{days[0]} to day {days[-1]}, both included? Answer with a whole number.",
        minutes,
        "integer",
        f"""\
total = 0
for day in range({days[0]}, {days[-1] + 1}):
    for event in list_events("{person}", day):
        if event["title"] == "{title}":
            total += event["minutes"]
print(total)""",
    )


def _delete_all(draws: Draws, call: CallLog, data: Mapping[str, Any]) -> Draft:
    person, title, first = draws.one(_PEOPLE), draws.one(_TITLES), draws.whole(1, _SPAN)
    days = range(first, first + _SPAN)
    events = [one for day in days for one in call("list_events", person=person, day=day)]
    found = [one for one in events if one["title"] == title]
    for event in found:
        call("delete_event", event_id=event["id"])
    if not found:
        raise Unsuitable
    return Draft(
        f'Delete all of {person}\'s events with the title "{title}" from day {days[0]} to day '
        f"{days[-1]}, both included. {_PUBLISH}",
        call("publish_agendas"),
        "code",
        f"""\
for day in range({days[0]}, {days[-1] + 1}):
    for event in list_events("{person}", day):
        if event["title"] == "{title}":
            delete_event(event["id"])
print(publish_agendas())""",
    )


MAKER = DomainMaker(
    "You keep the agendas of Abel, Berta, Cyril, Dora and Emil for one month of 28 days. Each of "
    "them has a time zone, and times in an agenda are by its person's own clock.",
    Agenda,
    _data,
    {
        "single": (_minutes_of_a_day, _last_of_a_day),
        "few": (_ahead, _delete_longest),
        "several": (_seen_from_elsewhere, _reschedule),
        "loop": (_minutes_of_two_weeks, _delete_all),
    },
)
