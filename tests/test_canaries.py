"""Private interfaces of other packages that we use, each with what it is for.

A release may move them without notice. The test then says which one, and where we need it.
"""

import ast
import inspect
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"codeact", "tests", "sandbox", "guest"}
PYTHONS_OWN = {"__future__", "__main__"}
PRIVATE_IMPORT = re.compile(r"^\s*(?:from|import)\s.*(?:\b_|_internal)", re.MULTILINE)


class Interface(NamedTuple):
    """One private interface: its name, the file that uses it, what for, and what must hold."""

    name: str
    used_in: str
    purpose: str
    check: Callable[[], None]


def ray_prints_through_its_module() -> None:
    from ray._private import worker

    inspect.signature(worker.print_to_stdstream).bind({"lines": []}, ignore_prefix=False)
    assert '"lines"' in inspect.getsource(worker.print_worker_logs), "its data has no lines"
    functions = [inspect.unwrap(f) for f in vars(worker).values() if inspect.isfunction(f)]
    callers = [f for f in functions if "print_to_stdstream" in f.__code__.co_names]
    assert callers, "nothing in the module calls it"


def ray_checks_cluster_files() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    inspect.signature(prepare_config).bind({})
    with pytest.raises(Exception, match="cluster_name"):
        validate_config({})


def hydra_shows_configurations() -> None:
    from hydra._internal.hydra import Hydra

    from codeact.experiment.config.compose import Invocation, within_hydra

    with within_hydra(Invocation("run")) as hydra:
        assert isinstance(hydra, Hydra), "GlobalHydra holds another class"
        inspect.signature(hydra.show_info).bind("defaults", "run", [])
        inspect.signature(hydra.show_cfg).bind("run", [], "job", None, False)


def hydra_completes_words() -> None:
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from codeact.experiment.config.compose import Invocation, within_hydra

    with within_hydra(Invocation("run")) as hydra:
        found = DefaultCompletionPlugin(hydra.config_loader)._query("run", "executor=")
    assert "executor=local" in found, f"it completes executor= to {found}"


def hydra_keeps_quotes() -> None:
    from hydra.core.override_parser.types import QuotedString

    from codeact.experiment.overrides import parsed

    assert isinstance(parsed("key='a,b'")._value, QuotedString), "a quoted value is not told apart"


def docker_names_a_unix_socket() -> None:
    from docker import APIClient

    from codeact.sandboxes.docker.executor import _LOCAL_ADDRESS

    client = APIClient(base_url="unix:///nowhere/docker.sock", version="1.43")
    assert client.base_url == _LOCAL_ADDRESS, f"it is {client.base_url}"


def streams_hold_their_socket() -> None:
    near, far = socket.socketpair()
    with near, far, near.makefile("rb", buffering=0) as stream:
        assert stream._sock is near, "it is another object"


def wandb_writes_these_records() -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    kinds = {field.name for field in Record.DESCRIPTOR.oneofs_by_name["record_type"].fields}
    missing = {"run", "history", "summary", "config", "exit"} - kinds
    assert not missing, f"there is no record of {missing}"


def textworld_parses_and_copies_here() -> None:
    textgen = pytest.importorskip("textworld.envs.pddl.textgen", reason="an extra: alfworld")
    from textworld.envs.pddl import logic

    calls = inspect.getsource(textgen.ContextSensitiveGrammar)
    assert '_parse_and_convert(start, rule_name="symbols"' in calls, "it parses elsewhere"
    assert "copy_context(context)" in calls, "it copies contexts elsewhere"
    assert "Rule.parse_conjunctive_query(" in inspect.getsource(textgen.query), "it parses rules"
    translates = inspect.getsource(logic.PddlState.__init__)
    assert "fast_downward.pddl2sas(logic.domain, pddl_problem" in translates, "it translates"


def threads_are_counted() -> None:
    import _thread

    before, stop = _thread._count(), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    during = _thread._count()
    stop.set()
    thread.join()
    assert during == before + 1, f"one more thread made {before} into {during}"


def wandb_knows_tables_by_their_class() -> None:
    import pandas
    from wandb import util

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(util, "pd_available", False)
        assert util.is_pandas_data_frame(pandas.DataFrame()), "it does not know one any more"
        patched.setitem(sys.modules, "pandas", None)
        assert not util.is_pandas_data_frame([["a"]]), "a list is taken for one"


