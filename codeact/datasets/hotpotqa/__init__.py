"""HotpotQA: questions that take several facts, looked up by search."""
