"""Studies: what a sweep answers, as tables, plots and a report that could be an appendix."""
