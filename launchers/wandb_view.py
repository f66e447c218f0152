"""A saved view of a W&B project that compares groups of codeact's runs.

``python launchers/wandb_view.py ENTITY/PROJECT`` saves it and prints its address; ``--print``
prints it as JSON, without W&B's server. It needs ``pip install wandb-workspaces``. Each group is a
sweep, or the runs of the same settings; within it, runs are grouped by their settings.
"""

import argparse
import sys

import wandb_workspaces.reports.v2 as charts
import wandb_workspaces.workspaces as views

NAME = "codeact - comparison of groups"
RATE = ["success_rate", "success_rate_low", "success_rate_high"]
"""A rate and its 95 % interval."""
CURVE = "success_within_turns"


def view(entity: str, project: str) -> views.Workspace:
    """Make the view."""
    return views.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            views.Section(
                name="Success",
                is_open=True,
                panels=[
                    charts.BarPlot(title="Success rate, with its 95 % interval", metrics=RATE),
                    charts.LinePlot(
                        title="Success rate, as episodes end", x="episodes/finished", y=RATE
                    ),
                    charts.CustomChart(
                        query={"summaryTable": {"tableKey": f"{CURVE}_table"}},
                        chart_name="wandb/line/v0",
                        chart_fields={"x": "turns", "y": "rate"},
                        chart_strings={"title": "Success within so many turns"},
                    ),
                ],
            ),
            views.Section(
                name="Cost",
                is_open=True,
                panels=[
                    charts.ScatterPlot(
                        title="Success against USD",
                        x=charts.SummaryMetric("cost/spent"),
                        y=charts.SummaryMetric("success_rate"),
                    ),
                    charts.ScatterPlot(
                        title="Success against tokens",
                        x=charts.SummaryMetric("tokens/spent"),
                        y=charts.SummaryMetric("success_rate"),
                    ),
                    charts.BarPlot(title="Turns of an episode", metrics=["turns/mean"]),
                ],
            ),
            views.Section(
                name="Differences",
                panels=[charts.RunComparer(diff_only=True)],
            ),
        ],
        runset_settings=views.RunsetSettings(
            groupby=[views.Metric("Group"), views.Metric("JobType")]
        ),
    )


def main() -> int:
    """Save the view, or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", help="ENTITY/PROJECT at W&B")
    parser.add_argument("--print", action="store_true", help="print JSON; ask no server")
    words = parser.parse_args()
    entity, slash, project = words.project.partition("/")
    if not (entity and slash and project):
        parser.error(f"{words.project!r} is not ENTITY/PROJECT")
    made = view(entity, project)
    if words.print:
        # The package has no public name for what it sends.
        sys.stdout.write(made._to_model().model_dump_json(by_alias=True, indent=2) + "\n")
    else:
        print(made.save().url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
