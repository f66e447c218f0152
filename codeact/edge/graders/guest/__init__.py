"""Programs that graders run inside sessions.

Their text is sent, not imported: a guest has the standard library and the scientific packages, but
no codeact. `crossing` is common to both sides of a code verdict.
"""
