"""WikiTableQuestions: questions about one table."""