INTERFACES = [
    Interface(
        "textworld.envs.pddl.textgen._parse_and_convert",
        "codeact/tools/alfworld/engine.py",
        "to parse a grammar's texts once each, and a game's PDDL once",
        textworld_parses_and_copies_here,
    ),
    Interface(
        "ray._private.worker.print_to_stdstream",
        "codeact/ray_cluster.py",
        "to keep Ray's own lines out of a command's result",
        ray_prints_through_its_module,
    ),
    Interface(
        "ray.autoscaler._private.util",
        "tests/experiment/test_ray_launchers.py",
        "to check the cluster files as `ray up` does",
        ray_checks_cluster_files,
    ),
    Interface(
        "hydra._internal.hydra.Hydra",
        "codeact/experiment/config/compose.py",
        "for --cfg and --info (show_cfg, show_info)",
        hydra_shows_configurations,
    ),
    Interface(
        "hydra.plugins.completion_plugin.DefaultCompletionPlugin._query",
        "codeact/commands/completion.py",
        "to complete words in a shell",
        hydra_completes_words,
    ),
    Interface(
        "hydra.core.override_parser.types.Override._value",
        "codeact/experiment/overrides.py",
        "to leave alone what the user has quoted",
        hydra_keeps_quotes,
    ),
    Interface(
        "docker.APIClient.base_url of a unix socket",
        "codeact/sandboxes/docker/executor.py",
        "to choose between shared sockets and `docker exec` (executor.transport=auto)",
        docker_names_a_unix_socket,
    ),
    Interface(
        "socket.SocketIO._sock",
        "codeact/sandboxes/docker/relay.py",
        "to read the stream of a `docker exec` in the event loop",
        streams_hold_their_socket,
    ),
    Interface(
        "wandb.proto.wandb_internal_pb2",
        "tests/helpers/wandb_files.py",
        "to read what the tracker wrote offline",
        wandb_writes_these_records,
    ),
    Interface(
        "wandb.util.pd_available",
        "codeact/results/trackers/wandb_library.py",
        "to have no pandas imported for a list of rows",
        wandb_knows_tables_by_their_class,
    ),
    Interface(
        "_thread._count",
        "codeact/graders/guest/clock.py",
        "to notice threads that an answer left behind",
        threads_are_counted,
    ),
]


def problem(interface: Interface) -> str:
    """What broke, where we use it and what for; nothing if it holds."""
    try:
        interface.check()
    except (Exception, pytest.fail.Exception) as error:
        return (
            f"{interface.name} has changed ({type(error).__name__}: {error}). "
            f"{interface.used_in} uses it {interface.purpose}: adapt that file, or pin the package."
        )
    return ""


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda one: one.name)
def test_a_private_interface_is_still_what_we_use(interface: Interface) -> None:
    if found := problem(interface):
        pytest.fail(found)


def test_a_moved_interface_is_named_with_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra._internal.hydra import Hydra
    from hydra.plugins.completion_plugin import CompletionPlugin

    monkeypatch.delattr(Hydra, "show_info")
    monkeypatch.delattr(CompletionPlugin, "_query")
    found = {one.name: problem(one) for one in INTERFACES if one.name.startswith("hydra")}
    broken = {name for name, text in found.items() if text}
    assert broken == {
        "hydra._internal.hydra.Hydra",
        "hydra.plugins.completion_plugin.DefaultCompletionPlugin._query",
    }
    text = found["hydra._internal.hydra.Hydra"]
    assert "show_info" in text and "compose.py" in text and "--info" in text


def private_imports(path: Path) -> set[str]:
    """The private modules of other packages that a file imports."""
    found: set[str] = set()
    text = path.read_text(encoding="utf-8")
    if not PRIVATE_IMPORT.search(text):
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            private = any(part.startswith("_") or "_internal" in part for part in (first, *rest))
            if private and first not in OURS | PYTHONS_OWN:
                found.add(name)
    return found


def test_every_private_import_has_a_canary() -> None:
    unknown = []
    for folder in ("codeact", "tests", "benchmarks", "launchers", "examples", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == Path(__file__):
                continue
            where = str(path.relative_to(ROOT))
            covered = [one.name for one in INTERFACES if one.used_in == where]
            for name in private_imports(path):
                if not any(name.startswith(one) or one.startswith(name) for one in covered):
                    unknown.append(f"{where}: {name}")
    assert not unknown, "without a canary in this file: " + ", ".join(unknown)
