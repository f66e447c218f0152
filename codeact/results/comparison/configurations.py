"""In which settings two runs differ, and whether that is more than what is under study."""

from collections.abc import Collection, Mapping

from codeact.results.comparison.model import SettingDifference
from codeact.results.comparison.runs import PlayedRun

_OF_EVERY_RUN = ("run_dir", "session")


def setting_differences(a: PlayedRun, b: PlayedRun) -> list[SettingDifference]:
    """Return every key in which the configurations differ; those that matter stand first.

    A key matters if it is part of what the runs' episodes are. Where a run has no definition of
    that, all keys do.
    """
    known = a.has_definition and b.has_definition
    decisive = set(_differing(a.definition, b.definition)) if known else None
    configured = _differing(a.configuration, b.configuration)
    found = {key: (a.configuration.get(key), b.configuration.get(key)) for key in configured}
    for key in decisive or ():
        found.setdefault(key, (a.definition.get(key), b.definition.get(key)))
    differences = [
        SettingDifference(
            key=key, a=values[0], b=values[1], matters=decisive is None or key in decisive
        )
        for key, values in found.items()
        if key not in _OF_EVERY_RUN
    ]
    return sorted(differences, key=lambda one: (not one.matters, one.key))


def _differing(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    absent = object()
    return [key for key in {**a, **b} if a.get(key, absent) != b.get(key, absent)]


def settings_notes(differences: Collection[SettingDifference], study: Collection[str]) -> list[str]:
    """Return a line where the runs differ in more than what is under study.

    That is the one group that differs, where nothing is said.
    """
    groups: dict[str, list[str]] = {}
    for one in differences:
        if one.matters:
            groups.setdefault(_group(one.key), []).append(one.key)
    studied = set(study) or (set(groups) if len(groups) == 1 else set())
    others = {group: keys for group, keys in groups.items() if not _is_studied(group, studied)}
    if not others:
        return []
    if not study:
        return [
            "the runs differ in more than one group of settings, so the difference has more than "
            f"one possible cause: {_listed(others)}; study=GROUP says which is under study"
        ]
    return [f"the runs differ in more than {', '.join(study)}: {_listed(others)}"]


def _group(key: str) -> str:
    return key.partition(".")[0]


def _is_studied(group: str, studied: Collection[str]) -> bool:
    return any(group == one or one.startswith(f"{group}.") for one in studied)


def _listed(groups: Mapping[str, list[str]]) -> str:
    return ", ".join(
        group
        if keys == [group]
        else f"{group} ({', '.join(sorted(keys)[:3])}{', …' * (len(keys) > 3)})"
        for group, keys in groups.items()
    )
