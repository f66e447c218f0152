"""The command line: one module per command, imported only when it is called."""

COMMANDS = {
    "run": "play episodes of a model on tasks; resumes when run_dir exists",
    "fork": "continue recorded episodes from a turn, several times each; what a turn is worth",
    "chat": "type a task, see a model act on it, comment on its turns; recorded like any run",
    "play": "be the policy: read a task, write code and answers; recorded like any run",
    "validate": "show that every reference passes its own grader; needs no model",
    "prepare": "make task files of a data set's raw files, with a card beside them",
    "replay": "play recorded episodes through the live environment and list what differs",
    "regrade": "give recorded answers new verdicts and list those that differ",
    "compare": "say how runs of the same tasks differ, and how sure that is",
    "study": "play a sweep that answers a question, or take recorded runs, and report it",
    "tiers": "sort recorded episodes by how hard their tasks were, and list what nobody solved",
    "select": "make training conversations of the recorded episodes that are worth it",
    "import": "make run folders of published results.jsonl trees; nothing of them is lost",
    "export": "write run folders as the published results.jsonl trees",
    "convert": "write training conversations in other formats, or episodes as preference pairs",
    "stats": "count examples and tokens of training conversations",
    "view": "read episodes on a local page, two runs side by side, or as text; follows a live run",
    "collect": "the whole way by a recipe: weaker models, the strong one, selection; resumable",
    "sandbox": "build the image, check the sandbox, run cells, sweep leftovers",
    "completion": "print what makes bash, zsh or fish complete codeact's words",
}
"""Their names, and what each of them does."""
