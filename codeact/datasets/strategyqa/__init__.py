"""StrategyQA: yes or no, by facts that the question does not name."""
